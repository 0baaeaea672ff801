//! The verdict on whether a measurement can be trusted.

use std::time::Duration;

use serde::Serialize;

use super::super::distribution::Tail;
use super::super::merge::is_zero;
use super::super::rounding::{percent, percent_above, rounded, value};
use super::super::text::{counted, was};
use super::cause::{self, Cause, Shares};
use super::delays;
use super::evidence::{Evidence, HookEvents};

/// The verdict on a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TrustVerdict {
    /// The figures are the server's.
    Valid,
    /// The generator was late often enough to distort the figures.
    GeneratorLimited,
    /// Hooks did not see every event that was meant for them, so that their own figures are
    /// incomplete.
    HooksDropped,
    /// The run was cut short; what it measured stands.
    Interrupted,
    /// Too little was measured to judge it.
    NotJudged,
    /// No operation was sent in a recorded phase.
    NothingRecorded,
}

/// The fewest operations, and the shortest time, of a run that is judged.
const LEAST_JUDGED_OPERATIONS: u64 = 100;
const LEAST_JUDGED: Duration = Duration::from_secs(1);

impl TrustVerdict {
    pub fn name(self) -> &'static str {
        match self {
            TrustVerdict::Valid => "valid",
            TrustVerdict::GeneratorLimited => "generator-limited",
            TrustVerdict::HooksDropped => "hooks-dropped",
            TrustVerdict::Interrupted => "interrupted",
            TrustVerdict::NotJudged => "not-judged",
            TrustVerdict::NothingRecorded => "nothing-recorded",
        }
    }
}

/// Whether the measurement can be trusted, and the evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trust {
    pub verdict: TrustVerdict,
    /// The grounds of the verdict, as sentences for people.
    pub reasons: Vec<String>,
    /// The likely cause of `generator-limited`; absent with any other verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Operations whose lateness was above `late_bound_us`.
    pub late_operations: u64,
    /// `--late-bound` in microseconds.
    pub late_bound_us: f64,
    #[serde(flatten)]
    pub hook_events: HookEvents,
    /// Operations without a pickup, because the wall clock was set while they were in flight;
    /// absent where there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub pickups_discarded: u64,
    /// Delays, in microseconds, of the heartbeats of the threads that issue operations, one
    /// each 10 ms. Delays above `late_bound_us` are always judged, shorter ones where the
    /// kernel gives no receive timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_us: Option<Tail>,
    pub lateness_by_cause_us: LatenessByCause,
    /// Processors that this process kept busy while it measured, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores_used: Option<f64>,
    /// Number of processors that this process may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<usize>,
}

/// The sum over operations of their lateness, in microseconds, by what they waited for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LatenessByCause {
    /// Waiting for a permit (`--limit`).
    pub limit: f64,
    /// Waiting for the script or document to make the operation.
    pub generation: f64,
    /// Neither: caused by this program and the host.
    pub other: f64,
}

/// Judges whether the generator was the bottleneck, and why. A slow server alone is no reason: an
/// operation that waits for its client's previous one is not late.
pub fn judge(evidence: &Evidence<'_>) -> Trust {
    let recorded = evidence.recorded;
    let (limit, generation) = (recorded.late_by_limit_ns, recorded.late_by_generation_ns);
    let own = recorded.lateness.sum_ns().saturating_sub(limit + generation);
    let unissued = evidence.unissued;

    let sent = recorded.lateness.count();
    // Due operations that the generator did not issue count too. Otherwise a generator that issues
    // few operations would be reported as not judged.
    let due = u128::from(sent) + evidence.left_unissued();
    let judged = due >= LEAST_JUDGED_OPERATIONS.into() && evidence.recorded_for >= LEAST_JUDGED;
    let (mut late, mut delayed, mut unissued_for_long) = (Vec::new(), Vec::new(), None);
    if judged {
        let found = [late_operations(evidence), delayed_loops(evidence), delayed_queues(evidence)];
        late.extend(found.into_iter().flatten());
        delayed = delays::reasons(evidence);
        unissued_for_long = left_unissued(evidence);
    }
    let (issued_late, service_delayed) = (!late.is_empty(), !delayed.is_empty());
    let mut reasons: Vec<String> = late;
    reasons.extend(delayed.into_iter().chain(unissued_for_long));
    let cause = (!reasons.is_empty() && sent > 0).then(|| {
        let (cause, sentence) = if issued_late {
            cause::likely(
                Shares { limit, generation, own },
                "the delay was spent waiting",
                evidence,
            )
        } else if service_delayed {
            cause::own_delays(evidence)
        } else {
            let shares = Shares {
                limit: unissued.by_limit.into(),
                generation: unissued.by_generation.into(),
                own: unissued.by_driver.into(),
            };
            cause::likely(shares, "the unissued operations waited", evidence)
        };
        reasons.push(sentence);
        cause
    });
    let dropped = dropped_hook_events(evidence.hook_events);
    let verdict = match (cause, &dropped, evidence.cut_short) {
        _ if sent == 0 => TrustVerdict::NothingRecorded,
        (Some(_), ..) => TrustVerdict::GeneratorLimited,
        (None, Some(_), _) => TrustVerdict::HooksDropped,
        (None, None, true) => TrustVerdict::Interrupted,
        (None, None, false) if !judged => TrustVerdict::NotJudged,
        (None, None, false) => TrustVerdict::Valid,
    };
    reasons.extend(dropped);
    if evidence.cut_short {
        reasons.push("the run was cut short".into());
    }
    if sent == 0 {
        reasons.push("no operation was sent in a recorded phase".into());
    } else if !judged {
        reasons.push(too_little(sent, evidence.recorded_for));
    }
    let micros = |ns: u128| ns as f64 / 1e3;
    Trust {
        verdict,
        reasons,
        cause,
        late_operations: recorded.late,
        late_bound_us: evidence.late_bound_ns as f64 / 1e3,
        hook_events: evidence.hook_events,
        pickups_discarded: recorded.clock_steps,
        heartbeat_us: recorded.heartbeat.distribution.tail(),
        lateness_by_cause_us: LatenessByCause {
            limit: micros(limit),
            generation: micros(generation),
            other: micros(own),
        },
        cpu_cores_used: evidence.processors.map(|processors| (processors.used * 1e3).round() / 1e3),
        cpu_cores: evidence.processors.map(|processors| processors.cores),
    }
}

fn too_little(sent: u64, recorded_for: Duration) -> String {
    let is_short = |seconds: f64| seconds < LEAST_JUDGED.as_secs_f64();
    let seconds = recorded_for.as_secs_f64();
    let lasted = rounded(seconds, 1, |text| {
        is_short(value(text)) == is_short(seconds) && (value(text) == 0.0) == (seconds == 0.0)
    });
    format!(
        "too little was recorded to judge the generator: {} in {lasted} s; at least {LEAST_JUDGED_OPERATIONS} operations and {} s are needed",
        counted(sent, "operation"),
        LEAST_JUDGED.as_secs()
    )
}

fn late_operations(evidence: &Evidence<'_>) -> Option<String> {
    let (late, sent) = (evidence.recorded.late, evidence.recorded.lateness.count());
    (u128::from(late) * 100 > u128::from(sent)).then(|| {
        format!(
            "{} of operations ({late} of {sent}) were issued more than {} ms late by the generator; 1 % is the most that can be trusted",
            percent_above(1.0, late.into(), sent.into()),
            evidence.late_bound_ns as f64 / 1e6,
        )
    })
}

/// Checks closed loops, in which a late operation delays all that follow it.
fn delayed_loops(evidence: &Evidence<'_>) -> Option<String> {
    let lateness = evidence.recorded.closed_lateness_ns;
    let cycle = evidence.recorded.closed_cycle_ns;
    (!evidence.instant && lateness.saturating_mul(10) > cycle).then(|| {
        format!(
            "the generator's delays add up to {} of service and think time in a closed loop; 10 % is the most that can be trusted",
            percent_above(10.0, lateness, cycle),
        )
    })
}

fn dropped_hook_events(events: HookEvents) -> Option<String> {
    let HookEvents { delivered, dropped } = events;
    let all = u128::from(delivered) + u128::from(dropped);
    (dropped > 0).then(|| {
        format!(
            "{dropped} of {all} events for hooks ({}) {} dropped: hooks and their metrics did not see every operation; all other results include every operation",
            percent(dropped.into(), all, 1),
            was(dropped),
        )
    })
}

/// Checks clients that are behind. Such a client goes from one operation to the next as in a closed
/// loop, so a small delay of each operation builds up a backlog that is not the server's. A few
/// such operations prove nothing.
fn delayed_queues(evidence: &Evidence<'_>) -> Option<String> {
    let recorded = evidence.recorded;
    let (lateness, service) = (recorded.behind_lateness_ns, recorded.behind_service_ns);
    let many = u128::from(recorded.behind) * 100 > u128::from(recorded.lateness.count());
    (!evidence.instant && many && lateness.saturating_mul(10) > service).then(|| {
        format!(
            "the generator's delays add up to {} of service time where operations were due while their clients were busy; 10 % is the most that can be trusted",
            percent_above(10.0, lateness, service),
        )
    })
}

/// Checks operations that were not issued. One that became eligible within the late bound before
/// the cut was not late yet.
fn left_unissued(evidence: &Evidence<'_>) -> Option<String> {
    let left = evidence.left_unissued();
    let due = left + u128::from(evidence.recorded.lateness.count());
    (left * 100 > due && evidence.unissued.late_ns > evidence.late_bound_ns).then(|| {
        format!(
            "at least {} of the operations that were due by the end ({left} of {due}) were not issued, though their clients were free; 1 % is the most that can be trusted",
            percent_above(1.0, left, due),
        )
    })
}
