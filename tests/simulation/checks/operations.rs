//! Checks of operations: each completes once, in order, never early, and is cut only if the drain
//! ran out of time.

use smbench::ir::{CompletionEvent, CompletionStatus, Due, Event, Operation, Section};
use smbench::scheduler::PhaseSpan;
use smbench::scheduler::engine::MOST_ATTEMPTS;

use super::Client;
use crate::run::Outcome;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario, outcome: &Outcome, client: &Client) -> Result<(), String> {
    let zero_ns = outcome.measured_ns.map(|(zero_ns, _)| zero_ns);
    let gave_up = outcome.events().any(|event| matches!(event, Event::GaveUp { .. }));
    let mut previous: Option<&CompletionEvent> = None;
    for completion in &client.completions {
        let operation = &completion.operation;
        let wrong = |what: &str| {
            let (index, seq) = (client.index, operation.seq);
            Err(format!("client {index}: operation {seq} {what}: {completion:?}"))
        };
        if client.stream.get(operation.seq as usize) != Some(operation) {
            return wrong("is not the stream's");
        }
        if let Some(previous) = previous {
            if operation.seq == previous.operation.seq {
                return wrong("completed twice");
            }
            if operation.seq < previous.operation.seq {
                return wrong("completed out of order");
            }
            if completion.times.issued_ns < previous.times.completed_ns {
                return wrong("was issued before the one before it had ended");
            }
        }
        // A cut removes the rest of a section. A dropped or superseded iteration is missing as a
        // whole.
        let begun = previous.map_or(0, |previous| previous.operation.seq + 1);
        let missing = client.stream[begun as usize..operation.seq as usize].iter();
        let missing = missing
            .filter(|missing| missing.section == operation.section && !client.left_out(missing));
        if let Some(missing) = missing.min_by_key(|missing| missing.seq) {
            let later = client.completions.iter().any(|c| c.operation.seq == missing.seq);
            let ever = if later { "had not yet" } else { "never did" };
            return wrong(&format!("completed, but {} before it {ever}", missing.seq));
        }
        let same_section = previous.filter(|last| last.operation.section == operation.section);
        let earliest_ns = earliest_ns(operation, same_section, zero_ns);
        if completion.times.issued_ns < earliest_ns {
            return wrong(&format!("was issued early, before {earliest_ns}"));
        }
        // Neither an outage nor a break moves the due time, so the response contains them.
        let origin_is_known = same_section.is_some() || operation.section == Section::Iteration;
        if matches!(operation.due, Due::After(_))
            && origin_is_known
            && completion.times.due_ns != earliest_ns
        {
            return wrong(&format!("is not due at {earliest_ns}"));
        }
        let times = [
            completion.times.due_ns,
            completion.times.eligible_ns,
            completion.times.issued_ns,
            completion.times.attempted_ns,
            completion.times.completed_ns,
        ];
        if !times.is_sorted() {
            return wrong("has its times in the wrong order");
        }
        if completion.retries >= MOST_ATTEMPTS
            || (completion.retries > 0 && scenario.retry.is_none())
        {
            return wrong("was tried too often");
        }
        if completion.execution.status == CompletionStatus::Cut && !gave_up {
            return wrong("was cut although the drain had time");
        }
        if completion.phase != phase(scenario, completion, zero_ns) {
            return wrong("counts for the wrong phase");
        }
        previous = Some(completion);
    }
    Ok(())
}

pub fn held_up_no_longer_than_late(client: &Client) -> Result<(), String> {
    let longer = client.completions.iter().find(|completion| {
        let held_up = completion.held_up;
        held_up.by_generation_ns + held_up.by_limit_ns > completion.times.lateness_ns()
    });
    longer.map_or(Ok(()), |longer| Err(format!("held up for longer than it was late: {longer:?}")))
}

/// Returns the earliest time of issue, computed from the stream and not from the event itself.
fn earliest_ns(
    operation: &Operation,
    previous: Option<&CompletionEvent>,
    zero_ns: Option<u64>,
) -> u64 {
    let iterates = operation.section == Section::Iteration;
    let origin_ns = if iterates { zero_ns.unwrap_or(u64::MAX) } else { 0 };
    let ready_ns = previous.map_or(origin_ns, |previous| previous.times.completed_ns);
    match operation.due {
        Due::At(at_ns) => ready_ns.max(origin_ns.saturating_add(at_ns)),
        Due::After(ns) => ready_ns.saturating_add(ns),
        Due::During { after_ns, from_ns, .. } => {
            ready_ns.saturating_add(after_ns).max(origin_ns.saturating_add(from_ns))
        }
        Due::Arrival { at_ns, think_ns, .. } => {
            // The think time of the first arrival follows nothing. That of an arrival after a
            // dropped iteration belongs to the dropped one.
            let follows = previous.is_some_and(|last| last.operation.seq + 1 == operation.seq);
            let think_ns = if follows { think_ns } else { 0 };
            ready_ns.saturating_add(think_ns).max(origin_ns.saturating_add(at_ns))
        }
    }
}

fn phase(scenario: &Scenario, completion: &CompletionEvent, zero_ns: Option<u64>) -> Option<u16> {
    let operation = &completion.operation;
    if operation.section != Section::Iteration {
        return None;
    }
    let issued_ns = completion.times.issued_ns.checked_sub(zero_ns?)?;
    let at_ns = operation.due.at_ns().unwrap_or(issued_ns);
    let spans = PhaseSpan::chain(&scenario.stream.header.phases);
    spans.iter().rposition(|span| span.start_ns <= at_ns).map(|index| index as u16)
}

impl Client<'_> {
    /// Returns whether the operation belongs to an iteration that was dropped or superseded.
    pub fn left_out(&self, operation: &Operation) -> bool {
        self.dropped(operation)
            || operation.section == Section::Iteration && self.superseded(operation.iteration)
    }

    /// Returns whether the operation belongs to an iteration that was dropped.
    pub fn dropped(&self, operation: &Operation) -> bool {
        use smbench::ir::event::IterationOutcome::Dropped;
        operation.section == Section::Iteration
            && self.iterations.iter().any(|iteration| {
                iteration.iteration == operation.iteration && iteration.outcome == Dropped
            })
    }
}
