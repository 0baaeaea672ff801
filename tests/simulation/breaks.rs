//! Breaks between clients of the simulated server.

use std::sync::Arc;

use smbench::ir::event::BreakEnd;
use smbench::ir::{
    CompletionStatus, Due, HandleOperation, OpenOperation, OperationKind, OperationType, Section,
};
use smbench::protocol::break_policy::SERVER_BREAK_TIMEOUT_NS;
use smbench::protocol::create::OplockLevel;
use smbench::protocol::{BreakAnswer, BreakPolicy, CreateParameters};

use super::checks::breaks::events;
use super::run::Outcome;
use super::scenario::Scenario;
use super::workload::{Script, Stream, close, open, stat};

const MS: u64 = 1_000_000;

/// Returns a stream of clients that open one file with a batch oplock, read it for a while and
/// close it.
fn sharing(clients: u32, iterations: u32, on_break: BreakPolicy) -> Stream {
    let parameters = CreateParameters {
        requested_oplock: Some(OplockLevel::Batch),
        ..CreateParameters::default()
    };
    let parameters = Arc::new(parameters);
    let all = (0..clients)
        .map(|client| {
            let mut script = Script::new(client);
            for iteration in 0..iterations {
                script.begin(Section::Iteration, iteration);
                let mut opened = open("shared", 0);
                if let OperationKind::Open(OpenOperation { extensions, .. }) = &mut opened {
                    *extensions = Some(parameters.clone());
                }
                script.push(Due::After(0), opened);
                for _ in 0..4 {
                    let handle_ref = smbench::ir::HandleRef(0);
                    let read = HandleOperation::Read { offset: 0, length: 8 }.on(handle_ref);
                    script.push(Due::After(MS / 5), read);
                }
                script.push(Due::After(0), close(0));
            }
            script.finish()
        })
        .collect();
    let mut stream = Stream::new(clients, Vec::new(), all);
    stream.answer_breaks(|| on_break);
    stream
}

fn play(scenario: &Scenario) -> Outcome {
    let outcome = scenario.run();
    super::checks::check(scenario, &outcome).unwrap();
    outcome
}

#[test]
fn no_limit_keeps_an_answer_from_those_who_wait_for_it() {
    for (clients, limit) in [(2, Some(1)), (20, Some(1)), (20, Some(3)), (20, None)] {
        for shards in [1, 3] {
            for by_file in [false, true] {
                let stream = sharing(clients, 3, BreakPolicy::default());
                let scenario = Scenario { by_file, ..Scenario::plain(stream, limit, shards) };
                let outcome = play(&scenario);
                let acknowledged =
                    events(&outcome).filter(|event| event.end == BreakEnd::Acknowledged);
                assert!(acknowledged.count() > 0, "{clients} clients, limit {limit:?}");
            }
        }
    }
}

#[test]
fn an_operation_that_waits_for_a_break_gives_its_permit_to_another() {
    let delay_ns = 20 * MS;
    let on_break = BreakPolicy { delay_ns, ..BreakPolicy::default() };
    let mut operations = sharing(2, 1, on_break).operations.to_vec();
    let mut other = Script::new(2);
    for iteration in 0..100 {
        other.begin(Section::Iteration, iteration);
        other.push(Due::After(0), stat());
    }
    operations.push(other.finish());
    let mut stream = Stream::new(3, Vec::new(), operations);
    stream.answer_breaks(|| on_break);
    // One permit is for the open that waits at the server, one for all other operations.
    let scenario = Scenario { by_file: true, ..Scenario::plain(stream, Some(2), 1) };
    let outcome = play(&scenario);
    let waited = events(&outcome).find(|event| event.blocked > 0).unwrap();
    assert_eq!(waited.end, BreakEnd::Acknowledged);
    let meanwhile = outcome.completions().filter(|completion| {
        completion.operation.client_idx == 2
            && (waited.noticed_ns..waited.ended_ns).contains(&completion.times.issued_ns)
    });
    assert!(meanwhile.count() > 50, "the third client went on: {waited:?}");
}

#[test]
fn the_wait_for_a_break_is_the_servers_and_neither_lateness_nor_service() {
    let delay_ns = 20 * MS;
    let on_break = BreakPolicy { delay_ns, ..BreakPolicy::default() };
    let scenario = Scenario { by_file: true, ..Scenario::plain(sharing(2, 1, on_break), None, 1) };
    let outcome = play(&scenario);
    let ended: Vec<u64> = events(&outcome).map(|event| event.ended_ns).collect();
    let waited = outcome.completions().find(|c| c.times.backlog_ns() > 0).unwrap();
    assert!(ended.contains(&waited.times.eligible_ns), "{waited:?}");
    assert_eq!(waited.times.lateness_ns(), 0);
    assert!(
        waited.times.service_ns() < MS && waited.times.response_ns() > delay_ns / 2,
        "{waited:?}"
    );
    assert_eq!(waited.times.response_ns(), waited.times.backlog_ns() + waited.times.service_ns());
}

#[test]
fn a_break_nobody_answers_is_over_after_35_seconds_and_the_run_goes_on() {
    let on_break = BreakPolicy { answer: BreakAnswer::Ignore, ..BreakPolicy::default() };
    let patient = 120_000 * MS;
    let stream = sharing(2, 1, on_break);
    let plain = Scenario::plain(stream, Some(2), 1);
    let scenario = Scenario { by_file: true, op_timeout_ns: patient, ..plain };
    let outcome = play(&scenario);
    let given_up: Vec<_> = events(&outcome).collect();
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    assert_eq!(given_up[0].end, BreakEnd::Ignored);
    let succeeded = outcome
        .completions()
        .filter(|c| matches!(c.execution.status, CompletionStatus::Succeeded(_)));
    assert_eq!(succeeded.count(), 12, "both clients got through");
    // As with Samba, the other client's open takes as long as the server waits.
    let opens = outcome.completions().filter(|c| c.operation_type() == OperationType::Open);
    let longest_ns = opens.map(|open| open.times.response_ns()).max().unwrap();
    assert!(longest_ns >= SERVER_BREAK_TIMEOUT_NS, "{longest_ns}");
    let summary = outcome.summary();
    let breaks = summary.breaks.as_ref().unwrap();
    let counts = &breaks.counts;
    let ends = [BreakEnd::Ignored, BreakEnd::TimedOut].map(|end| counts.ends[end]);
    assert_eq!((ends, counts.all()), ([1, 0], 1));
    assert!(summary.notes[0].contains("After 35 s without an answer"), "{:?}", summary.notes);
}

#[test]
fn a_cut_issues_nothing_that_waits_for_a_break() {
    let on_break = BreakPolicy { answer: BreakAnswer::Ignore, ..BreakPolicy::default() };
    let stream = sharing(2, 1, on_break);
    let plain = Scenario::plain(stream, Some(2), 1);
    let ending = Some((100 * MS, super::scenario::Ending::Cut));
    let scenario = Scenario { by_file: true, op_timeout_ns: 120_000 * MS, ending, ..plain };
    let outcome = play(&scenario);
    let ends: Vec<_> = events(&outcome).map(|event| (event.end, event.blocked)).collect();
    assert_eq!(ends, [(BreakEnd::Closed, 1)], "the handle is closed, and with it the break");
    assert!(outcome.ended_ns < 200 * MS, "nobody waited for the server to give up");
}
