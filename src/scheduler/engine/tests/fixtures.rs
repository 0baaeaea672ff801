//! Engines and the inputs of engines for tests.

use std::sync::Arc;

use super::super::{Action, Attempt, Engine, EngineConfig};
use crate::ir::event::FIRST_GENERATION;
use crate::ir::{
    CompletionEvent, CompletionStatus, Due, Event, Execution, Operation, PathOperation, Phase,
    Section,
};
use crate::protocol::{NtStatus, SharePath};
use crate::scheduler::batch::Batch;
use crate::scheduler::permits::Permits;
use crate::scheduler::timeline::{PhaseSpan, Stage};

pub const OP_TIMEOUT_NS: u64 = 1_000;
pub const ZERO_NS: u64 = 10_000;

/// Returns a configuration with two phases of 100 ns.
pub fn config() -> EngineConfig {
    let phase = |name: &str, record| Phase { name: name.into(), duration_ns: 100, record };
    EngineConfig {
        phases: PhaseSpan::chain(&[phase("warmup", false), phase("steady", true)]),
        run_client: None,
        lookahead: 4,
        batch_bytes: 1_000,
        op_timeout_ns: OP_TIMEOUT_NS,
        retry: None,
        phases_last: false,
    }
}

pub fn engine(clients: u32, limit: Option<u32>) -> Engine {
    engine_of(config(), clients, limit)
}

pub fn engine_of(config: EngineConfig, clients: u32, limit: Option<u32>) -> Engine {
    let clients: Vec<u32> = (0..clients).collect();
    Engine::new(Arc::new(config), Arc::new(Permits::new(limit, 1)), 0, &clients)
}

pub fn stat(client_idx: u32, seq: u32, iteration: u32, due: Due) -> Operation {
    let path = SharePath::new("x").unwrap();
    Operation { due, iteration, ..Operation::new(client_idx, seq, PathOperation::Stat { path }) }
}

/// Returns a batch of the client's iterations.
pub fn batch(slot: u32, operations: Vec<Operation>, ended: bool) -> Batch {
    let (section, generation) = (Section::Iteration, FIRST_GENERATION);
    Batch { slot, section, generation, operations, ended, error: None }
}

pub fn done() -> Execution {
    Execution::of(CompletionStatus::Succeeded(NtStatus::SUCCESS))
}

pub fn attempt(issued_ns: u64, completed_ns: u64, execution: Execution) -> Attempt {
    Attempt { issued_ns, completed_ns, execution }
}

/// Polls until there is nothing to do and returns what was issued. Pulls are left unanswered.
pub fn issues(engine: &mut Engine, now_ns: u64) -> Vec<(u32, u32)> {
    let mut issued = Vec::new();
    while let Some(action) = engine.poll(now_ns) {
        if let Action::Issue { slot, operation } = action {
            issued.push((slot, operation.seq));
        }
    }
    issued
}

pub fn measuring(clients: u32, limit: Option<u32>, operations: &[Operation]) -> Engine {
    let mut engine = engine(clients, limit);
    engine.enter(Stage::Measure, ZERO_NS);
    for slot in 0..clients {
        let own: Vec<_> =
            operations.iter().filter(|operation| operation.client_idx == slot).cloned().collect();
        engine.operations(batch(slot, own, true), ZERO_NS).unwrap();
    }
    engine
}

/// Takes the engine's events and returns the completions among them.
pub fn completions(engine: &mut Engine) -> Vec<CompletionEvent> {
    let completed = |event| match event {
        Event::Completed(completion) => Some(completion),
        _ => None,
    };
    engine.drain_events().filter_map(completed).collect()
}
