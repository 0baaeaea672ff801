//! Runs that end while an operation is in flight.

use smbench::ir::{
    CompletionStatus, Due, Event, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation,
    OperationKind, Section,
};
use smbench::protocol::SharePath;
use smbench::protocol::create::CreateDisposition;

use super::scenario::{Ending, Scenario};
use super::workload::{Script, Stream};

/// Returns a stream in which the first client waits for ever for a lock that it holds by another
/// handle, and the second for a time that never comes.
fn stuck() -> Stream {
    let open = |script: &mut Script, handle: u32| {
        let kind = OperationKind::Open(OpenOperation {
            path: SharePath::new("a").unwrap(),
            mode: OpenMode::ReadWrite,
            disposition: CreateDisposition::OpenIf,
            handle_ref: HandleRef(handle),
            extensions: None,
        });
        script.push(Due::At(0), kind);
    };
    let mut waits = Script::new(0);
    waits.begin(Section::Iteration, 0);
    for handle in 0..2 {
        open(&mut waits, handle);
        let (handle_ref, exclusive, wait) = (HandleRef(handle), true, true);
        let lock = FileControl::Lock { offset: 0, length: 1, exclusive, wait }.on(handle_ref);
        waits.push(Due::At(0), lock);
    }
    let mut idles = Script::new(1);
    idles.begin(Section::Iteration, 0);
    open(&mut idles, 0);
    idles.push(Due::At(u64::MAX), HandleOperation::Close.on(HandleRef(0)));
    Stream::new(2, Vec::new(), vec![waits.finish(), idles.finish()])
}

/// Returns a scenario in which every wait is far longer than the run.
fn patient(ending: Ending) -> Scenario {
    let hour_ns = 3_600_000_000_000;
    let mut scenario = Scenario::plain(stuck(), None, 2);
    (scenario.op_timeout_ns, scenario.drain_ns) = (hour_ns, hour_ns);
    scenario.ending = Some((50_000_000, ending));
    scenario
}

#[test]
fn a_run_whose_shard_broke_down_ends_though_an_operation_never_does() {
    let outcome = patient(Ending::Abort).run();
    assert!(outcome.ended_ns < 10_000_000_000, "ended after {} ns", outcome.ended_ns);
    assert_eq!(outcome.open_handles, 0);
}

#[test]
fn a_second_interrupt_ends_the_run_at_once_and_cuts_what_is_in_flight() {
    let outcome = patient(Ending::Stop { after_ns: 1_000_000 }).run();
    assert!(outcome.ended_ns < 10_000_000_000, "ended after {} ns", outcome.ended_ns);
    assert_eq!(outcome.open_handles, 0);
    let cut: Vec<_> = outcome
        .events()
        .filter_map(|event| match event {
            Event::Completed(completion)
                if completion.execution.status == CompletionStatus::Cut =>
            {
                Some((completion.operation.client_idx, completion.operation.seq))
            }
            _ => None,
        })
        .collect();
    assert_eq!(cut, [(0, 3)]);
}

#[test]
fn time_outs_without_end_are_time_outs() {
    let mut scenario = patient(Ending::Cut);
    (scenario.op_timeout_ns, scenario.reconnect_timeout_ns) = (u64::MAX, u64::MAX);
    scenario.drain_ns = 1_000_000_000;
    let outcome = scenario.run();
    let gave_up = outcome.events().any(|event| matches!(event, Event::GaveUp { .. }));
    assert!(gave_up, "only the drain had an end");
    assert_eq!(outcome.open_handles, 0);
}
