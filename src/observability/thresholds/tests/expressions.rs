use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::super::super::distribution::Statistic;
use super::super::super::failures::StatusKey::{self, Status};
use super::super::super::metrics::Delay;
use super::super::expression::Operator;
use super::super::metric::{
    Counted, DisconnectedValue, IterationCount, Metric, Subject, Timed, Unit,
};
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
        (
            "read.response.p99 < 20ms",
            Metric::Time(Timed::Response(operation(Read)), Statistic::Quantile(0.99)),
            Less,
            2e7,
        ),
        (
            "all.service.max<=1.5s",
            Metric::Time(Timed::Service(Subject::All), Statistic::Max),
            AtMost,
            1.5e9,
        ),
        (" open.count  >= 10 ", Metric::Count(Counted::Ended(operation(Open))), AtLeast, 10.0),
        ("all.rate > 12.5/s", Metric::PerSecond(Counted::Ended(Subject::All)), More, 12.5),
        ("write.failed==0", Metric::Count(Counted::Failed(operation(Write))), Equal, 0.0),
        (
            "iterations.dropped != 3",
            Metric::Count(Counted::Iterations(IterationCount::Dropped)),
            Unequal,
            3.0,
        ),
        (
            "iterations.rate >= 200",
            Metric::PerSecond(Counted::Ended(Subject::Iterations)),
            AtLeast,
            200.0,
        ),
        ("errors.count <1", Metric::Count(Counted::Errors), Less, 1.0),
        ("errors.rate < 0.1%", Metric::ErrorShare, Less, 0.001),
        ("errors.rate < 0.001", Metric::ErrorShare, Less, 0.001),
        ("errors.rate <= 100 %", Metric::ErrorShare, AtMost, 1.0),
        (
            "errors.access_denied == 0",
            Metric::Count(Counted::ErrorsWith(Status(NtStatus::ACCESS_DENIED))),
            Equal,
            0.0,
        ),
        (
            "errors.TIMED_OUT == 0",
            Metric::Count(Counted::ErrorsWith(StatusKey::TimedOut)),
            Equal,
            0.0,
        ),
        (
            "errors.0xC0DE0001 == 0",
            Metric::Count(Counted::ErrorsWith(Status(NtStatus(0xC0DE_0001)))),
            Equal,
            0.0,
        ),
        (
            "lateness.p99 < 0",
            Metric::Time(Timed::Delay(Delay::Lateness), Statistic::Quantile(0.99)),
            Less,
            0.0,
        ),
        (
            "backlog.mean < 1us",
            Metric::Time(Timed::Delay(Delay::Backlog), Statistic::Mean),
            Less,
            1e3,
        ),
        (
            "handoff.p50 < 1us",
            Metric::Time(Timed::Delay(Delay::Handoff), Statistic::Quantile(0.5)),
            Less,
            1e3,
        ),
        (
            "disconnected.client_seconds < 1.5",
            Metric::Disconnected(DisconnectedValue::ClientSeconds),
            Less,
            1.5,
        ),
        ("disconnected.longest < 2s", Metric::Disconnected(DisconnectedValue::Longest), Less, 2e9),
        ("pickup.max < 1ms", Metric::Time(Timed::Delay(Delay::Pickup), Statistic::Max), Less, 1e6),
        ("bytes.read.count > 1GiB", Metric::Count(Counted::Bytes(Read)), More, 1_073_741_824.0),
        (
            "bytes.written.rate > 100MiB/s",
            Metric::PerSecond(Counted::Bytes(Write)),
            More,
            104_857_600.0,
        ),
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
fn a_mistake_is_reported_with_the_right_word_or_unit() {
    for (text, problem) in [
        (
            "",
            "it is empty; write a metric, a comparison and a value, such as 'read.response.p99 < 20ms'",
        ),
        (
            "read.response.p99",
            "it has no comparison; write a metric, a comparison and a value, such as 'read.response.p99 < 20ms'",
        ),
        (
            "< 20ms",
            "it has no metric before the comparison; write a metric, a comparison and a value, such as 'read.response.p99 < 20ms'",
        ),
        (
            "app.h{op=stat}.p99 < 1s",
            "a threshold cannot select values of a metric by their tags; let a hook record these in a metric of their own",
        ),
        ("read.response.p99 = 20ms", "'=' is not a comparison; write =="),
        ("read.response.p99 =< 20ms", "'=' is not a comparison; write <="),
        ("read.response.p99 => 20ms", "'=' is not a comparison; write >="),
        ("read.response.p99 ! 20ms", "'!' is not a comparison; write !="),
        ("raed.response.p99 < 20ms", "unknown metric 'raed': did you mean 'read'?"),
        ("read.respnse.p99 < 20ms", "unknown metric 'read.respnse': did you mean 'read.response'?"),
        (
            "read.response.p75 < 20ms",
            "unknown metric 'read.response.p75': the statistics are p50, p90, p95, p99, p999, min, mean, max",
        ),
        (
            "read.response.p(95) < 20ms",
            "unknown metric 'read.response.p(95)': write read.response.p95",
        ),
        ("read.response.p99.9 < 20ms", "write read.response.p999 for read.response.p99.9"),
        ("read.response.p99.5 < 20ms", "nothing may follow read.response.p99: remove '.5'"),
        ("all.service.avg < 20ms", "unknown metric 'all.service.avg': write all.service.mean"),
        ("read.avg < 20ms", "unknown metric 'read.avg': write read.response.mean"),
        (
            "read.latency.p95 < 20ms",
            "unknown metric 'read.latency': write read.response for the time since it was due, or read.service for the time since it was sent",
        ),
        (
            "http_req_failed < 1%",
            "unknown metric 'http_req_failed': write a metric such as 'errors.rate'",
        ),
        ("lateness.med < 20ms", "unknown metric 'lateness.med': write lateness.p50"),
        (
            "read.response < 20ms",
            "'read.response' is not a whole metric: write read.response.p50, for example (one of p50, p90, p95, p99, p999, min, mean, max)",
        ),
        ("read.p99 < 20ms", "unknown metric 'read.p99': write read.response.p99"),
        (
            "read < 20ms",
            "'read' is not a whole metric: write read.response, for example (one of response, service, count, rate, failed)",
        ),
        (
            "read.dropped < 2",
            "unknown metric 'read.dropped': after read comes one of response, service, count, rate, failed",
        ),
        (
            "step < 20ms",
            "'step' is not a whole metric: write the name of a step after it, such as step.save.response.p99",
        ),
        (
            "step. < 20ms",
            "'step' is not a whole metric: write the name of a step after it, such as step.save.response.p99",
        ),
        (
            "step.sa ve.count < 2",
            "\"sa ve\" is not the name of a step: a name has 1 to 64 characters, which are letters (A to Z, a to z), digits, '_' and '-'",
        ),
        (
            "step.save < 20ms",
            "'step.save' is not a whole metric: write step.save.response, for example (one of response, count, rate, failed, skipped, cut)",
        ),
        ("step.save.p99 < 20ms", "unknown metric 'step.save.p99': write step.save.response.p99"),
        (
            "step.save.latency < 20ms",
            "unknown metric 'step.save.latency': write step.save.response",
        ),
        (
            "step.save.service.p99 < 20ms",
            "unknown metric 'step.save.service': write step.save.response",
        ),
        (
            "step.save.response.p99 < 20",
            "step.save.response.p99 is a time: write it with its unit, such as 20ms or 1.5s, not '20'",
        ),
        (
            "errors.ACCES_DENIED == 0",
            "unknown status 'ACCES_DENIED': did you mean 'errors.ACCESS_DENIED'?",
        ),
        (
            "errors.p99 < 5",
            "unknown metric 'errors.p99': write errors.count, errors.rate, or errors with the name of a status, such as errors.ACCESS_DENIED",
        ),
        ("bytes.write.rate > 1MiB", "unknown metric 'bytes.write': did you mean 'bytes.written'?"),
        (
            "bytes.read > 1MiB",
            "'bytes.read' is not a whole metric: write bytes.read.count, for example (one of count, rate)",
        ),
        (
            "app.save_latncy.p99 < 50ms",
            "unknown metric 'app.save_latncy': did you mean 'app.save_latency'?",
        ),
        (
            "app.saves > 5",
            "'app.saves' is not a whole metric: write app.saves.count, for example (one of count, rate)",
        ),
        (
            "app.saves.p99 > 5",
            "unknown metric 'app.saves.p99': after app.saves comes one of count, rate",
        ),
        (
            "zzz.qq < 1",
            "unknown metric 'zzz.qq': a metric begins with all, iterations, step, errors, bytes, lateness, backlog, handoff, pickup, breaks, disconnected, a type of operation (open, read, …) or the name of a metric that the script declares",
        ),
        (
            "read.response.p99 < 20",
            "read.response.p99 is a time: write it with its unit, such as 20ms or 1.5s, not '20'",
        ),
        (
            "read.response.p99 < 1%",
            "read.response.p99 is a time: write it with its unit, such as 20ms or 1.5s, not '1%'",
        ),
        (
            "errors.rate < 20ms",
            "errors.rate is a share: write it in percent, such as 1%, or below 1, such as 0.01, not '20ms'",
        ),
        (
            "errors.rate < 1",
            "errors.rate is a share: write it in percent, such as 1%, or below 1, such as 0.01, not '1'",
        ),
        (
            "errors.rate < 101%",
            "errors.rate is a share: write it in percent, such as 1%, or below 1, such as 0.01, not '101%'",
        ),
        (
            "errors.count < 1%",
            "errors.count is a count: write a whole number, such as 100, not '1%'",
        ),
        ("all.rate > -5", "all.rate is a number per second: write it as 500 or 500/s, not '-5'"),
        (
            "bytes.read.rate > 5ms",
            "bytes.read.rate is a number of bytes per second: write it as a size, such as 100MiB or 100MiB/s, not '5ms'",
        ),
        (
            "open.count <",
            "it has no value; open.count is a count: write a whole number, such as 100",
        ),
        (
            "app.queue.value < 5ms",
            "app.queue.value is a number: write it without a unit, such as 0.5, not '5ms'",
        ),
    ] {
        assert_eq!(refused(text), problem, "{text}");
    }
    assert!(refused(&"x".repeat(301)).starts_with("it is longer than 300 characters"));
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
        (
            "read.count > 1",
            "",
            "writers",
            "unknown workload 'writers': use one of editors, readers",
        ),
        (
            "lateness.p99 < 1ms",
            "",
            "readers",
            "it is measured by phase, not by workload; remove `workload`",
        ),
        (
            "app.saves.count > 1",
            "steady",
            "",
            "a metric that a script declares is not measured by phase or workload; remove `phase` and `workload`, and select in the hook what is counted",
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
