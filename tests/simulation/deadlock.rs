//! Limits far below the number of clients.

use smbench::ir::{
    CompletionStatus, Due, Event, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation,
    OperationKind, PathOperation, Section,
};
use smbench::protocol::SharePath;
use smbench::protocol::create::CreateDisposition;

use super::scenario::Scenario;
use super::workload::{Script, Stream};

fn busy(clients: u32, operations: u32) -> Stream {
    let all = (0..clients)
        .map(|client| {
            let mut script = Script::new(client);
            for iteration in 0..operations {
                script.begin(Section::Iteration, iteration);
                let path = SharePath::new("").unwrap();
                script.push(Due::After(0), OperationKind::ByPath(PathOperation::Stat { path }));
            }
            script.finish()
        })
        .collect();
    Stream::new(clients, Vec::new(), all)
}

#[test]
fn no_number_of_clients_deadlocks_under_any_limit() {
    for clients in [1, 64, 200, 5_000] {
        for limit in [Some(1), Some(64), None] {
            for shards in [1, 4] {
                let outcome = Scenario::plain(busy(clients, 3), limit, shards).run();
                let completed =
                    outcome.events().filter(|e| matches!(e, Event::Completed(_))).count();
                assert_eq!(completed as u32, clients * 3, "{clients} clients, limit {limit:?}");
                assert!(outcome.most_in_flight <= limit.unwrap_or(clients));
            }
        }
    }
}

#[test]
fn a_limit_is_shared_out_evenly_over_clients_and_shards() {
    let outcome = Scenario::plain(busy(40, 10), Some(1), 4).run();
    let mut firsts = 0;
    for event in outcome.events().filter(|e| matches!(e, Event::Completed(_))).take(40) {
        if let Event::Completed(completion) = event
            && completion.operation.seq == 0
        {
            firsts += 1;
        }
    }
    assert_eq!(firsts, 40, "every client has its first turn before any has its second");
}

#[test]
fn clients_that_wait_for_a_lock_leave_the_limit_to_the_one_that_holds_it() {
    let all = (0..3)
        .map(|client| {
            let mut script = Script::new(client);
            script.begin(Section::Iteration, 0);
            let (handle_ref, offset, length) = (HandleRef(0), 0, 1);
            let path = SharePath::new("shared").unwrap();
            script.push(
                Due::After(0),
                OperationKind::Open(OpenOperation {
                    path,
                    mode: OpenMode::ReadWrite,
                    disposition: CreateDisposition::OpenIf,
                    handle_ref,
                    extensions: None,
                }),
            );
            let lock =
                FileControl::Lock { offset, length, exclusive: true, wait: true }.on(handle_ref);
            script.push(Due::After(0), lock);
            script
                .push(Due::After(5_000_000), FileControl::Unlock { offset, length }.on(handle_ref));
            script.push(Due::After(0), HandleOperation::Close.on(handle_ref));
            script.finish()
        })
        .collect();
    let outcome = Scenario::plain(Stream::new(3, Vec::new(), all), Some(1), 1).run();
    let succeeded = |event: &&Event| {
        matches!(event, Event::Completed(completion)
            if matches!(completion.execution.status, CompletionStatus::Succeeded(_)))
    };
    assert_eq!(outcome.events().filter(succeeded).count(), 12);
}
