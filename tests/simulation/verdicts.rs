//! Verdicts on runs in a closed loop and in open ones: a slow server is not a late generator, and a
//! late generator names its cause.

use std::time::Duration;

use smbench::backend::sim::Latency;
use smbench::ir::Late;
use smbench::ir::{Due, Phase, Section, Workload};
use smbench::observability::Cause;
use smbench::observability::TrustVerdict;

use super::scenario::Scenario;
use super::workload::{Script, Stream, stat};

const MS: u64 = 1_000_000;
const CLIENTS: u32 = 10;

#[derive(Clone, Copy, Debug)]
enum Loop {
    Closed,
    Open(Late),
}

const LOOPS: [Loop; 3] = [Loop::Closed, Loop::Open(Late::Queue), Loop::Open(Late::Drop)];

/// Returns a scenario of one second, in which clients send one operation after the other, or one
/// every 20 ms.
fn second(of: Loop) -> Scenario {
    let client = |client: u32| {
        let mut script = Script::new(client);
        for iteration in 0..2_000 {
            script.begin(Section::Iteration, iteration);
            let at_ns = u64::from(iteration) * 20 * MS + u64::from(client) * 2 * MS;
            let due = match of {
                Loop::Closed => Due::After(0),
                Loop::Open(late) => Due::Arrival { at_ns, think_ns: 0, late },
            };
            script.push(due, stat());
        }
        script.finish()
    };
    let workload = Workload::new("w", CLIENTS);
    let phase = Phase { name: "second".into(), duration_ns: 1_000 * MS, record: true };
    let all = (0..CLIENTS).map(client).collect();
    let stream = Stream::of(vec![workload], vec![phase], all);
    Scenario { lookahead: 64, op_timeout_ns: 10_000 * MS, ..Scenario::plain(stream, None, 2) }
}

fn verdict(of: Loop, scenario: &Scenario) -> (TrustVerdict, Option<Cause>) {
    let summary = scenario.run().summary();
    let (trust, sent) = (&summary.trust, summary.totals.operations);
    assert!(sent >= u64::from(CLIENTS), "{of:?}: {sent} operations sent");
    eprintln!("{of:?}: {:?}, {:?}", trust.verdict, trust.reasons);
    let names_its_cause = match trust.cause {
        Some(Cause::Limit) => trust.reasons.iter().any(|reason| reason.contains("--limit")),
        Some(Cause::Generation) => trust.reasons.iter().any(|reason| reason.contains("generat")),
        _ => true,
    };
    assert!(names_its_cause, "{of:?}: {:?}", trust.reasons);
    (trust.verdict, trust.cause)
}

#[test]
fn a_server_that_keeps_up_is_measured_by_a_valid_run() {
    for of in LOOPS {
        assert_eq!(verdict(of, &second(of)), (TrustVerdict::Valid, None), "{of:?}");
    }
}

#[test]
fn a_slow_server_is_no_late_generator() {
    for of in LOOPS {
        let latency = Latency::Constant(Duration::from_millis(80));
        let scenario = Scenario { latency, ..second(of) };
        assert_eq!(verdict(of, &scenario), (TrustVerdict::Valid, None), "{of:?}");
    }
}

#[test]
fn a_server_that_never_answers_again_is_no_late_generator() {
    for of in LOOPS {
        let from = Duration::from_millis(200);
        let stall = smbench::backend::sim::Window::once(from, Duration::from_secs(3_600));
        let scenario = Scenario { stalls: vec![stall], ..second(of) };
        assert_eq!(verdict(of, &scenario), (TrustVerdict::Valid, None), "{of:?}");
    }
}

#[test]
fn a_starved_generator_is_named() {
    for of in LOOPS {
        let scenario = Scenario { generation_ns: 8 * MS, lookahead: 2, ..second(of) };
        let starved = (TrustVerdict::GeneratorLimited, Some(Cause::Generation));
        assert_eq!(verdict(of, &scenario), starved, "{of:?}");
    }
}

#[test]
fn a_low_limit_is_named() {
    for of in LOOPS {
        let latency = Latency::Constant(Duration::from_millis(5));
        let scenario = Scenario { latency, limit: Some(1), ..second(of) };
        let limited = (TrustVerdict::GeneratorLimited, Some(Cause::Limit));
        assert_eq!(verdict(of, &scenario), limited, "{of:?}");
    }
}

#[test]
fn a_limit_that_delays_each_by_less_than_the_late_bound_is_no_slow_server() {
    // Ten clients share seven permits: 5 to 8 ms of waiting and 15 ms of service, so that many do
    // not finish within their 20 ms.
    for of in LOOPS {
        let latency = Latency::Constant(Duration::from_millis(15));
        let scenario = Scenario { latency, limit: Some(7), ..second(of) };
        let limited = (TrustVerdict::GeneratorLimited, Some(Cause::Limit));
        assert_eq!(verdict(of, &scenario), limited, "{of:?}");
    }
}
