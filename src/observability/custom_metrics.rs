//! Metrics a script declares and its hooks update.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::distribution::{Distribution, Statistic};
use super::merge::is_zero;
pub use super::thresholds::metric::MetricKind;
use super::thresholds::metric::Unit;
use super::thresholds::{CustomKinds, CustomValue};
use crate::ir::event::FIRST_GENERATION;
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

/// The metrics of a run, in the order they were declared. They outlive the script that declares
/// them: the script of a later generation updates the metrics of the same names.
#[derive(Clone, Debug, Default)]
pub struct CustomMetrics {
    metrics: Vec<Metric>,
    /// The number of combinations of tags, over the whole run and in the present generation.
    series: usize,
    own_series: usize,
    /// The present generation. None before the first.
    generation: Option<u32>,
    /// The index in `metrics` of each metric that the present generation declares.
    declared: Vec<usize>,
    /// The figures of earlier generations.
    past: BTreeMap<u32, BTreeMap<String, MetricSummary>>,
}

#[derive(Clone, Debug)]
struct Metric {
    declaration: MetricDeclaration,
    /// The values of the whole run.
    whole: MetricSeries,
    /// The values of the present generation. None in the first, which has those of the whole run.
    own: Option<MetricSeries>,
}

/// The values of one metric.
#[derive(Clone, Debug)]
struct MetricSeries {
    kind: MetricKind,
    all: Series,
    tagged: BTreeMap<Tags, Series>,
    updates: u64,
    /// Updates whose combination of tags is not kept apart, because there are too many
    /// combinations.
    beyond: u64,
}

impl MetricSeries {
    fn new(kind: MetricKind) -> MetricSeries {
        let (all, tagged) = (Series::new(kind), BTreeMap::new());
        MetricSeries { kind, all, tagged, updates: 0, beyond: 0 }
    }

    /// Adds a value. `series` is the number of combinations of tags over all metrics.
    fn update(&mut self, value: f64, tags: Option<&Tags>, series: &mut usize) {
        self.updates += 1;
        self.all.update(value);
        let Some(tags) = tags.filter(|tags| !tags.is_empty()) else { return };
        if let Some(tagged) = self.tagged.get_mut(tags) {
            tagged.update(value);
        } else if self.tagged.len() < MAX_SERIES && *series < MAX_SERIES_IN_ALL {
            *series += 1;
            self.tagged.entry(tags.clone()).or_insert(Series::new(self.kind)).update(value);
        } else {
            self.beyond += 1;
        }
    }
}

impl MetricDeclaration {
    fn described(&self) -> String {
        let unit = match self.unit {
            Some(MetricUnit::Ns) => " in ns",
            Some(MetricUnit::Bytes) => " in bytes",
            None => "",
        };
        format!("{}{unit}", self.kind.name())
    }

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
    /// Creates the metrics of a run's first generation.
    pub fn new(declarations: impl IntoIterator<Item = MetricDeclaration>) -> CustomMetrics {
        let mut metrics = CustomMetrics::default();
        let declarations: Vec<MetricDeclaration> = declarations.into_iter().collect();
        metrics.begin(FIRST_GENERATION, &declarations);
        metrics
    }

    /// Checks that a later generation may declare these metrics.
    ///
    /// # Errors
    /// A message that names the metric, if it has another kind or unit now, or if there are too many
    /// metrics over all generations.
    pub fn check(&self, declarations: &[MetricDeclaration]) -> Result<(), String> {
        let mut added = 0;
        for declaration in declarations {
            let Some(at) = self.find(&declaration.name) else {
                added += 1;
                continue;
            };
            let known = &self.metrics[at].declaration;
            if (known.kind, known.unit) != (declaration.kind, declaration.unit) {
                return Err(format!(
                    "metric '{}' is a {} in this run and a {} in the changed script: restart the run, or give the metric another name",
                    declaration.name,
                    known.described(),
                    declaration.described(),
                ));
            }
        }
        match self.metrics.len() + added {
            all if all > MAX_METRICS => Err(format!(
                "{all} metrics over all generations of this run, of which there are at most {MAX_METRICS}: restart the run"
            )),
            _ => Ok(()),
        }
    }

    /// Adds the metrics that are not there yet. [`CustomMetrics::check`] has accepted them.
    pub fn declare(&mut self, declarations: &[MetricDeclaration]) {
        for declaration in declarations {
            match self.find(&declaration.name) {
                Some(at) => self.metrics[at].declaration.help = declaration.help.clone(),
                None => {
                    let whole = MetricSeries::new(declaration.kind);
                    let own = self.generation.map(|_| whole.clone());
                    self.metrics.push(Metric { declaration: declaration.clone(), whole, own });
                }
            }
        }
    }

    /// Begins a generation. Updates from now on are those of its script, which declares these
    /// metrics in this order.
    pub fn begin(&mut self, generation: u32, declarations: &[MetricDeclaration]) {
        self.declare(declarations);
        if let Some(before) = self.generation.replace(generation) {
            let figures = self.figures_of_generation();
            self.past.insert(before, figures);
            self.own_series = 0;
            for metric in &mut self.metrics {
                metric.own = Some(MetricSeries::new(metric.declaration.kind));
            }
        }
        self.declared =
            declarations.iter().filter_map(|declaration| self.find(&declaration.name)).collect();
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.declaration.name == name)
    }

    /// Updates the metric that the script declared at `index`. Its kind decides whether `value` is
    /// added, set, recorded or observed (true is 1).
    pub fn update(&mut self, index: usize, value: f64, tags: Option<Tags>) {
        let Some(metric) = self.declared.get(index).and_then(|at| self.metrics.get_mut(*at)) else {
            return;
        };
        metric.whole.update(value, tags.as_ref(), &mut self.series);
        if let Some(own) = &mut metric.own {
            own.update(value, tags.as_ref(), &mut self.own_series);
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
        let metric = &self.metrics[self.find(name)?].whole;
        let value = match (&metric.all, wanted) {
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
        let metrics = self.metrics.iter();
        metrics.map(|metric| metric.summary(&metric.whole)).collect()
    }

    /// Returns the metrics of each generation whose hooks were called, as [`CustomMetrics::summary`]
    /// returns those of the run.
    pub fn by_generation(&self) -> BTreeMap<u32, BTreeMap<String, MetricSummary>> {
        let present = self.generation.map(|present| (present, self.figures_of_generation()));
        self.past.clone().into_iter().chain(present).collect()
    }

    /// Returns the metrics that the present generation declares, with its own values.
    fn figures_of_generation(&self) -> BTreeMap<String, MetricSummary> {
        let declared = self.declared.iter().map(|at| &self.metrics[*at]);
        declared
            .map(|metric| metric.summary(metric.own.as_ref().unwrap_or(&metric.whole)))
            .collect()
    }
}

impl Metric {
    fn summary(&self, series: &MetricSeries) -> (String, MetricSummary) {
        let MetricDeclaration { name, kind, unit, help } = self.declaration.clone();
        let part = |(tags, series): (&Tags, &Series)| TaggedSummary {
            tags: tags.clone(),
            figures: series.figures(),
        };
        let summary = MetricSummary {
            kind,
            unit,
            help,
            figures: series.all.figures(),
            tagged: series.tagged.iter().map(part).collect(),
            beyond_tags: series.beyond,
        };
        (name, summary)
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

    fn declared(name: &str, kind: MetricKind) -> MetricDeclaration {
        MetricDeclaration { name: name.into(), kind, unit: None, help: None }
    }

    #[test]
    fn metrics_outlive_the_generation_that_declares_them_and_are_split_by_generation() {
        let (a, b, c) = ("a", "b", "c");
        let counter = |name: &str| declared(name, MetricKind::Counter);
        let mut metrics = CustomMetrics::new([counter(a), counter(b)]);
        metrics.update(0, 1.0, tags("share", "x"));
        metrics.update(1, 10.0, None);
        metrics.begin(2, &[counter(c), counter(a)]);
        metrics.update(0, 100.0, None);
        metrics.update(1, 2.0, tags("share", "x"));
        // Generation 3 has no hooks.
        metrics.begin(4, &[counter(b)]);
        metrics.update(0, 20.0, None);
        metrics.update(1, 7.0, None);
        let values = |summary: &BTreeMap<String, MetricSummary>| -> Vec<(String, f64)> {
            let value = |(name, metric): (&String, &MetricSummary)| match metric.figures {
                MetricFigures::Counter { value } => (name.clone(), value.0),
                _ => unreachable!("counters only"),
            };
            summary.iter().map(value).collect()
        };
        let named = |values: &[(&str, f64)]| -> Vec<(String, f64)> {
            values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
        };
        assert_eq!(values(&metrics.summary()), named(&[("a", 3.0), ("b", 30.0), ("c", 100.0)]));
        let parts = metrics.by_generation();
        assert_eq!(parts.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(values(&parts[&1]), named(&[("a", 1.0), ("b", 10.0)]));
        assert_eq!(values(&parts[&2]), named(&[("a", 2.0), ("c", 100.0)]));
        assert_eq!(values(&parts[&4]), named(&[("b", 20.0)]));
        assert_eq!(parts[&2]["a"].tagged.len(), 1);
        assert_eq!(metrics.value("a", CustomValue::Count), Some((3.0, 2)));
    }

    #[test]
    fn a_metric_keeps_its_kind_and_unit_over_all_generations() {
        let mut metrics = CustomMetrics::new([declared("a", MetricKind::Counter)]);
        metrics.begin(2, &[]);
        let refused = metrics.check(&[declared("a", MetricKind::Gauge)]).unwrap_err();
        let expected = "metric 'a' is a counter in this run and a gauge in the changed script: restart the run, or give the metric another name";
        assert_eq!(refused, expected);
        let unit = Some(MetricUnit::Bytes);
        let histogram = MetricDeclaration { unit, ..declared("h", MetricKind::Histogram) };
        metrics.declare(std::slice::from_ref(&histogram));
        assert_eq!(metrics.check(std::slice::from_ref(&histogram)), Ok(()));
        let refused = metrics.check(&[declared("h", MetricKind::Histogram)]).unwrap_err();
        assert!(
            refused.contains("a histogram in bytes in this run and a histogram in"),
            "{refused}"
        );
        let many: Vec<_> =
            (0..MAX_METRICS).map(|at| declared(&format!("m{at}"), MetricKind::Rate)).collect();
        assert_eq!(metrics.check(&many[2..]), Ok(()));
        assert!(metrics.check(&many).unwrap_err().starts_with("258 metrics over all generations"));
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
