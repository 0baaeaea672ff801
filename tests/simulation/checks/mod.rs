//! Checks that must hold for every run. They do not trust the engine: what it reports is compared
//! with the stream, the backend's own record and other reports.

pub mod breaks;
mod calls;
mod disconnections;
mod iterations;
mod operations;
mod steps;
pub mod totals;

use smbench::ir::event::{Disconnection, IterationEvent};
use smbench::ir::{CompletionEvent, Event, Operation, Section};

use super::run::Outcome;
use super::scenario::{Ending, Scenario};

/// The longest time that a run takes, whatever goes wrong in it.
const LONGEST_NS: u64 = 600_000_000_000;
/// The longest time of a run in which each operation may wait for a break that nobody answers.
const LONGEST_WITH_BREAKS_NS: u64 = 20_000_000_000_000;

/// The reports about one client.
pub struct Client<'a> {
    pub index: u32,
    /// The operations of its stream, by `seq`.
    pub stream: &'a [Operation],
    /// Its completions, in the order in which they were reported.
    pub completions: Vec<&'a CompletionEvent>,
    pub iterations: Vec<&'a IterationEvent>,
    /// The times at which it was connected again.
    pub resumed_ns: Vec<u64>,
    pub disconnected: Vec<&'a Disconnection>,
    /// The handles that the engine reports it closed, or tried to close.
    pub cleaned_up: u32,
    /// Whether it gave up reconnecting or closing.
    pub failed: bool,
}

pub fn check(scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
    let clients = clients(scenario, outcome)?;
    let longest_ns = if scenario.caching { LONGEST_WITH_BREAKS_NS } else { LONGEST_NS };
    if outcome.ended_ns > longest_ns {
        return Err(format!("the run ended after {} s", outcome.ended_ns / 1_000_000_000));
    }
    if outcome.two_in_flight {
        return Err("a client had two operations in flight".into());
    }
    if scenario.limit.is_some_and(|limit| outcome.most_in_flight > limit) {
        return Err(format!("{} in flight, limit {:?}", outcome.most_in_flight, scenario.limit));
    }
    if outcome.open_handles > 0 || outcome.left_open > 0 {
        let (left, open) = (outcome.left_open, outcome.open_handles);
        return Err(format!("{left} handles open at a disconnect, {open} in the end"));
    }
    for client in &clients {
        operations::check(scenario, outcome, client)?;
    }
    for client in &clients {
        operations::held_up_no_longer_than_late(client)?;
        calls::check(outcome, client)?;
        disconnections::check(outcome, client)?;
        iterations::check(scenario, outcome, client)?;
    }
    let free = outcome.permits_free;
    if let Some(limit) = scenario.limit
        && free != limit
    {
        return Err(format!("a permit leaked: {free} of {limit} are free in the end"));
    }
    breaks::check(scenario, outcome, &clients)?;
    iterations::nothing_unaccounted(scenario, outcome, &clients)?;
    // Percentiles take longer than all the rest in a build without optimization.
    if scenario.seed.is_multiple_of(8) {
        let summary = outcome.summary();
        totals::check(outcome, &summary)?;
        steps::check(scenario, &clients, &summary)?;
    }
    nothing_missing(scenario, outcome, &clients)
}

fn clients<'a>(scenario: &'a Scenario, outcome: &'a Outcome) -> Result<Vec<Client<'a>>, String> {
    let mut clients: Vec<Client> = (0u32..)
        .zip(&*scenario.stream.operations)
        .map(|(index, stream)| Client {
            index,
            stream,
            completions: Vec::new(),
            iterations: Vec::new(),
            resumed_ns: Vec::new(),
            disconnected: Vec::new(),
            cleaned_up: 0,
            failed: false,
        })
        .collect();
    for logged in &outcome.log {
        let Some(index) = client_of(&logged.event) else { continue };
        let client = clients.get_mut(index as usize).ok_or(format!("who is client {index}?"))?;
        // The time without a connection continues.
        if client.failed && !matches!(logged.event, Event::Disconnected(_)) {
            return Err(format!("client {index}: {:?} after it had failed", logged.event));
        }
        match &logged.event {
            Event::Completed(completion) => client.completions.push(completion),
            Event::Iteration(iteration) => client.iterations.push(iteration),
            Event::Reconnected { .. } => client.resumed_ns.push(logged.at_ns),
            Event::Cleanup { closed, failed, .. } => client.cleaned_up += closed + failed,
            Event::Disconnected(stretch) => client.disconnected.push(stretch),
            Event::ClientFailed { .. } => client.failed = true,
            Event::Break(_)
            | Event::Connected { .. }
            | Event::Prepared { .. }
            | Event::GaveUp { .. }
            | Event::Heartbeat { .. }
            | Event::Reloaded { .. }
            | Event::Moved(_)
            | Event::Superseded { .. }
            | Event::Unissued(_) => {}
        }
    }
    Ok(clients)
}

fn client_of(event: &Event) -> Option<u32> {
    match event {
        Event::Completed(completion) => Some(completion.operation.client_idx),
        Event::Iteration(iteration) => Some(iteration.client_idx),
        Event::Break(event) => Some(event.client_idx),
        Event::Disconnected(stretch) => Some(stretch.client_idx),
        Event::Connected { client_idx }
        | Event::Prepared { client_idx }
        | Event::Cleanup { client_idx, .. }
        | Event::Reconnected { client_idx, .. }
        | Event::ClientFailed { client_idx, .. } => Some(*client_idx),
        Event::Moved(moved) => Some(moved.client_idx),
        Event::GaveUp { .. }
        | Event::Heartbeat { .. }
        | Event::Reloaded { .. }
        | Event::Superseded { .. }
        | Event::Unissued(_) => None,
    }
}

/// Checks that nothing is missing. Without a cut every operation completes, or its iteration is
/// dropped. With a cut every issued operation completes, and teardown runs all the
/// same. A client that failed ends early.
fn nothing_missing(
    scenario: &Scenario,
    outcome: &Outcome,
    clients: &[Client],
) -> Result<(), String> {
    let connected = outcome.events().filter(|event| matches!(event, Event::Connected { .. }));
    if connected.count() < clients.len() {
        // The run ended while connecting, so there was nothing to set up or tear down.
        let issued: usize = clients.iter().map(|client| client.completions.len()).sum();
        return match issued {
            0 => Ok(()),
            _ => Err(format!("{issued} operations completed before all were connected")),
        };
    }
    let cut = outcome.reason.is_some() || !scenario.stream.header.phases.is_empty();
    let gave_up = outcome.events().any(|event| matches!(event, Event::GaveUp { .. }));
    let stopped = matches!(scenario.ending, Some((_, Ending::Stop { .. } | Ending::Abort)));
    for client in clients.iter().filter(|client| !client.failed && !gave_up) {
        let dropped = client.stream.iter().filter(|operation| client.dropped(operation)).count();
        let (completed, all) = (client.completions.len(), client.stream.len());
        if !cut && completed + dropped != all {
            return Err(format!(
                "client {}: {completed} of {all} operations completed, {dropped} dropped",
                client.index
            ));
        }
        let ends = |operation: &&Operation| operation.section == Section::Teardown;
        let teardowns = client.completions.iter().map(|c| &c.operation).filter(ends).count();
        if !stopped && teardowns != client.stream.iter().filter(ends).count() {
            return Err(format!("client {}: {teardowns} operations of teardown", client.index));
        }
    }
    Ok(())
}
