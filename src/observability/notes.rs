//! What a summary notes besides its figures: what was not issued, and why.

use super::breaks::BreakSummary;
use super::rounding::nonzero;
use super::summary::{UnissuedSummary, WorkloadSummary};
use crate::protocol::break_policy::SERVER_BREAK_TIMEOUT_NS;

/// Of each workload by itself: the iterations of another never arrived in it.
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

/// Of a stream with an end, iterations whose closed loop was over before them.
pub fn superseded(iterations: u64) -> Option<String> {
    (iterations > 0).then(|| {
        format!(
            "iterations that were left out because the phase of their closed loop was over before they could begin: {iterations}; they count among --iterations, and are in no other figure",
        )
    })
}

/// Breaks that came to nobody's answer, each kind with its reason.
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
