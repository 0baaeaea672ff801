//! Thresholds: a printed threshold parses as the same one, and no value for which it holds counts
//! as lost.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use smbench::ir::source::StatedThreshold;
use smbench::observability::thresholds::expression::Expression;
use smbench::observability::thresholds::metric::{MetricKind, Unit};
use smbench::observability::thresholds::{CustomKinds, Threshold};
use smbench_fuzz::readable;

static CUSTOM: LazyLock<CustomKinds> = LazyLock::new(|| {
    let kinds = [
        ("saves", (MetricKind::Counter, Unit::Number)),
        ("app.depth", (MetricKind::Gauge, Unit::Number)),
        ("hits", (MetricKind::Rate, Unit::Number)),
        ("app.save_latency", (MetricKind::Histogram, Unit::Time)),
        ("sizes", (MetricKind::Histogram, Unit::Bytes)),
    ];
    CustomKinds::from_iter(kinds.map(|(name, kind)| (name.to_string(), kind)))
});

fuzz_target!(|text: &str| {
    let parsed = match Expression::parse(text, &CUSTOM) {
        Ok(parsed) => parsed,
        Err(problem) => {
            readable(problem);
            let threshold = Threshold::new(&stated(text), &CUSTOM);
            return drop(readable(threshold.expect_err("what is no expression is no threshold")));
        }
    };
    assert!(parsed.bound.is_finite());
    assert_eq!(Expression::parse(&printed(text, &parsed), &CUSTOM).as_ref(), Ok(&parsed));
    let threshold = Threshold::new(&stated(text), &CUSTOM).expect("an expression alone");
    assert_eq!(threshold.expression, parsed);
    assert_eq!(threshold.text, text.trim());

    let below = parsed.bound.next_down();
    let above = parsed.bound.next_up();
    for value in [0.0, below, parsed.bound, above, f64::MAX] {
        assert!(!(parsed.is_lost(value) && parsed.holds(value)), "lost, and holds at {value}");
    }
    let held = [below, parsed.bound, above].map(|value| parsed.holds(value));
    assert!(held.contains(&true) && held.contains(&false), "it says nothing: {held:?}");
});

fn stated(text: &str) -> StatedThreshold {
    StatedThreshold {
        place: "s.lua:1".into(),
        expression: text.into(),
        phase: None,
        workload: None,
        abort_after_ns: Some(1),
    }
}

/// Returns the expression with its metric and operator as they were written, and its bound printed
/// anew.
fn printed(text: &str, parsed: &Expression) -> String {
    let at = text.rfind(['<', '>', '=', '!']).expect("an operator") + 1;
    let bound = parsed.bound;
    let bound = match parsed.metric.unit() {
        Unit::Time => format!("{bound}ns"),
        Unit::Share if bound == 1.0 => "100%".into(),
        Unit::PerSecond | Unit::BytesPerSecond => format!("{bound} /s"),
        Unit::Share | Unit::Count | Unit::Bytes | Unit::Number => bound.to_string(),
    };
    format!("{}\t{bound} ", text[..at].trim())
}
