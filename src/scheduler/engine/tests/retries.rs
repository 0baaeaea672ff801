//! Tests of operations that are tried again: each completes once, whatever happens during the wait.

use super::super::Action;
use super::super::{Engine, EngineConfig};
use super::super::{MOST_ATTEMPTS, RetryPolicy};
use super::fixtures::{
    OP_TIMEOUT_NS, ZERO_NS, attempt, batch, completions, config, done, engine_of, issues, stat,
};
use crate::ir::{CompletionStatus, Due, Execution, Failure};
use crate::protocol::NtStatus;
use crate::scheduler::timeline::Stage;

const BUSY: CompletionStatus = CompletionStatus::Failed(Failure::Status(NtStatus::NETWORK_BUSY));
/// The wait before the second attempt. The wait before the third is twice as long.
const BACKOFF_NS: u64 = 100_000_000;

fn measuring(clients: u32, operations: u32, limit: Option<u32>) -> Engine {
    let phases = crate::scheduler::timeline::PhaseSpan::chain(&[]);
    let config = EngineConfig { phases, retry: Some(RetryPolicy::default()), ..config() };
    let mut engine = engine_of(config, clients, limit);
    engine.enter(Stage::Measure, ZERO_NS);
    for slot in 0..clients {
        let all = (0..operations).map(|seq| stat(slot, seq, seq, Due::After(0))).collect();
        engine.operations(batch(slot, all, true), ZERO_NS).unwrap();
    }
    engine
}

fn busy(engine: &mut Engine, slot: u32, seq: u32, issued_ns: u64, completed_ns: u64) {
    let execution = Execution::of(BUSY);
    engine.complete(slot, seq, attempt(issued_ns, completed_ns, execution), false).unwrap();
}

#[test]
fn a_server_that_stays_busy_is_asked_three_times_and_reported_once() {
    let mut engine = measuring(1, 1, None);
    let mut now_ns = ZERO_NS;
    for attempt in 1..=MOST_ATTEMPTS {
        assert_eq!(issues(&mut engine, now_ns), [(0, 0)]);
        busy(&mut engine, 0, 0, now_ns, now_ns + 5);
        if attempt < MOST_ATTEMPTS {
            let next_ns = now_ns + 5 + (BACKOFF_NS << (attempt - 1));
            assert_eq!(completions(&mut engine).len(), 0);
            assert_eq!(issues(&mut engine, next_ns - 1), [], "not before its backoff");
            now_ns = next_ns;
        }
    }
    let [completion] = &completions(&mut engine)[..] else { panic!("one completion") };
    assert_eq!((completion.execution.status.clone(), completion.retries), (BUSY, 2));
    assert_eq!((completion.times.issued_ns, completion.times.attempted_ns), (ZERO_NS, now_ns));
    assert_eq!(
        (completion.times.service_ns(), completion.times.response_ns()),
        (5, now_ns + 5 - ZERO_NS)
    );
    assert_eq!(issues(&mut engine, u64::MAX), []);
}

#[test]
fn a_cut_during_the_wait_completes_the_operation_with_the_attempt_that_failed() {
    let mut engine = measuring(1, 2, Some(1));
    issues(&mut engine, ZERO_NS);
    busy(&mut engine, 0, 0, ZERO_NS, ZERO_NS + 5);
    issues(&mut engine, ZERO_NS + 6);
    engine.cut(ZERO_NS + 10);
    engine.cut(ZERO_NS + 11);
    let [completion] = &completions(&mut engine)[..] else { panic!("one completion") };
    assert_eq!((completion.execution.status.clone(), completion.retries), (BUSY, 0));
    assert_eq!(completion.times.completed_ns, ZERO_NS + 5);
    assert!(matches!(engine.poll(ZERO_NS + 12), Some(Action::Close { slot: 0 })));
    engine.closed(0, 0, (0, 0)).unwrap();
    assert!(engine.stage_done());
}

#[test]
fn an_attempt_that_fails_after_the_cut_is_the_last() {
    let mut engine = measuring(1, 1, None);
    issues(&mut engine, ZERO_NS);
    engine.cut(ZERO_NS + 1);
    busy(&mut engine, 0, 0, ZERO_NS, ZERO_NS + 5);
    assert_eq!(completions(&mut engine).len(), 1);
}

#[test]
fn giving_up_during_the_wait_completes_the_operation_once() {
    let mut engine = measuring(2, 1, Some(1));
    issues(&mut engine, ZERO_NS);
    busy(&mut engine, 0, 0, ZERO_NS, ZERO_NS + 5);
    assert_eq!(issues(&mut engine, ZERO_NS + 5), [(1, 0)]);
    engine.abandon(ZERO_NS + 10);
    let statuses: Vec<_> =
        completions(&mut engine).into_iter().map(|c| c.execution.status).collect();
    assert_eq!(statuses, [BUSY, CompletionStatus::Cut]);
    assert!(engine.stage_done());
    assert_eq!(issues(&mut engine, u64::MAX), []);
}

#[test]
fn an_operation_that_lost_its_connection_is_not_tried_again() {
    let mut engine = measuring(1, 1, None);
    issues(&mut engine, ZERO_NS);
    let execution = Execution::of(BUSY);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 5, execution), true).unwrap();
    assert_eq!(completions(&mut engine).len(), 1);
    engine.resume(0, ZERO_NS + 50);
    assert_eq!(issues(&mut engine, u64::MAX), []);
}

#[test]
fn the_wait_holds_no_permit_and_each_attempt_takes_one() {
    let mut engine = measuring(2, 1, Some(1));
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    busy(&mut engine, 0, 0, ZERO_NS, ZERO_NS + 5);
    assert_eq!(issues(&mut engine, ZERO_NS + 5), [(1, 0)], "the other's turn");
    let again_ns = ZERO_NS + 5 + BACKOFF_NS;
    assert_eq!(issues(&mut engine, again_ns), [], "the other is still in flight");
    engine.complete(1, 0, attempt(ZERO_NS + 5, again_ns + 70, done()), false).unwrap();
    assert_eq!(issues(&mut engine, again_ns + 70), [(0, 0)]);
    engine.complete(0, 0, attempt(again_ns + 70, again_ns + 75, done()), false).unwrap();
    let waits: Vec<_> = completions(&mut engine)
        .into_iter()
        .map(|c| (c.operation.client_idx, c.retries, c.held_up.by_limit_ns, c.times.lateness_ns()))
        .collect();
    assert_eq!(waits, [(1, 0, 5, 5), (0, 1, 0, 0)], "waiting between attempts is no lateness");
}

#[test]
fn each_attempt_has_the_whole_time_out() {
    let mut engine = measuring(1, 1, None);
    issues(&mut engine, ZERO_NS);
    busy(&mut engine, 0, 0, ZERO_NS, ZERO_NS + OP_TIMEOUT_NS - 1);
    let expires = |engine: &mut Engine, now_ns| {
        std::iter::from_fn(|| engine.poll(now_ns))
            .filter(|action| matches!(action, Action::Expire { slot: 0, seq: 0 }))
            .count()
    };
    assert_eq!(expires(&mut engine, ZERO_NS + OP_TIMEOUT_NS), 0, "it waits to be tried again");
    let again_ns = ZERO_NS + OP_TIMEOUT_NS - 1 + BACKOFF_NS;
    assert_eq!(issues(&mut engine, again_ns), [(0, 0)]);
    assert_eq!(expires(&mut engine, again_ns + OP_TIMEOUT_NS - 1), 0);
    assert_eq!(expires(&mut engine, again_ns + OP_TIMEOUT_NS), 1);
    assert_eq!(expires(&mut engine, again_ns + OP_TIMEOUT_NS + 1), 0);
}
