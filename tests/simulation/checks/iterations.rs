//! Checks of iterations. Each arrival is exactly one of finished, cut, dropped and unissued, and
//! dropped only if its client was really busy.

use std::collections::{BTreeMap, BTreeSet};

use smbench::ir::CompletionStatus::Failed;
use smbench::ir::Failure::{ConnectionLost, Panicked, Status, TimedOut};
use smbench::ir::event::IterationOutcome::{Cut, Dropped, Finished, Skipped};
use smbench::ir::event::{IterationEvent, Unissued};
use smbench::ir::{CompletionEvent, CompletionStatus, Due, Event, Late, Operation, Section};

use smbench::scheduler::RetryPolicy;
use smbench::scheduler::engine::MOST_ATTEMPTS;

use super::{Client, breaks};
use crate::run::Outcome;
use crate::scenario::Scenario;

pub fn check(scenario: &Scenario, outcome: &Outcome, client: &Client) -> Result<(), String> {
    let ended = once_each(client)?;
    let begun = begun(client);
    let reported: BTreeSet<u32> =
        ended.iter().filter(|(_, event)| event.outcome != Dropped).map(|(n, _)| *n).collect();
    if !reported.iter().eq(begun.keys()) {
        let index = client.index;
        return Err(format!("client {index}: iterations {:?} ended as {reported:?}", begun.keys()));
    }
    for (number, event) in &ended {
        let due = client.iteration(*number).next().map(|first| first.due);
        let drops = matches!(due, Some(Due::Arrival { late: Late::Drop, .. }));
        let wrong = |what: &str| {
            Err(format!("client {}: iteration {number} {what}: {event:?}", client.index))
        };
        match event.outcome {
            Dropped if !drops => return wrong("dropped where arrivals wait"),
            Dropped if begun.contains_key(number) => return wrong("dropped, and issued"),
            Dropped => dropped_for_a_reason(scenario, outcome, client, &begun, event)?,
            Finished | Skipped => {
                let none_sent = begun[number]
                    .iter()
                    .all(|it| matches!(it.execution.status, CompletionStatus::Skipped { .. }));
                if none_sent != (event.outcome == Skipped) {
                    return wrong("is to be skipped where none of it was sent, and only there");
                }
                let completed = begun[number].len();
                if completed != client.iteration(*number).count() {
                    return wrong("finished, but not all of it completed");
                }
            }
            Cut if outcome.measured_ns.is_none() => return wrong("cut before time zero"),
            Cut => {}
        }
        let Some(operations) = begun.get(number) else { continue };
        let (first, last) = (operations[0], operations[operations.len() - 1]);
        if (event.due_ns, event.started_ns) != (first.times.due_ns, first.times.issued_ns)
            || event.ended_ns != last.times.completed_ns
            || event.phase != first.phase
        {
            return wrong("has not the times of its operations");
        }
        let waited = first.times.eligible_ns != first.times.due_ns;
        let reconnected = client.resumed_ns.contains(&first.times.eligible_ns);
        if drops
            && waited
            && !reconnected
            && !breaks::one_ended_at(outcome, first.times.eligible_ns)
        {
            return wrong("waited where late arrivals are dropped");
        }
    }
    Ok(())
}

fn once_each<'a>(client: &Client<'a>) -> Result<BTreeMap<u32, &'a IterationEvent>, String> {
    let mut ended = BTreeMap::new();
    for event in &client.iterations {
        if ended.insert(event.iteration, *event).is_some() {
            return Err(format!("an iteration ended twice: {event:?}"));
        }
    }
    Ok(ended)
}

/// Returns the completions of each iteration that has any.
fn begun<'a>(client: &Client<'a>) -> BTreeMap<u32, Vec<&'a CompletionEvent>> {
    let mut begun: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for completion in &client.completions {
        if completion.operation.section == Section::Iteration {
            begun.entry(completion.operation.iteration).or_default().push(*completion);
        }
    }
    begun
}

/// Checks that the client was busy when the dropped iteration arrived: with an iteration, its think
/// time or a reconnect.
fn dropped_for_a_reason(
    scenario: &Scenario,
    outcome: &Outcome,
    client: &Client,
    begun: &BTreeMap<u32, Vec<&CompletionEvent>>,
    dropped: &IterationEvent,
) -> Result<(), String> {
    let wrong = |what: String| Err(format!("client {}: {what}: {dropped:?}", client.index));
    let Some((zero_ns, cut_ns)) = outcome.measured_ns else {
        return wrong("dropped before time zero".into());
    };
    let Some(Operation { due: Due::Arrival { at_ns, .. }, .. }) =
        client.iteration(dropped.iteration).next()
    else {
        return wrong("dropped, but has no arrival".into());
    };
    let arrival_ns = zero_ns + at_ns;
    // The engine knows and reports in advance that think time will cover an arrival. No arrival
    // after the last phase is dropped.
    let phases = &scenario.stream.header.phases;
    let end_ns = zero_ns + phases.iter().map(|phase| phase.duration_ns).sum::<u64>();
    if dropped.due_ns != arrival_ns || (!phases.is_empty() && arrival_ns >= end_ns) {
        return wrong(format!("dropped, but arrives at {arrival_ns}"));
    }
    let Some((&before, operations)) = begun.range(..dropped.iteration).next_back() else {
        // The client's first operation may have waited for a break until the cut.
        return match scenario.caching {
            true => Ok(()),
            false => wrong("dropped, but the client had done nothing".into()),
        };
    };
    let dropped_before = client.iterations.iter().filter(|it| it.outcome == Dropped);
    let known = |number: u32| number == before || begun.contains_key(&number);
    let reported: BTreeSet<u32> = dropped_before.map(|it| it.iteration).collect();
    let withdrawn = (before..dropped.iteration)
        .any(|number| !known(number) && !reported.contains(&number))
        || operations.len() < client.iteration(before).count();
    if scenario.caching && withdrawn {
        return Ok(());
    }
    let (first, last) = (operations[0], operations[operations.len() - 1]);
    let next = client
        .stream
        .iter()
        .find(|next| next.section == Section::Iteration && next.iteration > before);
    let think_ns = match next.map(|next| next.due) {
        Some(Due::Arrival { think_ns, .. }) => think_ns,
        _ => 0,
    };
    let back = client.resumed_ns.iter().find(|resumed_ns| **resumed_ns >= last.times.completed_ns);
    let ready_ns = if last.lost_its_connection() {
        back.copied().unwrap_or(u64::MAX)
    } else if last.waited_to_be_tried_again(scenario) {
        cut_ns
    } else {
        last.times.completed_ns
    };
    // The busy time counts from when the iteration was due, because until it began the client was
    // busy with earlier ones.
    let busy = first.times.due_ns..ready_ns.saturating_add(think_ns);
    if busy.contains(&arrival_ns) {
        Ok(())
    } else {
        wrong(format!("arrived at {arrival_ns} and dropped, but the client was busy in {busy:?}"))
    }
}

/// Checks that every operation that was due by the cut and neither issued nor dropped is counted as
/// unissued. The count is exact if the whole stream fits into the lookahead.
pub fn nothing_unaccounted(
    scenario: &Scenario,
    outcome: &Outcome,
    clients: &[Client],
) -> Result<(), String> {
    let mut reported = Unissued::default();
    for event in outcome.events() {
        if let Event::Unissued(unissued) = event {
            reported.add(*unissued);
        }
    }
    let reported =
        reported.by_backlog + reported.by_generation + reported.by_limit + reported.by_driver;
    let Some((zero_ns, cut_ns)) = outcome.measured_ns else {
        return match reported {
            0 => Ok(()),
            _ => Err(format!("{reported} operations unissued before time zero")),
        };
    };
    let overdue = |client: &Client| {
        let last = client.completions.iter().rfind(|c| c.operation.section <= Section::Iteration);
        let from = last.map_or(0, |last| last.operation.seq + 1);
        let rest = &client.stream[from as usize..];
        rest.iter()
            .filter(|operation| operation.section == Section::Iteration)
            .filter(|operation| !client.dropped(operation))
            .filter(|operation| operation.due.at_ns().is_some_and(|at| zero_ns + at < cut_ns))
            .count() as u64
    };
    let all: u64 = clients.iter().map(overdue).sum();
    let stayed: u64 = clients.iter().filter(|client| !client.failed).map(overdue).sum();
    // The next operation of a client that waits for the limit or for the stream counts too,
    // although it has no time of its own.
    let most = all + clients.len() as u64;
    let whole = scenario.lookahead >= 1_000 && scenario.generation_ns == 0;
    let was_cut = outcome.reason.is_some() || !scenario.stream.header.phases.is_empty();
    let broke_off = scenario.stream.breaks_at.is_some();
    let least = if whole && was_cut && !broke_off { stayed } else { 0 };
    if (least..=most).contains(&reported) {
        Ok(())
    } else {
        Err(format!("{reported} operations reported as unissued, but {least} to {most} were"))
    }
}

impl Client<'_> {
    fn iteration(&self, number: u32) -> impl Iterator<Item = &Operation> {
        self.stream.iter().filter(move |operation| {
            operation.section == Section::Iteration && operation.iteration == number
        })
    }
}

trait HowItEnded {
    fn lost_its_connection(&self) -> bool;
    fn waited_to_be_tried_again(&self, scenario: &Scenario) -> bool;
}

impl HowItEnded for CompletionEvent {
    /// Returns whether the operation may have lost its connection. A time-out keeps the connection
    /// if the cancel was answered.
    fn lost_its_connection(&self) -> bool {
        matches!(&self.execution.status, Failed(ConnectionLost(_) | Panicked(_) | TimedOut))
    }

    /// Returns whether a cut may have come before the next attempt; the operation then completes
    /// with the last one.
    fn waited_to_be_tried_again(&self, scenario: &Scenario) -> bool {
        let Failed(Status(status)) = &self.execution.status else { return false };
        let again = |policy: &RetryPolicy| policy.statuses.contains(status);
        self.retries + 1 < MOST_ATTEMPTS && scenario.retry.as_ref().is_some_and(again)
    }
}
