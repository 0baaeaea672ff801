//! The latency of requests.

use std::time::Duration;

use super::random::RequestRandom;

/// Longest latency of a request, whatever the distribution.
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// The distribution of the time from a request to its reply, which is at most an hour. The timer of
/// the clock adds to it: nothing in virtual time, about a millisecond on the real clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    Constant(Duration),
    /// Every time in between is equally likely.
    Uniform {
        low: Duration,
        high: Duration,
    },
    /// A log-normal distribution, whose `sigma` is the standard deviation of the logarithm: 0.5
    /// puts p99 at 3.2 medians, 1 at 10.
    Lognormal {
        median: Duration,
        sigma: f64,
    },
    /// One of two times, as of a cache that hits or misses.
    Bimodal {
        fast: Duration,
        slow: Duration,
        /// Share of the slow requests, from 0 to 1.
        slow_share: f64,
    },
}

impl Latency {
    pub(super) fn draw(&self, random: &mut RequestRandom) -> Duration {
        let drawn = match *self {
            Latency::Constant(latency) => latency,
            Latency::Uniform { low, high } => {
                low + capped(high.saturating_sub(low).as_secs_f64() * random.float())
            }
            Latency::Lognormal { median, sigma } => {
                capped(median.as_secs_f64() * libm::exp(sigma * random.normal()))
            }
            Latency::Bimodal { slow, slow_share, .. } if random.float() < slow_share => slow,
            Latency::Bimodal { fast, .. } => fast,
        };
        drawn.min(LONGEST)
    }
}

/// Returns a duration of at most [`LONGEST`], even if the exponential has overflowed.
fn capped(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(LONGEST, |drawn| drawn.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::super::random::RequestId;
    use super::*;

    const COUNT: usize = 40_000;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    fn drawn(latency: Latency) -> Vec<Duration> {
        let request = |operation| RequestId { client_idx: 3, connect: 1, operation };
        (0..COUNT as u64)
            .map(|number| {
                latency.draw(&mut RequestRandom::new(7, request(Some(number)), Purpose::Latency))
            })
            .collect()
    }

    fn share(drawn: &[Duration], holds: impl Fn(Duration) -> bool) -> f64 {
        drawn.iter().filter(|latency| holds(**latency)).count() as f64 / COUNT as f64
    }

    /// Returns whether the share is as expected, within at least four standard deviations of a
    /// share among [`COUNT`].
    fn is_about(share: f64, expected: f64) -> bool {
        (share - expected).abs() < 0.01
    }

    #[test]
    fn a_uniform_latency_spreads_evenly_between_its_ends() {
        let drawn = drawn(Latency::Uniform { low: us(1_000), high: us(5_000) });
        assert!(drawn.iter().all(|latency| (us(1_000)..us(5_000)).contains(latency)));
        for tenth in 1..10 {
            let below = share(&drawn, |latency| latency < us(1_000 + 400 * tenth));
            assert!(is_about(below, tenth as f64 / 10.0), "{below} below tenth {tenth}");
        }
    }

    #[test]
    fn a_lognormal_latency_has_its_median_and_its_spread() {
        let drawn = drawn(Latency::Lognormal { median: us(2_000), sigma: 0.5 });
        // The normal distribution up to -2, -1, 0, 1 and 2 deviations.
        for (deviations, expected) in
            [(-2.0, 0.0228), (-1.0, 0.1587), (0.0, 0.5), (1.0, 0.8413), (2.0, 0.9772)]
        {
            let bound = us(2_000).mul_f64(libm::exp(0.5 * deviations));
            let below = share(&drawn, |latency| latency < bound);
            assert!(is_about(below, expected), "{below} below {deviations} deviations");
        }
    }

    #[test]
    fn a_bimodal_latency_has_two_values_in_their_shares() {
        let (fast, slow) = (us(1_000), us(50_000));
        let drawn = drawn(Latency::Bimodal { fast, slow, slow_share: 0.05 });
        let slow_share = share(&drawn, |latency| latency == slow);
        assert!((slow_share - 0.05).abs() < 0.005, "{slow_share}");
        assert_eq!(share(&drawn, |latency| latency == fast) + slow_share, 1.0);
    }

    #[test]
    fn no_latency_is_longer_than_the_longest() {
        let day = Duration::from_secs(86_400);
        for latency in [
            Latency::Constant(day),
            Latency::Uniform { low: day, high: 2 * day },
            Latency::Lognormal { median: us(1_000), sigma: 1e300 },
            Latency::Bimodal { fast: day, slow: day, slow_share: 0.5 },
        ] {
            let drawn = drawn(latency);
            assert_eq!(drawn.iter().max(), Some(&LONGEST), "{latency:?}");
        }
    }

    #[test]
    fn a_latency_follows_from_seed_client_connect_and_number_and_from_nothing_else() {
        let latency = Latency::Uniform { low: us(0), high: us(1_000_000) };
        let of = |seed, client_idx, connect, operation| {
            let request = RequestId { client_idx, connect, operation };
            latency.draw(&mut RequestRandom::new(seed, request, Purpose::Latency))
        };
        let base = of(7, 3, 1, Some(5));
        assert_eq!(of(7, 3, 1, Some(5)), base);
        for other in [
            of(8, 3, 1, Some(5)),
            of(7, 4, 1, Some(5)),
            of(7, 3, 2, Some(5)),
            of(7, 3, 1, Some(6)),
            of(7, 3, 1, None),
            of(7, 1, 3, Some(5)),
        ] {
            assert_ne!(other, base);
        }
    }
}
