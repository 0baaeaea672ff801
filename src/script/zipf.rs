//! Zipf's distribution over the whole numbers from 1 to n.

use crate::ir::random::RandomNumbers;

/// The largest n. Up to here, n + 1/2 is still exact.
pub(super) const MAX_ZIPF_N: u64 = 1 << 52;

/// A distribution in which the probability of k is proportional to 1/k^s. Drawing takes constant
/// time and no table: rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to
/// generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996). Fewer than one
/// draw in ten is rejected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zipf {
    n: u64,
    s: f64,
    /// The integral of the hat function up to 1.5, less the first column.
    low: f64,
    /// The integral up to n + 1/2.
    high: f64,
    /// The distance below a whole number within which a draw is accepted without a further check.
    squeeze: f64,
}

impl Zipf {
    /// Creates the distribution. The caller has checked that `1 <= n <= MAX_ZIPF_N` and that `s` is
    /// not negative.
    pub fn new(n: u64, s: f64) -> Zipf {
        Zipf {
            n,
            s,
            low: integral(1.5, s) - 1.0,
            high: integral(n as f64 + 0.5, s),
            squeeze: 2.0 - inverse(integral(2.5, s) - hat(2.0, s), s),
        }
    }

    pub fn is_of(&self, n: u64, s: f64) -> bool {
        self.n == n && self.s == s
    }

    pub fn draw(&self, random: &mut RandomNumbers) -> u64 {
        loop {
            let u = self.high + random.float() * (self.low - self.high);
            let x = inverse(u, self.s);
            let k = ((x + 0.5) as u64).clamp(1, self.n);
            let whole = k as f64;
            if whole - x <= self.squeeze || u >= integral(whole + 0.5, self.s) - hat(whole, self.s)
            {
                return k;
            }
        }
    }
}

/// Returns 1/x^s.
fn hat(x: f64, s: f64) -> f64 {
    libm::exp(-s * libm::log(x))
}

/// Returns the integral of [`hat`] from 1 to x: (x^(1-s) - 1)/(1-s), also if s is 1.
fn integral(x: f64, s: f64) -> f64 {
    let log_x = libm::log(x);
    expm1_over((1.0 - s) * log_x) * log_x
}

/// Returns the x for which [`integral`] is `area`.
fn inverse(area: f64, s: f64) -> f64 {
    // Rounding may lead below the pole at -1.
    let t = (area * (1.0 - s)).max(-1.0);
    libm::exp(log1p_over(t) * area)
}

/// Returns log(1+x)/x.
fn log1p_over(x: f64) -> f64 {
    match x.abs() > 1e-8 {
        true => libm::log1p(x) / x,
        false => 1.0 - x * (0.5 - x / 3.0),
    }
}

/// Returns (exp(x)-1)/x.
fn expm1_over(x: f64) -> f64 {
    match x.abs() > 1e-8 {
        true => libm::expm1(x) / x,
        false => 1.0 + x * (0.5 + x / 6.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Section;

    #[test]
    fn every_number_comes_as_often_as_its_rank_says() {
        const DRAWS: u32 = 200_000;
        for (n, s) in [(1, 1.0), (2, 0.5), (10, 0.0), (10, 0.8), (10, 1.0), (10, 2.5), (10, 20.0)] {
            let mut random = RandomNumbers::new(3, "w", 0, Section::Iteration);
            let zipf = Zipf::new(n, s);
            let mut counts = vec![0_u32; n as usize];
            for _ in 0..DRAWS {
                counts[zipf.draw(&mut random) as usize - 1] += 1;
            }
            let weight = |k: u64| (k as f64).powf(-s);
            let total: f64 = (1..=n).map(weight).sum();
            for (k, count) in (1..).zip(counts) {
                let p = weight(k) / total;
                let expected = p * f64::from(DRAWS);
                let deviation = (expected * (1.0 - p)).sqrt();
                let off = (f64::from(count) - expected).abs();
                assert!(off <= 5.0 * deviation + 1.0, "zipf({n}, {s}): {k} came {count} times");
            }
        }
    }

    #[test]
    fn the_largest_n_stays_in_range_and_its_head_is_not_all() {
        for s in [0.0, 0.5, 0.99, 1.0, 1.5, 100.0] {
            let mut random = RandomNumbers::new(3, "w", 0, Section::Iteration);
            let zipf = Zipf::new(MAX_ZIPF_N, s);
            let drawn: Vec<u64> = (0..10_000).map(|_| zipf.draw(&mut random)).collect();
            assert!(drawn.iter().all(|k| (1..=MAX_ZIPF_N).contains(k)), "{s}");
            assert_eq!(drawn.iter().any(|k| *k > 1), s < 100.0, "{s}");
        }
    }
}
