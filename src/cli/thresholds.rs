//! The results of the thresholds, which come first in the report.

use super::number_format::{MAX_TEXT_CHARS, grouped, time_that};
use super::style::{BAD, GOOD, Style};
use crate::observability::Summary;
use crate::observability::columns::{self, left_aligned};
use crate::observability::rounding::{rounded, value};
use crate::observability::text::printable;
use crate::observability::thresholds::ThresholdSummary;
use crate::observability::thresholds::metric::Unit;

/// Returns a line for each threshold, in the order in which they were stated; None if there are
/// none.
pub(super) fn thresholds(summary: &Summary, style: Style) -> Option<String> {
    let subjects: Vec<String> = summary.thresholds.iter().map(subject).collect();
    let width = subjects.iter().map(|subject| columns::width(subject)).max()?;
    let mut text = String::new();
    for (threshold, subject) in summary.thresholds.iter().zip(&subjects) {
        let (mark, color) = if threshold.pass { ("✓", GOOD) } else { ("✗", BAD) };
        let subject = left_aligned(subject, width);
        text += &format!("{} {subject}  {}\n", style.paint(color, mark), found(threshold));
    }
    Some(text)
}

/// Returns a sentence for each threshold that failed.
pub(super) fn failed(summary: &Summary) -> impl Iterator<Item = String> {
    let failed = summary.thresholds.iter().filter(|threshold| !threshold.pass);
    failed
        .map(|threshold| format!("threshold failed: {}: {}", subject(threshold), found(threshold)))
}

fn subject(threshold: &ThresholdSummary) -> String {
    let mut text = printable(&threshold.expression, MAX_TEXT_CHARS);
    for (what, name) in [("phase", &threshold.phase), ("workload", &threshold.workload)] {
        if let Some(name) = name {
            text += &format!(", {what} {}", printable(name, MAX_TEXT_CHARS));
        }
    }
    text
}

fn found(threshold: &ThresholdSummary) -> String {
    let value = threshold.value.map(|value| shown(threshold, value));
    let reason = threshold.reason.as_ref().map(|reason| printable(reason, MAX_TEXT_CHARS));
    let parts: Vec<String> = [value, reason].into_iter().flatten().collect();
    parts.join("; ")
}

/// Returns the value with enough digits that its comparison with the bound agrees with the verdict.
fn shown(threshold: &ThresholdSummary, value: f64) -> String {
    let Some(comparison) = threshold.comparison else {
        return quantity(value, threshold.unit, &|_| true);
    };
    let holds = comparison.holds(value);
    quantity(value, threshold.unit, &|shown| comparison.holds(shown) == holds)
}

/// Returns `number` with enough digits that `keeps` accepts the printed number, in the same unit.
fn quantity(number: f64, unit: Unit, keeps: &dyn Fn(f64) -> bool) -> String {
    // A value that is not zero is not shown as zero.
    let keeps = |shown: f64| (shown == 0.0) == (number == 0.0) && keeps(shown);
    match unit {
        Unit::Time => time_that(number, keeps),
        Unit::Share => {
            // Read as hundredths, as the bound is, instead of divided, so that rounding is the
            // same.
            let is_all = |share: f64| share == 1.0;
            rounded(100.0 * number, 2, |text| {
                let share = value(&format!("{text}e-2"));
                keeps(share) && is_all(share) == is_all(number)
            }) + " %"
        }
        Unit::Count if number.fract() != 0.0 => number.to_string(),
        Unit::Count => grouped(number as u64),
        Unit::PerSecond => rounded(number, 1, |text| keeps(value(text))) + "/s",
        Unit::Bytes => size(number, keeps),
        Unit::BytesPerSecond => size(number, keeps) + "/s",
        Unit::Number => number.to_string(),
    }
}

fn size(bytes: f64, keeps: impl Fn(f64) -> bool) -> String {
    let (divisor, decimals, unit) = match bytes {
        b if b < 1024.0 => (1.0, 0, "B"),
        b if b < 1024.0 * 1024.0 => (1024.0, 1, "KiB"),
        _ => (1024.0 * 1024.0, 1, "MiB"),
    };
    let digits = rounded(bytes / divisor, decimals, |text| keeps(value(text) * divisor));
    format!("{digits} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::report::render;
    use super::*;
    use crate::observability::fixtures;
    use crate::observability::thresholds::CustomKinds;
    use crate::observability::thresholds::expression::Expression;

    fn threshold(expression: &str, value: Option<f64>, unit: Unit, pass: bool) -> ThresholdSummary {
        ThresholdSummary {
            expression: expression.into(),
            value,
            unit,
            pass,
            comparison: Expression::parse(expression, &CustomKinds::new())
                .ok()
                .map(|expression| expression.comparison_in_summary()),
            phase: None,
            workload: None,
            reason: None,
        }
    }

    fn summary() -> Summary {
        let mut summary = Summary::new(fixtures::facts(), &fixtures::measurements());
        summary.thresholds = vec![
            threshold("read.response.p99 < 20ms", Some(9_904.0), Unit::Time, true),
            ThresholdSummary {
                phase: Some("steady".into()),
                workload: Some("editors".into()),
                reason: Some("ended the run after 6.0 s".into()),
                ..threshold("errors.rate < 0.1%", Some(0.00199), Unit::Share, false)
            },
            ThresholdSummary {
                reason: Some("no samples".into()),
                ..threshold("write.response.p99 < 1s", None, Unit::Time, false)
            },
            threshold("bytes.read.rate > 1MiB", Some(2_048_000.0), Unit::BytesPerSecond, true),
        ];
        summary
    }

    #[test]
    fn thresholds_come_first_with_a_mark_that_needs_no_colour() {
        let text = render(&summary(), None, Style::plain(100));
        let expected = "\
✓ read.response.p99 < 20ms                            9.90 ms
✗ errors.rate < 0.1%, phase steady, workload editors  0.20 %; ended the run after 6.0 s
✗ write.response.p99 < 1s                             no samples
✓ bytes.read.rate > 1MiB                              2.0 MiB/s

office.lua on";
        assert_eq!(text.get(..expected.len()), Some(expected));
        let colorful = render(&summary(), None, Style { color: true, ..Style::plain(100) });
        assert!(colorful.starts_with("\x1b[32m✓\x1b[0m read"), "{colorful}");
    }

    #[test]
    fn values_are_shown_in_the_unit_of_the_metric() {
        for (value, unit, text) in [
            (1_500.0, Unit::Time, "1.50 ms"),
            (0.0, Unit::Share, "0.00 %"),
            (0.000_002, Unit::Share, "0.0002 %"),
            (0.5, Unit::Share, "50.00 %"),
            (12_345.0, Unit::Count, "12,345"),
            (500.0, Unit::PerSecond, "500.0/s"),
            (100.0, Unit::Bytes, "100 B"),
            (65_536.0, Unit::BytesPerSecond, "64.0 KiB/s"),
            (-0.5, Unit::Number, "-0.5"),
        ] {
            assert_eq!(quantity(value, unit, &|_| true), text);
        }
    }

    #[test]
    fn the_value_that_is_shown_compares_with_the_bound_as_the_verdict_says() {
        for (expression, value, unit, pass, text) in [
            ("read.rate > 1", 1.04, Unit::PerSecond, true, "1.04/s"),
            ("read.rate > 1", 1.0, Unit::PerSecond, false, "1.0/s"),
            ("read.rate != 2", 2.000_1, Unit::PerSecond, true, "2.0001/s"),
            ("read.response.p99 < 9.9ms", 9_899.6, Unit::Time, true, "9.8996 ms"),
            ("read.response.p99 < 9.9ms", 9_900.0, Unit::Time, false, "9.90 ms"),
            ("read.response.p99 <= 5s", 5_000_001.0, Unit::Time, false, "5.000001 s"),
            ("read.response.p99 < 5s", 5_000_001.0, Unit::Time, false, "5.00 s"),
            ("errors.rate < 1%", 0.009_999, Unit::Share, true, "0.9999 %"),
            ("errors.rate < 1%", 0.010_001, Unit::Share, false, "1.00 %"),
            ("errors.rate < 0.1%", 0.001, Unit::Share, false, "0.10 %"),
            ("errors.rate < 100%", 0.999_999, Unit::Share, true, "99.9999 %"),
            ("bytes.read.rate > 1MiB", 1_048_600.0, Unit::BytesPerSecond, true, "1.00002 MiB/s"),
            ("bytes.read.rate > 1000", 1_000.2, Unit::BytesPerSecond, true, "1000.2 B/s"),
        ] {
            let threshold = threshold(expression, Some(value), unit, pass);
            assert_eq!(threshold.comparison.unwrap().holds(value), pass, "{expression}");
            assert_eq!(found(&threshold), text, "{expression}");
        }
    }

    #[test]
    fn each_failed_threshold_is_a_sentence_and_foreign_names_are_escaped() {
        let mut summary = summary();
        summary.thresholds[1].phase = Some("\x1b[2J".into());
        let reported: Vec<String> = failed(&summary).collect();
        assert_eq!(
            reported,
            [
                "threshold failed: errors.rate < 0.1%, phase \\u{1b}[2J, workload editors: 0.20 %; ended the run after 6.0 s",
                "threshold failed: write.response.p99 < 1s: no samples",
            ]
        );
    }
}
