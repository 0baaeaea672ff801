//! What came of the thresholds: the first thing said of a run.

use super::figures::{MAX_TEXT_CHARS, grouped, time};
use super::style::{BAD, GOOD, Style};
use crate::observability::Summary;
use crate::observability::text::printable;
use crate::observability::thresholds::ThresholdSummary;
use crate::observability::thresholds::metric::Unit;

/// A line each, in the order in which they were stated. None without any.
pub(super) fn thresholds(summary: &Summary, style: Style) -> Option<String> {
    let subjects: Vec<String> = summary.thresholds.iter().map(subject).collect();
    let width = subjects.iter().map(|subject| subject.chars().count()).max()?;
    let mut text = String::new();
    for (threshold, subject) in summary.thresholds.iter().zip(&subjects) {
        let (mark, color) = if threshold.pass { ("✓", GOOD) } else { ("✗", BAD) };
        text += &format!("{} {subject:<width$}  {}\n", style.paint(color, mark), found(threshold));
    }
    Some(text)
}

/// Those that failed, a sentence each.
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
    let value = threshold.value.map(|value| quantity(value, threshold.unit));
    let reason = threshold.reason.as_ref().map(|reason| printable(reason, MAX_TEXT_CHARS));
    let parts: Vec<String> = [value, reason].into_iter().flatten().collect();
    parts.join("; ")
}

fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Time => time(value),
        // A failure in millions is not 0 %.
        Unit::Share if value > 0.0 && value < 0.001 => format!("{:.5} %", 100.0 * value),
        Unit::Share => format!("{:.2} %", 100.0 * value),
        Unit::Count => grouped(value as u64),
        Unit::PerSecond => format!("{value:.1}/s"),
        Unit::Bytes => size(value),
        Unit::BytesPerSecond => format!("{}/s", size(value)),
        Unit::Number => value.to_string(),
    }
}

fn size(bytes: f64) -> String {
    match bytes {
        b if b < 1024.0 => format!("{b:.0} B"),
        b if b < 1024.0 * 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{:.1} MiB", b / (1024.0 * 1024.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::render;
    use super::*;
    use crate::observability::sample;

    fn threshold(expression: &str, value: Option<f64>, unit: Unit, pass: bool) -> ThresholdSummary {
        ThresholdSummary {
            expression: expression.into(),
            value,
            unit,
            pass,
            phase: None,
            workload: None,
            reason: None,
        }
    }

    fn summary() -> Summary {
        let mut summary = Summary::new(sample::facts(), &sample::measurements());
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
        let text = render(&summary(), None, Style { color: false, width: 100 });
        let expected = "\
✓ read.response.p99 < 20ms                            9.90 ms
✗ errors.rate < 0.1%, phase steady, workload editors  0.20 %; ended the run after 6.0 s
✗ write.response.p99 < 1s                             no samples
✓ bytes.read.rate > 1MiB                              2.0 MiB/s

office.lua on";
        assert_eq!(text.get(..expected.len()), Some(expected));
        let colorful = render(&summary(), None, Style { color: true, width: 100 });
        assert!(colorful.starts_with("\x1b[32m✓\x1b[0m read"), "{colorful}");
    }

    #[test]
    fn values_are_told_in_the_unit_of_the_metric() {
        for (value, unit, text) in [
            (1_500.0, Unit::Time, "1.50 ms"),
            (0.0, Unit::Share, "0.00 %"),
            (0.000_002, Unit::Share, "0.00020 %"),
            (0.5, Unit::Share, "50.00 %"),
            (12_345.0, Unit::Count, "12,345"),
            (500.0, Unit::PerSecond, "500.0/s"),
            (100.0, Unit::Bytes, "100 B"),
            (65_536.0, Unit::BytesPerSecond, "64.0 KiB/s"),
            (-0.5, Unit::Number, "-0.5"),
        ] {
            assert_eq!(quantity(value, unit), text);
        }
    }

    #[test]
    fn those_that_failed_are_a_sentence_each_and_foreign_names_are_escaped() {
        let mut summary = summary();
        summary.thresholds[1].phase = Some("\x1b[2J".into());
        let told: Vec<String> = failed(&summary).collect();
        assert_eq!(
            told,
            [
                "threshold failed: errors.rate < 0.1%, phase \\u{1b}[2J, workload editors: 0.20 %; ended the run after 6.0 s",
                "threshold failed: write.response.p99 < 1s: no samples",
            ]
        );
    }
}
