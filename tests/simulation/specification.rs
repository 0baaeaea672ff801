//! Tests that the specification asks for, under its names (architecture v1.2.2: "Scheduler
//! Completion Semantics" and Phase 0, no. 7).

use smbench::ir::{CompletionEvent, CompletionStatus, Due, Event, Section};
use smbench::protocol::NtStatus;
use smbench::scheduler::RetryPolicy;

use super::run::Outcome;
use super::scenario::Scenario;
use super::workload::{Script, Stream, close, open, stat};

const MS: u64 = 1_000_000;

fn completions(outcome: &Outcome) -> Vec<&CompletionEvent> {
    outcome.events().filter_map(completed).collect()
}

fn completed(event: &Event) -> Option<&CompletionEvent> {
    match event {
        Event::Completed(completion) => Some(completion),
        _ => None,
    }
}

/// Runs two clients whose operations are due in turns, against a server that takes longer than the
/// time between them.
#[test]
fn test_scheduler_ordering() {
    let client = |client: u32| {
        let mut script = Script::new(client);
        script.begin(Section::Iteration, 0);
        for number in 0..20 {
            script.push(Due::At(number * MS / 10 + u64::from(client) * MS / 20), stat());
        }
        script.finish()
    };
    let stream = Stream::new(2, Vec::new(), vec![client(0), client(1)]);
    let outcome = Scenario::plain(stream, None, 1).run();

    assert!(!outcome.two_in_flight, "the server never saw two operations of a client at once");
    for client_idx in 0..2 {
        let own = || {
            let calls = outcome.calls.iter();
            calls.filter(move |call| call.client_idx == client_idx)
        };
        let order: Vec<u32> = completions(&outcome)
            .iter()
            .filter(|completion| completion.operation.client_idx == client_idx)
            .map(|completion| completion.operation.seq)
            .collect();
        assert_eq!(order, (0..20).collect::<Vec<_>>(), "in the order of the stream");
        let one_after_the_other =
            own().zip(own().skip(1)).all(|(one, next)| one.ended_ns <= Some(next.began_ns));
        assert!(one_after_the_other, "each issued when the one before it had fully ended");
    }
    let (zero_ns, _) = outcome.measured_ns.unwrap();
    let early = |completion: &&&CompletionEvent| {
        completion.times.issued_ns < zero_ns + completion.operation.due.at_ns().unwrap()
    };
    assert_eq!(completions(&outcome).iter().filter(early).count(), 0, "none before it was due");
    let clients: std::collections::BTreeSet<u32> =
        outcome.calls[..4].iter().map(|call| call.client_idx).collect();
    assert_eq!(clients.len(), 2, "no client waits for another");
}

/// Checks that success, failure, a retry, a time-out, a skipped operation and a panic have one
/// completion each, and one call of the server for each attempt.
#[test]
fn test_completion_exactly_once() {
    let mut script = Script::new(0);
    script.begin(Section::Iteration, 0);
    script.expect = smbench::ir::Expect::Default;
    let nowhere = open("no/such/folder/file", 1);
    for kind in [open("file", 0), close(0), nowhere, close(1), stat()] {
        script.push(Due::After(0), kind);
    }
    let operations = script.finish();
    for (faults_per_mille, panics_per_mille) in [(0, 0), (400, 0), (0, 400), (300, 300)] {
        for seed in 0..50 {
            let stream = Stream::new(1, Vec::new(), vec![operations.clone()]);
            let scenario = Scenario {
                faults_per_mille,
                panics_per_mille,
                seed,
                retry: Some(RetryPolicy::default()),
                ..Scenario::plain(stream, Some(1), 1)
            };
            let outcome = scenario.run();
            let completions = completions(&outcome);
            let gone = outcome.events().any(|event| matches!(event, Event::ClientFailed { .. }));
            let once: Vec<u32> = completions.iter().map(|c| c.operation.seq).collect();
            // A panic while connecting ends the run before time zero.
            if outcome.measured_ns.is_some() && !gone {
                assert_eq!(once, [0, 1, 2, 3, 4], "seed {seed}");
            }
            super::checks::check(&scenario, &outcome).unwrap();
            if faults_per_mille + panics_per_mille == 0 {
                let statuses: Vec<_> =
                    completions.iter().map(|c| c.execution.status.clone()).collect();
                let succeeded = CompletionStatus::Succeeded(NtStatus::SUCCESS);
                let failed = CompletionStatus::Failed(smbench::ir::Failure::Status(
                    NtStatus::OBJECT_PATH_NOT_FOUND,
                ));
                let skipped = CompletionStatus::Skipped { cause_seq: 2 };
                let expected = [&succeeded, &succeeded, &failed, &skipped, &succeeded];
                assert_eq!(statuses.iter().collect::<Vec<_>>(), expected);
                assert_eq!(outcome.calls.len(), 4, "what was skipped was never sent");
            }
        }
    }
}
