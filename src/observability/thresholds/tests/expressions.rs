use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::super::super::failures::StatusKey::{self, Status};
use super::super::expression::Operator;
use super::super::metric::{Delay, DisconnectedFigure, Statistic, Subject};
use super::*;
use crate::protocol::NtStatus;

fn refused(expression: &str) -> String {
    match Expression::parse(expression, &declared()) {
        Ok(expression) => format!("{expression:?}"),
        Err(problem) => problem,
    }
}

#[test]
fn an_expression_is_a_metric_an_operator_and_a_value_in_the_metrics_unit() {
    let operation = |operation| Subject::Operation(operation);
    use crate::ir::OperationType::{Open, Read, Write};
    use Operator::{AtLeast, AtMost, Equal, Less, More, Unequal};
    for (text, metric, operator, bound) in [
        ("read.response.p99 < 20ms", Metric::Response(operation(Read), Statistic::P99), Less, 2e7),
        ("all.service.max<=1.5s", Metric::Service(Subject::All, Statistic::Max), AtMost, 1.5e9),
        (" open.count  >= 10 ", Metric::Count(operation(Open)), AtLeast, 10.0),
        ("all.rate > 12.5/s", Metric::Rate(Subject::All), More, 12.5),
        ("write.failed==0", Metric::Failed(operation(Write)), Equal, 0.0),
        ("iterations.dropped != 3", Metric::IterationsDropped, Unequal, 3.0),
        ("iterations.rate >= 200", Metric::Rate(Subject::Iterations), AtLeast, 200.0),
        ("errors.count <1", Metric::Errors, Less, 1.0),
        ("errors.rate < 0.1%", Metric::ErrorShare, Less, 0.001),
        ("errors.rate < 0.001", Metric::ErrorShare, Less, 0.001),
        ("errors.rate <= 100 %", Metric::ErrorShare, AtMost, 1.0),
        (
            "errors.access_denied == 0",
            Metric::ErrorsWith(Status(NtStatus::ACCESS_DENIED)),
            Equal,
            0.0,
        ),
        ("errors.TIMED_OUT == 0", Metric::ErrorsWith(StatusKey::TimedOut), Equal, 0.0),
        ("errors.0xC0DE0001 == 0", Metric::ErrorsWith(Status(NtStatus(0xC0DE_0001))), Equal, 0.0),
        ("lateness.p99 < 0", Metric::Delay(Delay::Lateness, Statistic::P99), Less, 0.0),
        ("backlog.mean < 1us", Metric::Delay(Delay::Backlog, Statistic::Mean), Less, 1e3),
        ("handoff.p50 < 1us", Metric::Delay(Delay::Handoff, Statistic::P50), Less, 1e3),
        (
            "disconnected.client_seconds < 1.5",
            Metric::Disconnected(DisconnectedFigure::ClientSeconds),
            Less,
            1.5,
        ),
        ("disconnected.longest < 2s", Metric::Disconnected(DisconnectedFigure::Longest), Less, 2e9),
        ("pickup.max < 1ms", Metric::Delay(Delay::Pickup, Statistic::Max), Less, 1e6),
        ("bytes.read.count > 1GiB", Metric::Bytes(Read), More, 1_073_741_824.0),
        ("bytes.written.rate > 100MiB/s", Metric::ByteRate(Write), More, 104_857_600.0),
    ] {
        let parsed = Expression::parse(text, &CustomKinds::new());
        assert_eq!(parsed, Ok(Expression { metric, operator, bound }), "{text}");
    }
}

#[test]
fn a_metric_the_script_declares_has_the_figures_and_the_unit_of_its_kind() {
    for (text, unit, bound) in [
        ("app.save_latency.p99 < 50ms", Unit::Time, 5e7),
        ("app.save_latency.count > 5", Unit::Count, 5.0),
        ("app.sizes.max < 1KiB", Unit::Bytes, 1024.0),
        ("app.saves.count > 5", Unit::Count, 5.0),
        ("app.saves.rate > 5.5", Unit::PerSecond, 5.5),
        ("app.queue.value > -3", Unit::Number, -3.0),
        ("app.hits.rate > 90%", Unit::Share, 0.9),
    ] {
        let expression = Expression::parse(text, &declared()).unwrap();
        assert_eq!((expression.metric.unit(), expression.bound), (unit, bound), "{text}");
    }
}

#[test]
fn a_mistake_is_told_with_the_right_word_or_unit() {
    for (text, problem) in [
        (
            "",
            "nothing in it; write a metric, how it compares and a value, such as 'read.response.p99 < 20ms'",
        ),
        (
            "read.response.p99",
            "no comparison in it; write a metric, how it compares and a value, such as 'read.response.p99 < 20ms'",
        ),
        (
            "< 20ms",
            "no metric before the comparison; write a metric, how it compares and a value, such as 'read.response.p99 < 20ms'",
        ),
        (
            "app.h{op=stat}.p99 < 1s",
            "tags choose no part of a metric here; have a hook count that in one of its own",
        ),
        ("read.response.p99 = 20ms", "'=' compares nothing; write =="),
        ("read.response.p99 =< 20ms", "'=' compares nothing; write <="),
        ("read.response.p99 => 20ms", "'=' compares nothing; write >="),
        ("read.response.p99 ! 20ms", "'!' compares nothing; write !="),
        ("raed.response.p99 < 20ms", "unknown metric 'raed': did you mean 'read'?"),
        ("read.respnse.p99 < 20ms", "unknown figure of read 'respnse': did you mean 'response'?"),
        (
            "read.response.p75 < 20ms",
            "unknown figure of read.response 'p75': there is p50, p90, p95, p99, p999, min, mean, max",
        ),
        (
            "read.response.p(95) < 20ms",
            "unknown figure of read.response 'p(95)': write read.response.p95",
        ),
        ("read.response.p99.9 < 20ms", "read.response.p99.9 is written read.response.p999"),
        ("read.response.p99.5 < 20ms", "'5' after read.response.p99 means nothing"),
        ("all.service.avg < 20ms", "unknown figure of all.service 'avg': here it is 'mean'"),
        ("read.avg < 20ms", "read.avg of what? Write read.response.mean"),
        (
            "read.latency.p95 < 20ms",
            "unknown figure of read 'latency': here it is 'response', or 'service' from when it is sent",
        ),
        (
            "http_req_failed < 1%",
            "unknown metric 'http_req_failed': write a figure such as 'errors.rate'",
        ),
        ("lateness.med < 20ms", "unknown figure of lateness 'med': here it is 'p50'"),
        (
            "read.response < 20ms",
            "read.response of what? Write read.response.p50 (there is p50, p90, p95, p99, p999, min, mean, max)",
        ),
        ("read.p99 < 20ms", "read.p99 of what? Write read.response.p99"),
        (
            "read < 20ms",
            "read of what? Write read.response (there is response, service, count, rate, failed)",
        ),
        (
            "read.dropped < 2",
            "unknown figure of read 'dropped': there is response, service, count, rate, failed",
        ),
        (
            "errors.ACCES_DENIED == 0",
            "errors: unknown status 'ACCES_DENIED': did you mean 'ACCESS_DENIED'?",
        ),
        (
            "errors.p99 < 5",
            "unknown figure of errors 'p99': there is count, rate and the name of a status, such as errors.ACCESS_DENIED",
        ),
        ("bytes.write.rate > 1MiB", "unknown figure of bytes 'write': did you mean 'written'?"),
        ("bytes.read > 1MiB", "bytes.read of what? Write bytes.read.count (there is count, rate)"),
        (
            "app.save_latncy.p99 < 50ms",
            "unknown metric 'app.save_latncy': did you mean 'app.save_latency'?",
        ),
        ("app.saves > 5", "app.saves of what? Write app.saves.count (there is count, rate)"),
        ("app.saves.p99 > 5", "unknown figure of app.saves 'p99': there is count, rate"),
        (
            "zzz.qq < 1",
            "unknown metric 'zzz.qq': there is all, iterations, errors, bytes, lateness, backlog, handoff, pickup, breaks, disconnected, each type of operation (open, read, …) and what the script declares",
        ),
        (
            "read.response.p99 < 20",
            "'20' after read.response.p99, which is a time: write it with its unit, such as 20ms or 1.5s",
        ),
        (
            "read.response.p99 < 1%",
            "'1%' after read.response.p99, which is a time: write it with its unit, such as 20ms or 1.5s",
        ),
        (
            "errors.rate < 20ms",
            "'20ms' after errors.rate, which is a share: write it in percent, such as 1%, or below 1, such as 0.01",
        ),
        (
            "errors.rate < 1",
            "'1' after errors.rate, which is a share: write it in percent, such as 1%, or below 1, such as 0.01",
        ),
        (
            "errors.rate < 101%",
            "'101%' after errors.rate, which is a share: write it in percent, such as 1%, or below 1, such as 0.01",
        ),
        (
            "errors.count < 1%",
            "'1%' after errors.count, which is a count: write a whole number, such as 100",
        ),
        (
            "all.rate > -5",
            "'-5' after all.rate, which is a number a second: write it plain, such as 500 or 500/s",
        ),
        (
            "bytes.read.rate > 5ms",
            "'5ms' after bytes.read.rate, which is a number of bytes a second: write it as a size, such as 100MiB or 100MiB/s",
        ),
        (
            "open.count <",
            "no value after open.count, which is a count: write a whole number, such as 100",
        ),
        (
            "app.queue.value < 5ms",
            "'5ms' after app.queue.value, which is a number: write it plain, such as 0.5",
        ),
    ] {
        assert_eq!(refused(text), problem, "{text}");
    }
    assert!(refused(&"x".repeat(301)).starts_with("longer than 300 characters"));
}

#[test]
fn an_error_says_where_the_threshold_stands_and_which_it_is() {
    let error = Threshold::new(&stated("raed.count > 1"), &declared()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "s.lua:3: 'raed.count > 1': unknown metric 'raed': did you mean 'read'?"
    );
    let scoped = |expression: &str, phase: &str, workload: &str| {
        let name = |name: &str| Some(name.to_string()).filter(|name| !name.is_empty());
        let stated =
            StatedThreshold { phase: name(phase), workload: name(workload), ..stated(expression) };
        Threshold::new(&stated, &declared()).map_err(|error| error.problem).and_then(|threshold| {
            threshold.check_names(["warmup", "steady"], ["editors", "readers"])
        })
    };
    assert_eq!(scoped("read.count > 1", "steady", "readers"), Ok(()));
    for (expression, phase, workload, problem) in [
        ("read.count > 1", "stedy", "", "unknown phase 'stedy': did you mean 'steady'?"),
        ("read.count > 1", "", "writers", "unknown workload 'writers': there is editors, readers"),
        (
            "lateness.p99 < 1ms",
            "",
            "readers",
            "it is kept by phase, not by workload; leave out workload",
        ),
        (
            "app.saves.count > 1",
            "steady",
            "",
            "what a script counts itself is not kept by phase or workload; let its hook choose, and leave them out here",
        ),
    ] {
        assert_eq!(scoped(expression, phase, workload), Err(format!("'{expression}': {problem}")));
    }
}

/// Returns a string that is nearly a threshold, or one that is not near at all.
fn random_text(random: &mut Xoshiro256PlusPlus) -> String {
    const METRICS: [&str; 12] = [
        "read.response.p99",
        "all.service.max",
        "iterations.count",
        "errors.rate",
        "errors.0xC0000022",
        "bytes.read.rate",
        "lateness.mean",
        "app.saves.rate",
        "app.queue.value",
        "app.hits.rate",
        "write.failed",
        "errors.ACCESS_DENIED",
    ];
    const OPERATORS: [&str; 8] = ["<", "<=", ">", ">=", "==", "!=", "=", "!"];
    const VALUES: [&str; 16] = [
        "20ms",
        "1%",
        "0.5",
        "0",
        "100",
        "1e9",
        "-1",
        "NaN",
        "inf",
        "64MiB",
        "5/s",
        "1.",
        ".",
        "%",
        "/s",
        "999999999999999999999999",
    ];
    const OTHERS: [&str; 12] =
        [".", "..", " ", "\t", "read", "p99", "app", "0x", "µ", "\u{202e}", "\0", "…"];
    let mut one = |of: &[&str]| of[random.next_u32() as usize % of.len()].to_string();
    let mut parts = [one(&METRICS), one(&OPERATORS), one(&VALUES)].to_vec();
    for _ in 0..random.next_u32() % 4 {
        let at = random.next_u32() as usize % (parts.len() + 1);
        match random.next_u32() % 3 {
            0 => parts.insert(at, OTHERS[random.next_u32() as usize % OTHERS.len()].into()),
            1 if at < parts.len() => drop(parts.remove(at)),
            _ => {
                let any = char::from_u32(random.next_u32() % 0x11_0000);
                parts.insert(at, any.unwrap_or('x').to_string());
            }
        }
    }
    parts.concat()
}

#[test]
fn every_text_has_an_answer_and_what_is_accepted_means_the_same_however_it_is_spaced() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let measurements = fixtures::measurements();
    let mut accepted = 0;
    for _ in 0..100_000 {
        let text = random_text(&mut random);
        match Threshold::new(&stated(&text), &declared()) {
            Ok(threshold) => {
                accepted += 1;
                assert!(threshold.expression.bound.is_finite(), "{text}");
                let (before, after) = text.split_at(text.find(['<', '>', '=', '!']).unwrap());
                let spaced =
                    Expression::parse(&format!("  {} {after}\t", before.trim()), &declared());
                assert_eq!(spaced, Ok(threshold.expression.clone()), "{text}");
                let value = outcome(threshold, &measurements).value;
                assert!(value.is_none_or(f64::is_finite), "{text}: {value:?}");
            }
            Err(error) => assert!(error.to_string().chars().count() < 500, "{error}"),
        }
    }
    assert!((4_000..95_000).contains(&accepted), "{accepted} texts were thresholds");
}
