//! A random choice of one of several values by weight.

use crate::ir::random::RandomNumbers;

/// The cumulative sums of the weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights(Vec<f64>);

impl Weights {
    /// Replaces the weights and reuses the allocation.
    ///
    /// # Errors
    /// A message about the first weight that is negative or not a number, or that all weights are
    /// 0.
    pub fn set(
        &mut self,
        weights: impl Iterator<Item = Result<f64, String>>,
    ) -> Result<(), String> {
        self.0.clear();
        let mut sum = 0.0;
        for (position, weight) in (1..).zip(weights) {
            let weight = weight?;
            if !(0.0..=1e15).contains(&weight) {
                return Err(format!(
                    "weight {position} is {weight}; it must be between 0 and 1e15"
                ));
            }
            sum += weight;
            self.0.push(sum);
        }
        if sum == 0.0 {
            return Err("all weights are 0, so there is nothing to choose".into());
        }
        Ok(())
    }

    /// Returns the position of one value drawn by weight, from 0.
    pub fn draw(&self, random: &mut RandomNumbers) -> usize {
        let last = self.0.last().copied().unwrap_or_default();
        let below = random.float() * last;
        // The product may be rounded up to the last sum if the weights are tiny.
        self.0.partition_point(|sum| *sum <= below && *sum < last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Section;

    fn weights(list: &[f64]) -> Result<Weights, String> {
        let mut weights = Weights::default();
        weights.set(list.iter().map(|weight| Ok(*weight)))?;
        Ok(weights)
    }

    #[test]
    fn each_comes_as_often_as_its_weight_says_and_never_without_one() {
        let weights = weights(&[0.0, 70.0, 0.0, 30.0, 0.0]).unwrap();
        let mut random = RandomNumbers::new(1, "w", 0, Section::Iteration);
        let mut counts = [0_u32; 5];
        for _ in 0..100_000 {
            counts[weights.draw(&mut random)] += 1;
        }
        // The standard deviation is about 145.
        assert!((69_300..70_700).contains(&counts[1]), "{counts:?}");
        assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0));
    }

    #[test]
    fn the_least_weight_there_is_chooses_too() {
        let weights = weights(&[0.0, 5e-324, 0.0]).unwrap();
        let mut random = RandomNumbers::new(1, "w", 0, Section::Iteration);
        assert!((0..100).all(|_| weights.draw(&mut random) == 1));
    }

    #[test]
    fn weights_that_choose_nothing_are_refused() {
        assert!(weights(&[]).unwrap_err().contains("all weights are 0"));
        assert!(weights(&[0.0, 0.0]).unwrap_err().contains("all weights are 0"));
        assert_eq!(
            weights(&[1.0, -1.0]).unwrap_err(),
            "weight 2 is -1; it must be between 0 and 1e15"
        );
        assert!(weights(&[f64::NAN]).is_err());
    }
}
