//! What must hold of every run.

use std::collections::{BTreeSet, HashMap};

use smbench::ir::{CompletionEvent, CompletionStatus, Event, Section};

use super::run::{Ending, Outcome, Scenario};

pub fn check(scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
    let mut by_client: HashMap<u32, Vec<&CompletionEvent>> = HashMap::new();
    for event in &outcome.events {
        if let Event::Completed(completion) = event {
            by_client.entry(completion.operation.client_idx).or_default().push(completion);
        }
    }
    for (client, completions) in &by_client {
        in_order_and_once(*client, completions)?;
        never_early(*client, completions)?;
    }
    if outcome.two_in_flight {
        return Err("a client had two operations in flight".into());
    }
    if let Some(limit) = scenario.limit
        && outcome.most_in_flight > limit
    {
        return Err(format!("{} in flight, limit {limit}", outcome.most_in_flight));
    }
    if outcome.open_handles > 0 {
        return Err(format!("{} handles left open", outcome.open_handles));
    }
    iterations_add_up(outcome)?;
    nothing_missing(scenario, outcome, &by_client)
}

/// Each iteration that had an operation issued ends exactly once, in its phase.
fn iterations_add_up(outcome: &Outcome) -> Result<(), String> {
    let mut begun = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for event in &outcome.events {
        match event {
            Event::Completed(completion) if completion.operation.section == Section::Iteration => {
                begun.insert((completion.operation.client_idx, completion.operation.iteration));
            }
            Event::Iteration(event) => {
                if !ended.insert((event.client_idx, event.iteration)) {
                    return Err(format!("iteration ended twice: {event:?}"));
                }
                if event.ended_ns < event.started_ns || event.started_ns < event.due_ns {
                    return Err(format!("iteration out of time: {event:?}"));
                }
            }
            _ => {}
        }
    }
    if begun == ended { Ok(()) } else { Err(format!("iterations {begun:?} ended as {ended:?}")) }
}

fn in_order_and_once(client: u32, completions: &[&CompletionEvent]) -> Result<(), String> {
    for pair in completions.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        if next.operation.seq <= one.operation.seq {
            return Err(format!(
                "client {client}: operation {} completed after {}",
                next.operation.seq, one.operation.seq
            ));
        }
        if next.issued_ns < one.completed_ns {
            return Err(format!("client {client}: {} issued too soon", next.operation.seq));
        }
    }
    Ok(())
}

fn never_early(client: u32, completions: &[&CompletionEvent]) -> Result<(), String> {
    for completion in completions {
        if completion.issued_ns < completion.eligible_ns
            || completion.eligible_ns < completion.due_ns
        {
            return Err(format!(
                "client {client}: operation {} due {} eligible {} issued {}",
                completion.operation.seq,
                completion.due_ns,
                completion.eligible_ns,
                completion.issued_ns
            ));
        }
    }
    Ok(())
}

/// Without a cut every operation completes; with one, every one issued does,
/// and teardown runs all the same. A client that never came back ends early.
fn nothing_missing(
    scenario: &Scenario,
    outcome: &Outcome,
    by_client: &HashMap<u32, Vec<&CompletionEvent>>,
) -> Result<(), String> {
    let gone = |client: u32| {
        outcome.events.iter().any(
            |event| matches!(event, Event::ClientFailed { client_idx, .. } if *client_idx == client),
        )
    };
    let connected =
        outcome.events.iter().filter(|event| matches!(event, Event::Connected { .. })).count();
    if connected < scenario.stream.operations.len() {
        // Interrupted while connecting: there was nothing to set up or take down.
        let issued = by_client.values().flatten().count();
        return if issued == 0 {
            Ok(())
        } else {
            Err(format!("{issued} issued before connecting"))
        };
    }
    let cut = outcome.reason.is_some() || !scenario.stream.header.phases.is_empty();
    let gave_up = outcome.events.iter().any(|event| matches!(event, Event::GaveUp { .. }));
    for (client, operations) in scenario.stream.operations.iter().enumerate() {
        let client = client as u32;
        let completed = by_client.get(&client).map_or(0, Vec::len);
        let teardowns = by_client.get(&client).map_or(0, |completions| {
            completions.iter().filter(|c| c.operation.section == Section::Teardown).count()
        });
        if !cut && !gave_up && !gone(client) && completed != operations.len() {
            return Err(format!("client {client}: {completed} of {} completed", operations.len()));
        }
        let time_for_teardown =
            !gave_up && !matches!(scenario.ending, Some((_, Ending::Stop { .. })));
        if time_for_teardown && !gone(client) && teardowns != 1 {
            return Err(format!("client {client}: {teardowns} teardown operations"));
        }
    }
    let cut_off =
        by_client.values().flatten().filter(|c| c.status == CompletionStatus::Cut).count();
    if cut_off > 0 && !gave_up {
        return Err(format!("{cut_off} operations cut although the drain had time"));
    }
    Ok(())
}
