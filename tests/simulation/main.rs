//! The real engine, the real driver and the real `ConnectionState` in virtual
//! time against the simulator: whatever the workload, the limit and the
//! faults, every operation completes exactly once, in order, and the run ends.
//!
//! `SMBENCH_SEED=17 cargo test --test simulation` runs one seed,
//! `SMBENCH_SEEDS=20000 cargo test --release --test simulation` many.

mod checks;
mod deadlock;
mod ending;
mod run;
mod workload;

use run::Scenario;
use smbench::ir::event::IterationOutcome;
use smbench::ir::{CompletionStatus, Event, Failure};

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SMBENCH_SEED") {
        Ok(seed) => vec![seed.parse().expect("SMBENCH_SEED is a number")],
        Err(_) => match std::env::var("SMBENCH_SEEDS") {
            Ok(count) => (0..count.parse().expect("SMBENCH_SEEDS is a number")).collect(),
            Err(_) => (0..count).collect(),
        },
    }
}

/// How often things worth testing happened, so that a scenario grown tame is noticed.
#[derive(Default)]
struct Seen {
    timed_out: usize,
    lost: usize,
    skipped: usize,
    panicked: usize,
    given_up: usize,
    reconnected: usize,
    cleaned_up: usize,
    cut_iterations: usize,
}

impl Seen {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Completed(completion) => match &completion.status {
                CompletionStatus::Failed(Failure::TimedOut) => self.timed_out += 1,
                CompletionStatus::Failed(Failure::ConnectionLost(_)) => self.lost += 1,
                CompletionStatus::Failed(Failure::Panicked(_)) => self.panicked += 1,
                CompletionStatus::Skipped { .. } => self.skipped += 1,
                CompletionStatus::Cut => self.given_up += 1,
                _ => {}
            },
            Event::Reconnected { .. } => self.reconnected += 1,
            Event::Cleanup { .. } => self.cleaned_up += 1,
            Event::Iteration(iteration) if iteration.outcome == IterationOutcome::Cut => {
                self.cut_iterations += 1;
            }
            _ => {}
        }
    }
}

#[test]
fn every_operation_completes_exactly_once_in_order_and_the_run_ends() {
    let seeds = seeds(100);
    let mut seen = Seen::default();
    for &seed in &seeds {
        let scenario = Scenario::random(seed);
        let outcome = scenario.run();
        outcome.events.iter().for_each(|event| seen.note(event));
        if let Err(broken) = checks::check(&scenario, &outcome) {
            panic!("{broken}\n  again with: SMBENCH_SEED={seed} cargo test --test simulation");
        }
    }
    if seeds.len() > 1 {
        assert!(seen.timed_out > 10, "{} time-outs", seen.timed_out);
        assert!(seen.lost > 10, "{} lost connections", seen.lost);
        assert!(seen.skipped > 10, "{} skipped", seen.skipped);
        assert!(seen.panicked > 5, "{} panics", seen.panicked);
        assert!(seen.given_up > 5, "{} operations given up", seen.given_up);
        assert!(seen.reconnected > 10, "{} reconnects", seen.reconnected);
        assert!(seen.cleaned_up > 10, "{} clients left handles open", seen.cleaned_up);
        assert!(seen.cut_iterations > 10, "{} iterations cut", seen.cut_iterations);
    }
}

#[test]
fn the_same_seed_gives_the_same_events_at_the_same_times() {
    for seed in seeds(10) {
        let first = Scenario::random(seed).run();
        let second = Scenario::random(seed).run();
        assert_eq!(first.log(), second.log(), "seed {seed}");
    }
}
