//! The notes of a summary: what was not issued or not answered, and why.

use std::time::Duration;

use super::breaks::BreakSummary;
use super::rounding::nonzero;
use super::summary::{UnissuedSummary, WorkloadSummary};
use crate::ir::Phase;
use crate::protocol::break_policy::SERVER_BREAK_TIMEOUT_NS;

/// Returns the note that the run ended at its bound on operations, with what remained of its
/// phases. `took` is the time that each phase lasted.
pub fn at_bound(operations: u64, phases: &[Phase], took: &[Duration]) -> String {
    let took_ns = |index: usize| took.get(index).map_or(0, Duration::as_nanos);
    let remained: Vec<String> = phases
        .iter()
        .enumerate()
        .filter_map(|(index, phase)| {
            let left_ns = u128::from(phase.duration_ns).saturating_sub(took_ns(index));
            (left_ns > 0).then(|| format!("{:.3} s of {}", left_ns as f64 / 1e9, phase.name))
        })
        .collect();
    let end = format!("the run ended at its bound of {operations} operations (--operations)");
    match remained.is_empty() {
        true => end,
        false => format!(
            "{end}; what remained of its phases did not take place: {}",
            remained.join(", ")
        ),
    }
}

/// Returns the note on dropped iterations. It is made for each workload by itself, since only the
/// iterations of that workload arrive in it.
pub fn dropped(workload: &WorkloadSummary) -> Option<String> {
    let dropped = workload.iterations.dropped;
    (dropped > 0).then(|| {
        format!(
            "{dropped} of {} iterations of {} were dropped, as that workload asks for: they arrived while their client was busy with the one before, nothing of them was issued, and they are in no percentile",
            workload.iterations.all(),
            workload.name,
        )
    })
}

pub fn waiting(unissued: &UnissuedSummary) -> Option<String> {
    (unissued.by_backlog > 0).then(|| {
        format!(
            "operations that were due at the end and never issued because their clients were still busy or without a connection: at least {}, the first of them for {} s; they are in no percentile",
            unissued.by_backlog,
            nonzero(unissued.backlog_us / 1e6, 3)
        )
    })
}

/// Returns the note on the iterations of a finite stream that could not begin because the phase of
/// their closed loop had ended.
pub fn superseded(iterations: u64) -> Option<String> {
    (iterations > 0).then(|| {
        format!(
            "iterations that were left out because the phase of their closed loop was over before they could begin: {iterations}; they count among --iterations, and are in no other figure",
        )
    })
}

/// Returns a note for each kind of break that got no answer, with the reason.
pub fn unanswered(breaks: &BreakSummary) -> Vec<String> {
    let kinds = [
        (breaks.ignored, "got no answer, as on_break says"),
        (
            breaks.timed_out,
            "got no answer that the server took: on_break waits too long with it, or it did not get there",
        ),
    ];
    let some = kinds.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| {
        format!(
            "{count} {} {what}. A server gives up after {} s of its own and takes back what it granted; whoever wanted the file waits until then",
            if count == 1 { "break" } else { "breaks" },
            SERVER_BREAK_TIMEOUT_NS / 1_000_000_000,
        )
    })
    .collect()
}
