//! The notes of a summary: what was not issued or not answered, and why.

use std::time::Duration;

use super::breaks::BreakSummary;
use super::rounding::nonzero;
use super::summary::{UnissuedSummary, WorkloadSummary};
use super::text::{counted, was};
use crate::ir::Phase;
use crate::ir::event::BreakEnd;
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
            was(unsent)
        );
    }
    let last = (0..phases.len()).rev().find(|index| took_ns(*index) > 0);
    let recorded = |index: usize| phases[index].record && took_ns(index) > 0;
    if let Some(last) = last.filter(|last| !(0..=*last).any(recorded)) {
        end += &format!(
            " in the unrecorded phase {}, so nothing was recorded: raise --operations, or use --duration instead",
            phases[last].name
        );
    }
    match remained.is_empty() {
        true => end,
        false => format!("{end}; the rest of its phases was not run: {}", remained.join(", ")),
    }
}

/// Returns the note on dropped iterations. It is made for each workload by itself, since only the
/// iterations of that workload arrive in it.
pub fn dropped(workload: &WorkloadSummary) -> Option<String> {
    let dropped = workload.iterations.counts.dropped;
    (dropped > 0).then(|| {
        format!(
            "{dropped} of {} of {} {} dropped, because at arrival the client was busy with the previous one; percentiles do not include dropped iterations",
            counted(workload.iterations.all(), "iteration"),
            workload.name,
            was(dropped),
        )
    })
}

pub fn waiting(unissued: &UnissuedSummary) -> Option<String> {
    (unissued.by_backlog > 0).then(|| {
        format!(
            "at least {} {} due at the end of the run and never issued, because the clients were still busy or disconnected (the first was due {} s earlier); percentiles do not include them",
            counted(unissued.by_backlog, "operation"),
            was(unissued.by_backlog),
            nonzero(unissued.backlog_us / 1e6, 3)
        )
    })
}

/// Returns a note for each kind of break that got no answer, with the reason.
pub fn unanswered(breaks: &BreakSummary) -> Vec<String> {
    let kinds = [
        (breaks.counts.ends[BreakEnd::Ignored], "not answered, as `on_break` says"),
        (
            breaks.counts.ends[BreakEnd::TimedOut],
            "not answered in time: the delay of `on_break` is too long, or the answer did not reach the server",
        ),
    ];
    let some = kinds.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| {
        format!(
            "{} {} {what}. After {} s without an answer a server revokes what it granted; until then, whoever wants the file waits",
            counted(count, "break"),
            was(count),
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
        let advice = " in the unrecorded phase warmup, so nothing was recorded: raise --operations, or use --duration instead; ";
        assert!(early.contains(advice), "{early}");
        let later = at_bound(1, 0, &phases, &took([1_000, 400]));
        assert_eq!(
            later,
            "the run ended at its bound of 1 operation (--operations); the rest of its phases was not run: 0.600 s of steady"
        );
        let short = at_bound(30, 10, &phases, &took([1_000, 1_000]));
        assert_eq!(
            short,
            "the run ended at its bound of 30 operations (--operations), of which 10 were never sent, because the clients whose turn it was lost their connections"
        );
    }
}
