//! Metrics a script declares and its hooks update.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::distribution::{Distribution, Statistic};
use super::merge::is_zero;
pub use super::thresholds::metric::MetricKind;
use super::thresholds::metric::Unit;
use super::thresholds::{CustomKinds, CustomValue};
use crate::protocol::LARGEST_EXACT;

/// The most metrics of a script; each costs a line in every report.
pub const MAX_METRICS: usize = 256;
/// The most combinations of tags kept for one metric, and for all metrics together. An update with
/// a further combination counts only in its metric as a whole.
const MAX_SERIES: usize = 100;
const MAX_SERIES_IN_ALL: usize = 500;

/// The unit of a histogram's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MetricUnit {
    Ns,
    Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricDeclaration {
    pub name: String,
    pub kind: MetricKind,
    pub unit: Option<MetricUnit>,
    pub help: Option<String>,
}

/// The tags of one update: their values by name, in the order of names.
pub type Tags = BTreeMap<String, String>;

/// The metrics of a run, in the order they were declared.
#[derive(Clone, Debug, Default)]
pub struct CustomMetrics {
    metrics: Vec<Metric>,
    series: usize,
}

#[derive(Clone, Debug)]
struct Metric {
    declaration: MetricDeclaration,
    whole: Series,
    tagged: BTreeMap<Tags, Series>,
    updates: u64,
    /// Updates whose combination of tags is not kept apart, because there are too many
    /// combinations.
    beyond: u64,
}

impl MetricDeclaration {
    /// Returns the kind of the metric, and the unit of its values.
    pub fn kind_and_unit(&self) -> (MetricKind, Unit) {
        let unit = match self.unit {
            Some(MetricUnit::Ns) => Unit::Time,
            Some(MetricUnit::Bytes) => Unit::Bytes,
            None => Unit::Number,
        };
        (self.kind, unit)
    }
}

impl CustomMetrics {
    pub fn new(declarations: impl IntoIterator<Item = MetricDeclaration>) -> CustomMetrics {
        let metric = |declaration: MetricDeclaration| Metric {
            whole: Series::new(declaration.kind),
            tagged: BTreeMap::new(),
            updates: 0,
            beyond: 0,
            declaration,
        };
        CustomMetrics { metrics: declarations.into_iter().map(metric).collect(), series: 0 }
    }

    /// Updates the metric that was declared at `index`. Its kind decides whether `value` is added,
    /// set, recorded or observed (true is 1).
    pub fn update(&mut self, index: usize, value: f64, tags: Option<Tags>) {
        let Some(metric) = self.metrics.get_mut(index) else { return };
        metric.updates += 1;
        metric.whole.update(value);
        let Some(tags) = tags.filter(|tags| !tags.is_empty()) else { return };
        if let Some(series) = metric.tagged.get_mut(&tags) {
            series.update(value);
        } else if metric.tagged.len() < MAX_SERIES && self.series < MAX_SERIES_IN_ALL {
            self.series += 1;
            let series = metric.tagged.entry(tags).or_insert(Series::new(metric.declaration.kind));
            series.update(value);
        } else {
            metric.beyond += 1;
        }
    }

    /// Returns the kinds of all metrics by name, as thresholds see them.
    pub fn threshold_kinds(&self) -> CustomKinds {
        let declarations = self.metrics.iter().map(|metric| &metric.declaration);
        declarations.map(|one| (one.name.clone(), one.kind_and_unit())).collect()
    }

    /// Returns the value of a metric that a threshold needs, and the number of updates behind
    /// it. The sum of a counter is known before the first update.
    pub fn value(&self, name: &str, wanted: CustomValue) -> Option<(f64, u64)> {
        let metric = self.metrics.iter().find(|metric| metric.declaration.name == name)?;
        let value = match (&metric.whole, wanted) {
            (Series::Counter(sum), CustomValue::Count | CustomValue::PerSecond) => {
                return Some((*sum, metric.updates.max(1)));
            }
            (Series::Gauge(gauge), CustomValue::Last) => (*gauge)?.last,
            (Series::Gauge(gauge), CustomValue::Of(Statistic::Min)) => (*gauge)?.min,
            (Series::Gauge(gauge), CustomValue::Of(Statistic::Max)) => (*gauge)?.max,
            (Series::Rate { yes, count }, CustomValue::Share) => *yes as f64 / *count as f64,
            (Series::Rate { count, .. }, CustomValue::Count) => *count as f64,
            (Series::Histogram(values), CustomValue::Count) => values.count() as f64,
            (Series::Histogram(values), CustomValue::Of(statistic)) => statistic.of(values),
            // Thresholds ask only for values that `threshold_kinds` allows.
            _ => return None,
        };
        Some((value, metric.updates))
    }

    /// Returns the metrics by name, for the summary.
    pub fn summary(&self) -> BTreeMap<String, MetricSummary> {
        let of = |metric: &Metric| MetricSummary {
            kind: metric.declaration.kind,
            unit: metric.declaration.unit,
            help: metric.declaration.help.clone(),
            figures: metric.whole.figures(),
            tagged: metric
                .tagged
                .iter()
                .map(|(tags, series)| TaggedSummary {
                    tags: tags.clone(),
                    figures: series.figures(),
                })
                .collect(),
            beyond_tags: metric.beyond,
        };
        self.metrics.iter().map(|metric| (metric.declaration.name.clone(), of(metric))).collect()
    }
}

#[derive(Clone, Debug)]
enum Series {
    Counter(f64),
    Gauge(Option<Gauge>),
    Rate { yes: u64, count: u64 },
    Histogram(Box<Distribution>),
}

#[derive(Clone, Copy, Debug)]
struct Gauge {
    last: f64,
    min: f64,
    max: f64,
}

impl Series {
    fn new(kind: MetricKind) -> Series {
        match kind {
            MetricKind::Counter => Series::Counter(0.0),
            MetricKind::Gauge => Series::Gauge(None),
            MetricKind::Rate => Series::Rate { yes: 0, count: 0 },
            MetricKind::Histogram => Series::Histogram(Box::default()),
        }
    }

    fn update(&mut self, value: f64) {
        match self {
            Series::Counter(sum) => *sum += value,
            Series::Gauge(gauge) => {
                let before = gauge.unwrap_or(Gauge { last: value, min: value, max: value });
                let (min, max) = (before.min.min(value), before.max.max(value));
                *gauge = Some(Gauge { last: value, min, max });
            }
            Series::Rate { yes, count } => {
                *yes += u64::from(value != 0.0);
                *count += 1;
            }
            // The caller has checked that the value is not negative.
            Series::Histogram(distribution) => distribution.record(value.round() as u64),
        }
    }

    fn figures(&self) -> MetricFigures {
        match self {
            Series::Counter(sum) => MetricFigures::Counter { value: MetricNumber(*sum) },
            Series::Gauge(gauge) => MetricFigures::Gauge {
                value: gauge.map(|gauge| MetricNumber(gauge.last)),
                min: gauge.map(|gauge| MetricNumber(gauge.min)),
                max: gauge.map(|gauge| MetricNumber(gauge.max)),
            },
            Series::Rate { yes, count } => MetricFigures::Rate {
                value: (*count > 0).then(|| *yes as f64 / *count as f64),
                yes: *yes,
                count: *count,
            },
            Series::Histogram(distribution) => MetricFigures::Histogram {
                count: distribution.count(),
                values: (distribution.count() > 0).then(|| MetricValues {
                    min: distribution.min_ns(),
                    mean: distribution.mean_ns(),
                    p50: distribution.quantile_ns(0.5),
                    p90: distribution.quantile_ns(0.9),
                    p95: distribution.quantile_ns(0.95),
                    p99: distribution.quantile_ns(0.99),
                    p999: distribution.quantile_ns(0.999),
                    max: distribution.max_ns(),
                }),
            },
        }
    }
}

/// A metric in the summary. Values are in its unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MetricSummary {
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// Unit of the values; absent where the script named none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<MetricUnit>,
    /// The description that the script gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(flatten)]
    pub figures: MetricFigures,
    /// The parts that came with tags: the same figures for each combination of tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tagged: Vec<TaggedSummary>,
    /// Updates with a combination of tags beyond those that are kept apart. They count in the
    /// figures of the whole metric only. Absent where there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub beyond_tags: u64,
}

/// The figures of one combination of tags.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaggedSummary {
    /// Values of the tags by their names.
    pub tags: Tags,
    #[serde(flatten)]
    pub figures: MetricFigures,
}

/// The figures of one series. A value that was never given is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum MetricFigures {
    /// Figures of a counter.
    Counter {
        /// The sum.
        value: MetricNumber,
    },
    /// Figures of a gauge.
    Gauge {
        /// The last value.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<MetricNumber>,
        /// The least value.
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<MetricNumber>,
        /// The greatest value.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<MetricNumber>,
    },
    /// Figures of a rate.
    Rate {
        /// The share of observations that were true, from 0 to 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<f64>,
        /// Number of observations that were true.
        #[serde(rename = "true")]
        yes: u64,
        /// Number of observations.
        count: u64,
    },
    /// Figures of a histogram: `min`, `mean` and `max` are exact, percentiles have three
    /// significant digits.
    Histogram {
        /// Number of values.
        count: u64,
        #[serde(flatten)]
        values: Option<MetricValues>,
    },
}

/// The values of a distribution; percentiles have three significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MetricValues {
    /// Least value, in the unit of the metric.
    pub min: u64,
    /// Mean, in the unit of the metric.
    pub mean: f64,
    /// Median, in the unit of the metric.
    pub p50: u64,
    /// 90th percentile, in the unit of the metric.
    pub p90: u64,
    /// 95th percentile, in the unit of the metric.
    pub p95: u64,
    /// 99th percentile, in the unit of the metric.
    pub p99: u64,
    /// 99.9th percentile, in the unit of the metric.
    pub p999: u64,
    /// Greatest value, in the unit of the metric.
    pub max: u64,
}

/// A number that is written without a fraction where it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline, with = "f64"))]
pub struct MetricNumber(pub f64);

impl Serialize for MetricNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            whole if whole.fract() == 0.0 && whole.abs() <= LARGEST_EXACT as f64 => {
                serializer.serialize_i64(whole as i64)
            }
            number => serializer.serialize_f64(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metrics(kinds: &[MetricKind]) -> CustomMetrics {
        let declared = kinds.iter().map(|kind| MetricDeclaration {
            name: format!("app.{}", kind.name()),
            kind: *kind,
            unit: (*kind == MetricKind::Histogram).then_some(MetricUnit::Ns),
            help: None,
        });
        CustomMetrics::new(declared)
    }

    fn tags(name: &str, value: &str) -> Option<Tags> {
        Some([(name.to_string(), value.to_string())].into())
    }

    #[test]
    fn each_kind_tells_what_it_was_given_and_its_parts_by_tags() {
        let mut metrics = metrics(&MetricKind::ALL);
        for (value, share) in [(1.0, "a"), (0.0, "b"), (2.5, "a")] {
            for index in 0..4 {
                metrics.update(index, value, tags("share", share));
            }
        }
        let summary = serde_json::to_value(metrics.summary()).unwrap();
        let part = |metric: &str, at: usize| summary[metric]["tagged"][at].clone();
        assert_eq!(summary["app.counter"]["value"], 3.5);
        assert_eq!(part("app.counter", 1), json!({ "tags": { "share": "b" }, "value": 0 }));
        let gauge = &summary["app.gauge"];
        assert_eq!((&gauge["value"], &gauge["min"]), (&json!(2.5), &json!(0)));
        let a = json!({ "tags": { "share": "a" }, "value": 1.0, "true": 2, "count": 2 });
        assert_eq!(part("app.rate", 0), a);
        let histogram = &summary["app.histogram"];
        assert_eq!((&histogram["type"], &histogram["unit"]), (&json!("histogram"), &json!("ns")));
        assert_eq!((&histogram["count"], &histogram["max"]), (&json!(3), &json!(3)));
        assert_eq!(histogram.get("beyond_tags"), None);
    }

    #[test]
    fn a_metric_that_was_never_updated_is_listed_without_a_value() {
        let summary = serde_json::to_value(metrics(&MetricKind::ALL).summary()).unwrap();
        assert_eq!(summary["app.counter"], json!({ "type": "counter", "value": 0 }));
        assert_eq!(summary["app.gauge"], json!({ "type": "gauge" }));
        assert_eq!(summary["app.rate"], json!({ "type": "rate", "true": 0, "count": 0 }));
        let histogram = json!({ "type": "histogram", "unit": "ns", "count": 0 });
        assert_eq!(summary["app.histogram"], histogram);
    }

    #[test]
    fn tags_beyond_the_bound_are_counted_and_their_values_are_in_the_whole() {
        let mut metrics = metrics(&[MetricKind::Counter]);
        for i in 0..MAX_SERIES + 7 {
            metrics.update(0, 1.0, tags("i", &i.to_string()));
        }
        let summary = &metrics.summary()["app.counter"];
        assert_eq!(summary.figures, MetricFigures::Counter { value: MetricNumber(107.0) });
        assert_eq!((summary.tagged.len(), summary.beyond_tags), (MAX_SERIES, 7));
    }
}
