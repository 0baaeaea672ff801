//! Counts of the situations worth testing, to notice when random scenarios no longer reach them.

use std::collections::BTreeMap;

use smbench::ir::event::{BreakEnd, IterationOutcome, Unissued};
use smbench::ir::{CompletionStatus, Event, Failure};

use super::run::Outcome;
use super::scenario::Scenario;

#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, u64>);

/// The least number of times each situation occurs in a hundred runs: at most a third of the number
/// when this was written.
const EXPECTED: [(&str, u64); 29] = [
    ("backlog", 1000),
    ("break acknowledged", 40),
    ("break closed", 10),
    ("break given up", 2),
    ("break not to be answered", 70),
    ("cleanup", 80),
    ("cut iteration", 50),
    ("drain that ran out", 10),
    ("dropped iteration", 300),
    ("failed client", 10),
    ("failure", 300),
    ("finished iteration", 2000),
    ("given up", 5),
    ("held up by the generator", 100),
    ("held up by the limit", 1000),
    ("loss", 50),
    ("operation that waited for a break", 40),
    ("panic", 8),
    ("reconnect", 50),
    ("reconnect after an outage", 10),
    ("server away", 5),
    ("skipped", 100),
    ("stalled server", 8),
    ("success after a retry", 3),
    ("three attempts in vain", 2),
    ("time-out", 50),
    ("unissued by backlog", 100),
    ("unissued by generation", 2),
    ("unissued by the limit", 100),
];

impl Seen {
    pub fn note(&mut self, scenario: &Scenario, outcome: &Outcome) {
        for event in outcome.events() {
            self.event(scenario, event);
        }
        let stalled = !scenario.stalls.is_empty();
        let away = !scenario.outages.is_empty();
        let runs = [("stalled server", stalled), ("server away", away)];
        runs.into_iter().filter(|(_, seen)| *seen).for_each(|(what, _)| self.count(what, 1));
    }

    fn count(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    fn event(&mut self, scenario: &Scenario, event: &Event) {
        match event {
            Event::Completed(completion) => {
                match &completion.execution.status {
                    CompletionStatus::Succeeded(_) => self.count("success", 1),
                    CompletionStatus::Failed(Failure::TimedOut) => self.count("time-out", 1),
                    CompletionStatus::Failed(Failure::ConnectionLost(_)) => self.count("loss", 1),
                    CompletionStatus::Failed(Failure::Panicked(_)) => self.count("panic", 1),
                    CompletionStatus::Failed(_) => self.count("failure", 1),
                    CompletionStatus::Skipped { .. } => self.count("skipped", 1),
                    CompletionStatus::Cut => self.count("given up", 1),
                }
                let tried_again =
                    matches!(completion.execution.status, CompletionStatus::Succeeded(_));
                match completion.retries {
                    0 => {}
                    _ if tried_again => self.count("success after a retry", 1),
                    2 => self.count("three attempts in vain", 1),
                    _ => self.count("retry that ended otherwise", 1),
                }
                let held_up = completion.held_up;
                self.count("held up by the limit", u64::from(held_up.by_limit_ns > 0));
                self.count("held up by the generator", u64::from(held_up.by_generation_ns > 0));
                self.count("backlog", u64::from(completion.times.backlog_ns() > 0));
            }
            Event::Iteration(iteration) => match iteration.outcome {
                IterationOutcome::Finished => self.count("finished iteration", 1),
                IterationOutcome::Cut => self.count("cut iteration", 1),
                IterationOutcome::Skipped => self.count("skipped iteration", 1),
                IterationOutcome::Dropped => self.count("dropped iteration", 1),
            },
            Event::Break(event) => {
                self.count("operation that waited for a break", u64::from(event.blocked));
                let end = match event.end {
                    BreakEnd::NotAsked => "break not to be answered",
                    BreakEnd::Acknowledged => "break acknowledged",
                    BreakEnd::Refused => "answer refused",
                    BreakEnd::Closed => "break closed",
                    BreakEnd::ConnectionLost => "break lost",
                    BreakEnd::Ignored => "break ignored",
                    BreakEnd::TimedOut => "break given up",
                    BreakEnd::Cut => "break cut",
                };
                self.count(end, 1);
            }
            Event::Unissued(Unissued { by_backlog, by_generation, by_limit, .. }) => {
                self.count("unissued by backlog", *by_backlog);
                self.count("unissued by generation", *by_generation);
                self.count("unissued by the limit", *by_limit);
            }
            Event::Cleanup { .. } => self.count("cleanup", 1),
            Event::Reconnected { .. } => {
                self.count("reconnect", 1);
                self.count("reconnect after an outage", u64::from(!scenario.outages.is_empty()));
            }
            Event::GaveUp { .. } => self.count("drain that ran out", 1),
            // There are no heartbeats in virtual time.
            Event::Heartbeat { .. } => {}
            Event::Disconnected(_) => self.count("stretch without a connection", 1),
            Event::ClientFailed { .. } => self.count("failed client", 1),
            Event::Moved(_) => self.count("client that moved", 1),
            Event::Superseded { .. } => self.count("superseded lookahead", 1),
            Event::Connected { .. } | Event::Prepared { .. } | Event::Reloaded { .. } => {}
        }
    }

    pub fn merge(&mut self, other: Seen) {
        other.0.into_iter().for_each(|(what, times)| self.count(what, times));
    }

    pub fn assert_wild(&self, runs: u64) {
        for (what, per_hundred) in EXPECTED {
            let seen = self.0.get(what).copied().unwrap_or_default();
            assert!(
                seen * 100 >= per_hundred * runs,
                "{what} came {seen} times in {runs} runs, below {per_hundred} in a hundred: {:?}",
                self.0
            );
        }
    }
}
