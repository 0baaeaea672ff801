//! Outages of the server in a closed loop: the figures contain the time that users would have
//! waited.

use std::time::Duration;

use smbench::backend::sim::Window;
use smbench::ir::{Due, Phase, Section, Workload};
use smbench::observability::Summary;
use smbench::observability::exit::ExitReason;

use super::scenario::Scenario;
use super::workload::{Script, Stream, stat};

const MS: u64 = 1_000_000;

/// Returns a scenario of two clients that send an operation every 40 ms, over a warm-up of 1 s and
/// two phases of 4 s.
fn every_40_ms(outage: Window) -> Scenario {
    let client = |client: u32| {
        let mut script = Script::new(client);
        for iteration in 0..400 {
            script.begin(Section::Iteration, iteration);
            script.push(Due::After(40 * MS), stat());
        }
        script.finish()
    };
    let phase = |name: &str, seconds: u64, record| Phase {
        name: name.into(),
        duration_ns: seconds * 1_000 * MS,
        record,
    };
    let phases = vec![phase("warm-up", 1, false), phase("a", 4, true), phase("b", 4, true)];
    let stream = Stream::of(vec![Workload::new("w", 2)], phases, (0..2).map(client).collect());
    Scenario { outages: vec![outage], ..Scenario::plain(stream, None, 2) }
}

fn away(start_s: u64, length_s: u64) -> Summary {
    let outage = Window::once(Duration::from_secs(start_s), Duration::from_secs(length_s));
    let scenario = Scenario { reconnect_timeout_ns: 30_000 * MS, ..every_40_ms(outage) };
    scenario.run().summary()
}

#[test]
fn an_outage_in_a_closed_loop_is_in_the_response_and_not_in_the_service_time() {
    let summary = away(2, 3);
    let stat = &summary.operations[&smbench::ir::OperationType::Stat];
    let (response, service) = (stat.response_us.unwrap(), stat.service_us.unwrap());
    assert!(response.tail.max >= 2_900_000.0, "{response:?}");
    assert!(service.tail.max < 100_000.0, "{service:?}");
    assert!(summary.delays.backlog_us.unwrap().max >= 2_900_000.0);
}

#[test]
fn time_without_a_connection_is_counted_by_phase_up_to_the_end_of_the_last() {
    let summary = away(2, 3);
    let disconnected = summary.disconnected;
    assert_eq!(disconnected.clients, 2);
    assert!((6.0..7.0).contains(&disconnected.client_seconds), "{disconnected:?}");
    assert!((3.0..3.5).contains(&disconnected.longest_s), "{disconnected:?}");
    let phases: Vec<_> = summary.phases.iter().map(|phase| phase.disconnected).collect();
    assert_eq!(phases[0].clients, 0);
    let sum = phases[1].client_seconds + phases[2].client_seconds;
    assert!((sum - disconnected.client_seconds).abs() < 1e-6, "{phases:?}");
    assert!(phases[1].client_seconds > 5.8 && phases[2].client_seconds > 0.0, "{phases:?}");
    assert_eq!(phases[2].longest_s, disconnected.longest_s, "from the loss on");

    let to_the_end = away(7, 100).disconnected;
    assert!((3.8..4.0).contains(&to_the_end.client_seconds), "{to_the_end:?}");
    // The outage ends within the warm-up, which is not recorded.
    let early = Window::once(Duration::from_millis(200), Duration::from_millis(300));
    let early = every_40_ms(early).run().summary();
    assert_eq!(early.disconnected.clients, 0, "{:?}", early.disconnected);
    assert_eq!(early.phases[0].disconnected.clients, 2);
}

#[test]
fn a_run_that_no_client_is_left_of_ends_early_and_exits_3() {
    let forever = Window::once(Duration::from_secs(3), Duration::from_secs(3_600));
    let scenario = Scenario { reconnect_timeout_ns: 2_000 * MS, ..every_40_ms(forever) };
    let outcome = scenario.run();
    let summary = outcome.summary();
    assert!(summary.exit_reasons.contains(&ExitReason::Unreachable), "{:?}", summary.exit_reasons);
    assert_eq!(summary.exit_code, 3);
    let failed = summary.failed_clients.as_ref().unwrap();
    assert!(failed.all && failed.count == 2, "{failed:?}");
    let (zero_ns, end_ns) = outcome.measured_ns.unwrap();
    assert!((5_000 * MS..5_200 * MS).contains(&(end_ns - zero_ns)), "{}", end_ns - zero_ns);
}
