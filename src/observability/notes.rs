//! The notes of a summary: what was not issued or not answered, and why.

use std::time::Duration;

use super::breaks::BreakSummary;
use super::rounding::nonzero;
use super::summary::{UnissuedSummary, WorkloadSummary};
use super::text::counted;
use crate::ir::Phase;
use crate::protocol::break_policy::SERVER_BREAK_TIMEOUT_NS;

/// Returns the note that the run ended at its bound on operations, with what remained of its
/// phases. `took` is the time that each phase lasted.
///
/// `unsent` operations of the bound were never sent: their clients had lost their connections.
pub fn at_bound(operations: u64, unsent: u64, phases: &[Phase], took: &[Duration]) -> String {
    let took_ns = |index: usize| took.get(index).map_or(0, Duration::as_nanos);
    let remained: Vec<String> = phases
        .iter()
        .enumerate()
        .filter_map(|(index, phase)| {
            let left_ns = u128::from(phase.duration_ns).saturating_sub(took_ns(index));
            (left_ns > 0).then(|| format!("{:.3} s of {}", left_ns as f64 / 1e9, phase.name))
        })
        .collect();
    let bound = counted(operations, "operation");
    let mut end = format!("the run ended at its bound of {bound} (--operations)");
    if unsent > 0 {
        end += &format!(
            ", of which {unsent} {} never sent, because the clients whose turn it was lost their connections",
            if unsent == 1 { "was" } else { "were" }
        );
    }
    let last = (0..phases.len()).rev().find(|index| took_ns(*index) > 0);
    let recorded = |index: usize| phases[index].record && took_ns(index) > 0;
    if let Some(last) = last.filter(|last| !(0..=*last).any(recorded)) {
        end += &format!(
            " in the unrecorded phase {}, so nothing was recorded: give a larger N, or --duration in its place",
            phases[last].name
        );
    }
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
            "{dropped} of {} of {} {}",
            counted(workload.iterations.all(), "iteration"),
            workload.name,
            match dropped {
                1 => "was dropped, as that workload asks for: it arrived while its client was busy with the one before, nothing of it was issued, and it is in no percentile",
                _ => "were dropped, as that workload asks for: they arrived while their client was busy with the one before, nothing of them was issued, and they are in no percentile",
            },
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
            "{} {what}. A server gives up after {} s of its own and takes back what it granted; whoever wanted the file waits until then",
            counted(count, "break"),
            SERVER_BREAK_TIMEOUT_NS / 1_000_000_000,
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_came_before_anything_was_recorded_says_what_to_give() {
        let phase =
            |name: &str, record| Phase { name: name.into(), duration_ns: 1_000_000_000, record };
        let phases = [phase("warmup", false), phase("steady", true)];
        let took = |millis: [u64; 2]| millis.map(Duration::from_millis);
        let early = at_bound(100, 0, &phases, &took([300, 0]));
        let advice = " in the unrecorded phase warmup, so nothing was recorded: give a larger N, or --duration in its place; ";
        assert!(early.contains(advice), "{early}");
        let later = at_bound(1, 0, &phases, &took([1_000, 400]));
        assert_eq!(
            later,
            "the run ended at its bound of 1 operation (--operations); what remained of its phases did not take place: 0.600 s of steady"
        );
        let short = at_bound(30, 10, &phases, &took([1_000, 1_000]));
        assert_eq!(
            short,
            "the run ended at its bound of 30 operations (--operations), of which 10 were never sent, because the clients whose turn it was lost their connections"
        );
    }
}
