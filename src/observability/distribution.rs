//! A distribution of times, and what a summary says of it.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::merge::Merge;

/// A distribution of times in nanoseconds. Percentiles have three significant digits; count, sum,
/// minimum and maximum are exact.
///
/// Counters are 32 bits wide, which halves the memory. A counter saturates after four billion
/// samples whose first three significant digits are the same.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: Histogram<u32>,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

/// The largest time recorded, beyond any run (104 days). It keeps a nonsensical value from growing
/// the histogram further.
const LARGEST_NS: u64 = 1 << 53;

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution {
            // Starts at 8 KiB and grows with the greatest value: 84 KiB for one second.
            histogram: Histogram::new(3).expect("three digits are within what the format allows"),
            sum_ns: 0,
            min_ns: u64::MAX,
            max_ns: 0,
        }
    }
}

impl Distribution {
    pub fn record(&mut self, ns: u64) {
        let ns = ns.min(LARGEST_NS);
        // `record` grows the histogram; `saturating_record` would clamp to what it holds now.
        // Growing fails only where an index does not fit `usize`.
        if self.histogram.record(ns).is_ok() {
            self.sum_ns += u128::from(ns);
            self.min_ns = self.min_ns.min(ns);
            self.max_ns = self.max_ns.max(ns);
        }
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    pub fn min_ns(&self) -> u64 {
        self.min_ns.min(self.max_ns)
    }

    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Returns the mean, or 0 without samples.
    pub fn mean_ns(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.sum_ns as f64 / count as f64,
        }
    }

    /// Returns the value that the fraction `quantile` (0 to 1) of samples does not exceed, to three
    /// significant digits, or 0 without samples.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile).min(self.max_ns).max(self.min_ns())
    }

    /// Returns the distribution in microseconds, or None without samples.
    pub fn times(&self) -> Option<Times> {
        let mean = self.mean_ns().round() / 1e3;
        Some(Times { min: micros(self.min_ns()), mean, tail: self.tail()? })
    }

    /// Returns the percentiles in microseconds, or None without samples.
    pub fn tail(&self) -> Option<Tail> {
        let at = |quantile| micros(self.quantile_ns(quantile));
        (self.count() > 0).then(|| Tail {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.max_ns),
        })
    }
}

impl Merge for Distribution {
    fn merge(&mut self, other: &Distribution) {
        if self.histogram.add(&other.histogram).is_ok() {
            self.sum_ns += other.sum_ns;
            self.min_ns = self.min_ns.min(other.min_ns);
            self.max_ns = self.max_ns.max(other.max_ns);
        }
    }
}

/// Returns a time in microseconds.
pub(super) fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// A distribution in microseconds: `min`, `mean` and `max` exact to the nanosecond,
/// percentiles to three significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Times {
    /// Least value, in microseconds.
    pub min: f64,
    /// Mean, in microseconds.
    pub mean: f64,
    #[serde(flatten)]
    pub tail: Tail,
}

/// Percentiles in microseconds to three significant digits, and the exact maximum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tail {
    /// Median, in microseconds.
    pub p50: f64,
    /// 90th percentile, in microseconds.
    pub p90: f64,
    /// 95th percentile, in microseconds.
    pub p95: f64,
    /// 99th percentile, in microseconds.
    pub p99: f64,
    /// 99.9th percentile, in microseconds.
    pub p999: f64,
    /// Greatest value, in microseconds.
    pub max: f64,
}

/// A statistic of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The value that this fraction of the samples does not exceed.
    Quantile(f64),
    Min,
    Mean,
    Max,
}

impl Statistic {
    pub const NAMES: [(&str, Statistic); 8] = [
        ("p50", Statistic::Quantile(0.5)),
        ("p90", Statistic::Quantile(0.9)),
        ("p95", Statistic::Quantile(0.95)),
        ("p99", Statistic::Quantile(0.99)),
        ("p999", Statistic::Quantile(0.999)),
        ("min", Statistic::Min),
        ("mean", Statistic::Mean),
        ("max", Statistic::Max),
    ];

    /// Returns the statistic in the unit of the recorded values: nanoseconds for times.
    pub fn of(self, distribution: &Distribution) -> f64 {
        match self {
            Statistic::Quantile(quantile) => distribution.quantile_ns(quantile) as f64,
            Statistic::Min => distribution.min_ns() as f64,
            Statistic::Mean => distribution.mean_ns(),
            Statistic::Max => distribution.max_ns() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|ns| distribution.record(ns));
        distribution
    }

    #[test]
    fn percentiles_are_right_to_three_digits_and_the_rest_exactly() {
        let distribution = of((1..=10_000).map(|i| i * 1_000));
        assert_eq!(distribution.count(), 10_000);
        assert_eq!((distribution.min_ns(), distribution.max_ns()), (1_000, 10_000_000));
        assert_eq!(distribution.mean_ns(), 5_000_500.0);
        for (quantile, exact) in [(0.5, 5_000_000u64), (0.99, 9_900_000), (0.999, 9_990_000)] {
            let error = distribution.quantile_ns(quantile).abs_diff(exact);
            assert!(error * 1_000 <= exact, "{quantile}: {error} ns from {exact}");
        }
        assert_eq!(distribution.quantile_ns(1.0), 10_000_000);
    }

    #[test]
    fn a_value_far_beyond_the_first_ones_is_kept_not_clamped() {
        let distribution = of([100, 35_000_000_000]);
        assert_eq!(distribution.max_ns(), 35_000_000_000);
        assert_eq!(distribution.quantile_ns(1.0), 35_000_000_000);
        assert_eq!(of([u64::MAX]).max_ns(), LARGEST_NS);
    }

    #[test]
    fn merged_parts_equal_the_whole() {
        let mut merged = of(0..500);
        merged.merge(&of((500..1_000).map(|i| i * 1_000)));
        let whole = of((0..500).chain((500..1_000).map(|i| i * 1_000)));
        assert_eq!(merged.histogram, whole.histogram);
        assert_eq!(merged.sum_ns, whole.sum_ns);
        assert_eq!((merged.min_ns, merged.max_ns), (whole.min_ns, whole.max_ns));
    }

    #[test]
    fn nothing_is_all_zero() {
        let nothing = Distribution::default();
        assert_eq!((nothing.min_ns(), nothing.max_ns(), nothing.quantile_ns(0.99)), (0, 0, 0));
        assert_eq!(nothing.mean_ns(), 0.0);
    }
}
