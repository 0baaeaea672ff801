//! Random numbers that depend on what they are drawn for, and not on what was drawn before.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The identity of a request: what its fault and its latency are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    pub client_idx: u32,
    /// Number of the connect among those of the client, from 0.
    pub connect: u32,
    /// Number of the operation among those of the connection, from 0. None for the connect itself.
    pub operation: Option<u64>,
}

/// The purpose of a draw for a request. Each has random numbers of its own.
#[derive(Clone, Copy)]
pub enum Purpose {
    Latency,
    Fault,
    /// The latency of an answer to a break.
    Acknowledgement,
}

/// The random numbers of one request, for one purpose.
pub struct RequestRandom(SplitMix64);

impl RequestRandom {
    pub fn new(seed: u64, request: RequestId, purpose: Purpose) -> RequestRandom {
        let operation = request.operation.unwrap_or(u64::MAX);
        let parts = [request.client_idx.into(), request.connect.into(), operation, purpose as u64];
        let mixed = |state| SplitMix64::seed_from_u64(state);
        RequestRandom(
            parts.iter().fold(mixed(seed), |mut random, part| mixed(random.next_u64() ^ part)),
        )
    }

    /// Returns a number that is uniform in `[0, 1)`, with 53 bits.
    pub fn float(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Returns a normally distributed number, of mean 0 and deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.float()));
        radius * libm::cos(std::f64::consts::TAU * self.float())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_request_fails_has_nothing_to_do_with_how_long_it_takes() {
        let both_low = (0..10_000).filter(|number| {
            let request = RequestId { client_idx: 0, connect: 0, operation: Some(*number) };
            let low = |purpose| RequestRandom::new(7, request, purpose).float() < 0.5;
            low(Purpose::Latency) && low(Purpose::Fault)
        });
        // A quarter; four standard deviations are 173.
        let both_low = both_low.count();
        assert!((2_327..2_673).contains(&both_low), "{both_low}");
    }
}
