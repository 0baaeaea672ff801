//! Limits far below the number of clients.

use smbench::ir::{Due, Event, OperationKind, Section};
use smbench::protocol::SharePath;

use super::run::Scenario;
use super::workload::{Script, Stream};

fn busy(clients: u32, operations: u32) -> Stream {
    let all = (0..clients)
        .map(|client| {
            let mut script = Script::new(client);
            for iteration in 0..operations {
                script.begin(Section::Iteration, iteration);
                let path = SharePath::new("").unwrap();
                script.push(Due::After(0), OperationKind::Stat { path });
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
                    outcome.events.iter().filter(|e| matches!(e, Event::Completed(_))).count();
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
    for event in outcome.events.iter().filter(|e| matches!(e, Event::Completed(_))).take(40) {
        if let Event::Completed(completion) = event
            && completion.operation.seq == 0
        {
            firsts += 1;
        }
    }
    assert_eq!(firsts, 40, "every client has its first turn before any has its second");
}
