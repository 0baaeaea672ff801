//! The judgment whether the generator's own delays are too many to trust the result.

use std::time::Duration;

use super::super::delays::Delays;
use super::super::rounding::percent_above;
use super::evidence::Evidence;

/// Returns a sentence for each kind of delay that is too frequent or too long to trust the result.
pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<String> {
    let recorded = evidence.recorded;
    let (pickup, handoff, heartbeat) = (&recorded.pickup, &recorded.handoff, &recorded.heartbeat);
    let bound_ms = Duration::from_nanos(evidence.late_bound_ns).as_secs_f64() * 1e3;
    let mut reasons = Vec::new();
    let judge = |delays: &Delays, what: &str, waited: &str| {
        let late = delays.is_often_late().then(|| {
            format!(
                "{} of {what} ({} of {}) waited more than {bound_ms} ms for smbench {waited}; 1 % is the most that can be trusted",
                delays.late_above(1.0),
                delays.late,
                delays.count(),
            )
        });
        let long = (!evidence.instant && delays.is_long()).then(|| {
            format!(
                "the waits of {what} for smbench {waited}, as far as they are above 1 ms, add up to {} of service and think time; 10 % is the most that can be trusted",
                delays.long_above(10.0),
            )
        });
        [late, long].into_iter().flatten()
    };
    reasons.extend(judge(pickup, "answers", "to pick them up"));
    reasons.extend(judge(handoff, "requests", "to send them after they were issued"));
    // A pause during a long transfer shows in no pickup, because the rest of the data comes after
    // it.
    if !evidence.instant && heartbeat.stood_still_ns.saturating_mul(10) > heartbeat.within_ns {
        reasons.push(format!(
            "the threads that issue operations stood still for {} of the time, more than {bound_ms} ms each time; 10 % is the most that can be trusted",
            percent_above(10.0, heartbeat.stood_still_ns, heartbeat.within_ns),
        ));
    }
    // Heartbeats stand in for the pickup where the kernel gave no receive timestamps.
    if pickup.count() * 2 >= recorded.lateness.count() {
        return reasons;
    }
    if heartbeat.is_often_late() || (!evidence.instant && heartbeat.is_long()) {
        reasons.push(format!(
            "the threads that issue operations were held up for {} of the time (parts above 1 ms) and more than {bound_ms} ms at {} of their heartbeats; 10 % and 1 % are the most that can be trusted",
            heartbeat.long_above(10.0),
            heartbeat.late_above(1.0),
        ));
    }
    reasons
}
