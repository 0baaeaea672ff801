//! Random numbers of a client, or of a workload's arrivals: the same on every
//! machine, whatever the order in which clients are asked.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::ir::Section;

#[derive(Clone)]
pub(super) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub fn new(seed: u64, workload: &str, client: u32, section: Section) -> Random {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"smbench rng 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(workload.len() as u64).to_le_bytes());
        hasher.update(workload.as_bytes());
        hasher.update(&client.to_le_bytes());
        hasher.update(&[section as u8]);
        Random(Xoshiro256PlusPlus::from_seed(*hasher.finalize().as_bytes()))
    }

    /// Of a workload's arrivals.
    pub fn of_arrivals(seed: u64, workload: &str) -> Random {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"smbench arrivals 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(workload.as_bytes());
        Random(Xoshiro256PlusPlus::from_seed(*hasher.finalize().as_bytes()))
    }

    /// Uniform in `[low, high]`. The caller has checked that `low <= high`.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        let span = high.wrapping_sub(low) as u64;
        if span == u64::MAX {
            return self.0.next_u64() as i64;
        }
        low.wrapping_add(self.below(span + 1) as i64)
    }

    /// Uniform in `[0, n)`, without bias (Lemire 2019, "Fast random integer
    /// generation in an interval").
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

    /// Uniform in `[0, 1)`, with 53 bits.
    pub fn float(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Exponentially distributed with this mean.
    pub fn exp(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.float())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Random {
        Random::new(7, "editors", 3, Section::Iteration)
    }

    #[test]
    fn streams_differ_by_seed_workload_client_and_section() {
        let first = |mut random: Random| random.0.next_u64();
        let base = first(random());
        for other in [
            Random::new(8, "editors", 3, Section::Iteration),
            Random::new(7, "editor", 3, Section::Iteration),
            Random::new(7, "editors", 4, Section::Iteration),
            Random::new(7, "editors", 3, Section::Setup),
            Random::of_arrivals(7, "editors"),
        ] {
            assert_ne!(first(other), base);
        }
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

    #[test]
    fn exp_has_its_mean_and_float_stays_below_one() {
        let mut random = random();
        let mean = (0..100_000).map(|_| random.exp(50.0)).sum::<f64>() / 100_000.0;
        assert!((49.0..51.0).contains(&mean), "{mean}");
        assert!((0..100_000).all(|_| (0.0..1.0).contains(&random.float())));
    }
}
