//! A distribution of times.

use hdrhistogram::Histogram;

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

    pub fn merge(&mut self, other: &Distribution) {
        if self.histogram.add(&other.histogram).is_ok() {
            self.sum_ns += other.sum_ns;
            self.min_ns = self.min_ns.min(other.min_ns);
            self.max_ns = self.max_ns.max(other.max_ns);
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
