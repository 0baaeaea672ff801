//! The part of the report on the metrics that a script declared.

use super::number_format::{counted, grouped, time};
use super::style::{DIM, Style};
use crate::observability::columns::{self, left_aligned};
use crate::observability::custom_metrics::{MetricFigures, MetricNumber, MetricUnit};
use crate::observability::rounding::{nonzero, share as share_of};
use crate::observability::text::printable;
use crate::observability::{MetricSummary, Summary};

const MAX_NAME_CHARS: usize = 64;
/// Maximum number of tag combinations printed for a metric; the summary has all of them.
const MOST_TAGGED: usize = 10;

/// Returns one line for each metric and for each of its tag combinations; None if there are no
/// metrics.
pub(super) fn metrics(summary: &Summary, style: Style) -> Option<String> {
    let mut lines = Vec::new();
    for (name, metric) in &summary.metrics {
        lines
            .push((printable(name, MAX_NAME_CHARS), written_figures(&metric.figures, metric.unit)));
        for part in metric.tagged.iter().take(MOST_TAGGED) {
            let tags: Vec<String> =
                part.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
            let tags = format!("  {}", printable(&tags.join(" "), MAX_NAME_CHARS));
            lines.push((tags, written_figures(&part.figures, metric.unit)));
        }
        lines.extend(beyond(metric).map(|count| ("  others".into(), count)));
    }
    let width = lines.iter().map(|(name, _)| columns::width(name)).max()?;
    let mut text = style.paint(DIM, "metrics of the script") + "\n";
    for (name, value) in lines {
        text += &format!("{}  {value}\n", left_aligned(&name, width));
    }
    Some(text)
}

fn beyond(metric: &MetricSummary) -> Option<String> {
    let unprinted = metric.tagged.len().saturating_sub(MOST_TAGGED) as u64;
    let parts = format!("{} in summary.json", counted(unprinted, "part"));
    let updates = counted(metric.beyond_tags, "update");
    let updates = format!("{updates} with more combinations of tags than are kept separately");
    match (unprinted, metric.beyond_tags) {
        (0, 0) => None,
        (_, 0) => Some(parts),
        (0, _) => Some(updates),
        _ => Some(format!("{parts}; {updates}")),
    }
}

fn written_figures(figures: &MetricFigures, unit: Option<MetricUnit>) -> String {
    let value = |value: f64| match unit {
        Some(MetricUnit::Ns) => time(value / 1e3),
        Some(MetricUnit::Bytes) => format!("{} B", plain(value)),
        None => plain(value),
    };
    match figures {
        MetricFigures::Counter { value } => plain(value.0),
        MetricFigures::Gauge { value: Some(last), min: Some(min), max: Some(max) } => {
            let [last, min, max] = [last, min, max].map(|MetricNumber(number)| plain(*number));
            format!("{last}, from {min} to {max}")
        }
        MetricFigures::Gauge { .. } => "never set".into(),
        MetricFigures::Rate { value: Some(share), yes, count } => {
            format!("{} ({} of {})", share_of(*share, 2), grouped(*yes), grouped(*count))
        }
        MetricFigures::Rate { value: None, .. } => "never observed".into(),
        MetricFigures::Histogram { values: Some(values), count } => format!(
            "p50 {}, p99 {}, max {}; {} recorded",
            value(values.p50 as f64),
            value(values.p99 as f64),
            value(values.max as f64),
            grouped(*count),
        ),
        MetricFigures::Histogram { values: None, .. } => "nothing recorded".into(),
    }
}

fn plain(number: f64) -> String {
    match number {
        whole if whole >= 0.0 && whole.fract() == 0.0 && whole < 1e15 => grouped(whole as u64),
        number => nonzero(number, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::{Measurements, RunFacts, fixtures};

    #[test]
    fn metrics_stand_one_a_line_with_their_parts_by_tags() {
        let facts = RunFacts { metrics: fixtures::metrics(), ..fixtures::facts() };
        let nothing = Measurements::new(fixtures::layout());
        let mut summary = Summary::new(facts, &nothing);
        let style = Style::plain(80);
        summary.metrics.get_mut("app.histogram").unwrap().unit = Some(MetricUnit::Ns);
        summary.metrics.get_mut("app.counter").unwrap().beyond_tags = 3;
        assert_eq!(
            metrics(&summary, style).unwrap(),
            "\
metrics of the script
app.counter    1,234,568
  share=a      1,234,567
  others       3 updates with more combinations of tags than are kept separately
app.gauge      1,234,567, from 1 to 1,234,567
  share=a      1,234,567, from 1,234,567 to 1,234,567
app.histogram  p50 0.001 µs, p99 1.23 ms, max 1.23 ms; 2 recorded
  share=a      p50 1.23 ms, p99 1.23 ms, max 1.23 ms; 1 recorded
app.rate       100.00 % (2 of 2)
  share=a      100.00 % (1 of 1)
"
        );
        summary.metrics.clear();
        assert_eq!(metrics(&summary, style), None);
    }
}
