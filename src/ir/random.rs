//! Random numbers of a client, of a workload's arrivals, or of a stage of a transform: the same on
//! every host, whatever the order in which clients are asked.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::event::FIRST_GENERATION;
use super::operation::Section;

#[derive(Clone)]
pub struct RandomNumbers(Xoshiro256PlusPlus);

impl RandomNumbers {
    pub fn new(seed: u64, workload: &str, client: u32, section: Section) -> RandomNumbers {
        RandomNumbers::seeded(&[
            b"smbench rng 1",
            &seed.to_le_bytes(),
            &(workload.len() as u64).to_le_bytes(),
            workload.as_bytes(),
            &client.to_le_bytes(),
            &[section as u8],
        ])
    }

    /// Returns the random numbers of a client's iterations in a generation of the stream. Those of
    /// the first generation are [`RandomNumbers::new`]. A later one has others, so that clients do
    /// not repeat the iterations that they made before the reload.
    pub fn of_iterations(seed: u64, workload: &str, client: u32, generation: u32) -> RandomNumbers {
        if generation == FIRST_GENERATION {
            return RandomNumbers::new(seed, workload, client, Section::Iteration);
        }
        RandomNumbers::seeded(&[
            b"smbench rng of a generation 1",
            &generation.to_le_bytes(),
            &seed.to_le_bytes(),
            &client.to_le_bytes(),
            workload.as_bytes(),
        ])
    }

    /// Returns the random numbers of a workload's arrivals in a generation of the stream.
    pub fn of_arrivals(seed: u64, workload: &str, generation: u32) -> RandomNumbers {
        let seed = seed.to_le_bytes();
        if generation == FIRST_GENERATION {
            return RandomNumbers::seeded(&[b"smbench arrivals 1", &seed, workload.as_bytes()]);
        }
        RandomNumbers::seeded(&[
            b"smbench arrivals of a generation 1",
            &generation.to_le_bytes(),
            &seed,
            workload.as_bytes(),
        ])
    }

    /// Returns the random numbers of `bench.rng(name)`.
    pub fn named(seed: u64, name: &str) -> RandomNumbers {
        RandomNumbers::seeded(&[b"smbench named 1", &seed.to_le_bytes(), name.as_bytes()])
    }

    /// Returns the random numbers of one client in the stage with this number of a transform.
    pub fn of_stage(seed: u64, stage: u32, client: u32) -> RandomNumbers {
        RandomNumbers::seeded(&[
            b"smbench stage 1",
            &seed.to_le_bytes(),
            &stage.to_le_bytes(),
            &client.to_le_bytes(),
        ])
    }

    fn seeded(parts: &[&[u8]]) -> RandomNumbers {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        RandomNumbers(Xoshiro256PlusPlus::from_seed(*hasher.finalize().as_bytes()))
    }

    /// Draws uniformly from `[low, high]`. The caller has checked that `low <= high`.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        let span = high.wrapping_sub(low) as u64;
        if span == u64::MAX {
            return self.0.next_u64() as i64;
        }
        low.wrapping_add(self.below(span + 1) as i64)
    }

    /// Draws uniformly from `[0, n)`, without bias (Lemire 2019, "Fast random integer generation in
    /// an interval").
    pub fn below(&mut self, n: u64) -> u64 {
        let mut product = u128::from(self.0.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.0.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// Draws uniformly from `[0, 1)`, with 53 bits.
    pub fn float(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Draws from an exponential distribution with this mean.
    pub fn exp(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.float())
    }

    /// Draws from a normal distribution (G. Box and M. Muller, "A note on the generation of random
    /// normal deviates", 1958).
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.float())).sqrt();
        mean + deviation * radius * libm::cos(std::f64::consts::TAU * self.float())
    }

    /// Draws a value whose logarithm is normally distributed with the standard deviation `sigma`.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(self.normal(0.0, sigma))
    }

    /// Draws from Pareto's distribution (type I): at least `scale`, and above `x` with the
    /// probability (scale/x)^shape.
    pub fn pareto(&mut self, scale: f64, shape: f64) -> f64 {
        scale * libm::pow(1.0 - self.float(), -1.0 / shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> RandomNumbers {
        RandomNumbers::new(7, "editors", 3, Section::Iteration)
    }

    #[test]
    fn streams_differ_by_seed_workload_client_and_section() {
        let first = |mut random: RandomNumbers| random.0.next_u64();
        let base = first(random());
        for other in [
            RandomNumbers::new(8, "editors", 3, Section::Iteration),
            RandomNumbers::new(7, "editor", 3, Section::Iteration),
            RandomNumbers::new(7, "editors", 4, Section::Iteration),
            RandomNumbers::new(7, "editors", 3, Section::Setup),
            RandomNumbers::of_arrivals(7, "editors", 1),
            RandomNumbers::named(7, "editors"),
        ] {
            assert_ne!(first(other), base);
        }
    }

    #[test]
    fn a_later_generation_has_other_iterations_and_arrivals_and_the_first_has_those_of_any_run() {
        let first = |mut random: RandomNumbers| random.0.next_u64();
        let iterations = |generation| RandomNumbers::of_iterations(7, "editors", 3, generation);
        let arrivals = |generation| RandomNumbers::of_arrivals(7, "editors", generation);
        assert_eq!(first(iterations(1)), first(random()));
        // Streams that were made before there were generations stay as they are.
        assert_eq!(first(arrivals(1)), 11_298_182_511_886_143_574);
        let seen = [first(iterations(1)), first(iterations(2)), first(iterations(3))];
        let seen = seen.into_iter().chain([1, 2, 3].map(|generation| first(arrivals(generation))));
        let seen = seen.chain([
            first(RandomNumbers::of_iterations(7, "editors", 4, 2)),
            first(RandomNumbers::of_iterations(8, "editors", 3, 2)),
            first(RandomNumbers::of_iterations(7, "editor", 3, 2)),
        ]);
        let seen: Vec<u64> = seen.collect();
        let distinct: std::collections::HashSet<u64> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    }

    #[test]
    fn int_reaches_both_ends_and_every_value_about_equally_often() {
        let mut random = random();
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[(random.int(-2, 3) + 2) as usize] += 1;
        }
        // The standard deviation of each is about 91.
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(random.int(5, 5), 5);
        let _ = random.int(i64::MIN, i64::MAX);
    }

    fn sorted(mut draw: impl FnMut(&mut RandomNumbers) -> f64) -> Vec<f64> {
        let mut random = random();
        let mut drawn: Vec<f64> = (0..100_001).map(|_| draw(&mut random)).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    #[test]
    fn normal_has_its_mean_and_deviation() {
        let drawn = sorted(|random| random.normal(10.0, 2.0));
        // Quantiles of the standard normal distribution.
        for (quantile, expected) in [(2_275, 6.0), (15_866, 8.0), (50_000, 10.0), (84_134, 12.0)] {
            assert!((drawn[quantile] - expected).abs() < 0.1, "{}", drawn[quantile]);
        }
        assert_eq!(random().normal(5.0, 0.0), 5.0);
    }

    #[test]
    fn lognormal_has_its_median_and_its_spread_is_a_factor() {
        let drawn = sorted(|random| random.lognormal(64.0, std::f64::consts::LN_2));
        for (quantile, expected) in [(15_866, 32.0), (50_000, 64.0), (84_134, 128.0)] {
            let off = drawn[quantile] / expected;
            assert!((0.97..1.03).contains(&off), "{}", drawn[quantile]);
        }
        assert_eq!(random().lognormal(0.0, 1.0), 0.0);
    }

    #[test]
    fn pareto_begins_at_its_scale_and_falls_by_its_shape() {
        let drawn = sorted(|random| random.pareto(10.0, 2.0));
        assert!(drawn[0] >= 10.0);
        // Above 20 lies (10/20)^2, a quarter; above 100 a hundredth.
        for (quantile, expected) in [(75_000, 20.0), (99_000, 100.0)] {
            let off = drawn[quantile] / expected;
            assert!((0.95..1.05).contains(&off), "{}", drawn[quantile]);
        }
    }

    #[test]
    fn exp_has_its_mean_and_float_stays_below_one() {
        let mut random = random();
        let mean = (0..100_000).map(|_| random.exp(50.0)).sum::<f64>() / 100_000.0;
        assert!((49.0..51.0).contains(&mean), "{mean}");
        assert!((0..100_000).all(|_| (0.0..1.0).contains(&random.float())));
    }
}
