//! The parameters of a run in virtual time, chosen by hand or by dice.

use std::fmt;
use std::time::Duration;

use smbench::backend::sim::{Fault, FaultPlan, Latency, RequestId, Window};
use smbench::protocol::NtStatus;
use smbench::scheduler::RetryPolicy;

use super::workload::{Dice, Stream};
use super::{caching, generate};

const MS: u64 = 1_000_000;

/// The ways to end a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The first Ctrl-C.
    Cut,
    /// The first Ctrl-C, and the second after this time.
    Stop { after_ns: u64 },
    /// The failure of a shard.
    Abort,
}

pub struct Scenario {
    pub stream: Stream,
    pub limit: Option<u32>,
    /// The number of operations of iterations after which the run ends.
    pub operations: Option<u64>,
    pub shards: usize,
    pub lookahead: usize,
    pub retry: Option<RetryPolicy>,
    pub latency: Latency,
    pub stalls: Vec<Window>,
    pub outages: Vec<Window>,
    /// The probability of a fault per operation, in thousandths.
    pub faults_per_mille: u64,
    pub panics_per_mille: u64,
    /// The time that the generator takes to answer a request for operations.
    pub generation_ns: u64,
    pub ending: Option<(u64, Ending)>,
    pub op_timeout_ns: u64,
    pub reconnect_timeout_ns: u64,
    pub drain_ns: u64,
    pub seed: u64,
    /// Whether clients ask for oplocks and leases.
    pub caching: bool,
    /// Whether breaks block by file instead of by handle.
    pub by_file: bool,
    /// The generations that come while the run goes on.
    pub reloads: Vec<PlannedReload>,
}

/// A generation of the stream that comes while the run goes on.
pub struct PlannedReload {
    /// The time after the run's origin at which it is prepared, if the clients iterate by then.
    pub at_ns: u64,
    /// Its stream. A client has the number that it has in the run.
    pub stream: Stream,
    /// The clients that are in it.
    pub clients: Vec<u32>,
    /// Whether the setup of clients that stay runs again.
    pub set_up_again: bool,
    /// The time that clients have to reach a boundary.
    pub grace_ns: u64,
    /// Whether it is withdrawn once its first operations have arrived.
    pub withdrawn: bool,
}

/// Prints everything but the operations, so that a failure can be understood without its seed.
impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.stream.header;
        f.debug_struct("Scenario")
            .field("workloads", &header.workloads)
            .field("phases", &header.phases)
            .field("limit", &self.limit)
            .field("shards", &self.shards)
            .field("lookahead", &self.lookahead)
            .field("retry", &self.retry.is_some())
            .field("latency", &self.latency)
            .field("stalls", &self.stalls)
            .field("outages", &self.outages)
            .field("faults_per_mille", &self.faults_per_mille)
            .field("panics_per_mille", &self.panics_per_mille)
            .field("generation_ns", &self.generation_ns)
            .field("ending", &self.ending)
            .field("op_timeout_ns", &self.op_timeout_ns)
            .field("reconnect_timeout_ns", &self.reconnect_timeout_ns)
            .field("drain_ns", &self.drain_ns)
            .field("caching", &self.caching)
            .field("by_file", &self.by_file)
            .field("reloads", &self.reloads.len())
            .finish_non_exhaustive()
    }
}

impl Scenario {
    pub fn random(seed: u64) -> Scenario {
        let mut dice = Dice(seed);
        let mut stream = generate::stream(&mut dice);
        // Separate dice, so that scenarios without caching do not change.
        let mut cached = Dice(seed ^ 0xCAC4_E5EE_D000_0000);
        let caching = cached.chance(35);
        if caching {
            caching::ask(&mut cached, &mut stream);
        }
        let harsh = dice.chance(40);
        let ending = dice.chance(30).then(|| {
            let after_ns = dice.roll(30 * MS);
            let ending = if dice.chance(30) { Ending::Stop { after_ns } } else { Ending::Cut };
            (dice.roll(60 * MS), ending)
        });
        Scenario {
            stream,
            limit: [None, Some(1), Some(2), Some(7)][dice.roll(4) as usize],
            operations: None,
            shards: 1 + dice.roll(4) as usize,
            lookahead: if dice.chance(30) { 10_000 } else { 2 + dice.roll(16) as usize },
            retry: dice.chance(60).then(RetryPolicy::default),
            latency: random_latency(&mut dice),
            stalls: if dice.chance(20) { vec![random_window(&mut dice, 10)] } else { Vec::new() },
            outages: if dice.chance(15) { vec![random_window(&mut dice, 300)] } else { Vec::new() },
            faults_per_mille: if dice.chance(60) { dice.roll(80) } else { 0 },
            panics_per_mille: if dice.chance(20) { dice.roll(20) } else { 0 },
            generation_ns: if dice.chance(20) { dice.roll(3 * MS) } else { 0 },
            ending,
            op_timeout_ns: if harsh { 200_000 + dice.roll(5 * MS) } else { 50 * MS },
            reconnect_timeout_ns: if harsh { dice.roll(400 * MS) } else { 2_000 * MS },
            drain_ns: if harsh { dice.roll(40 * MS) } else { 10_000 * MS },
            seed,
            caching,
            by_file: cached.chance(60),
            reloads: Vec::new(),
        }
    }

    /// Returns a scenario whose server answers everything after 300 µs, and whose time-outs are far
    /// longer than that.
    pub fn plain(stream: Stream, limit: Option<u32>, shards: usize) -> Scenario {
        Scenario {
            stream,
            limit,
            operations: None,
            shards,
            lookahead: 8,
            retry: None,
            latency: Latency::Constant(Duration::from_micros(300)),
            stalls: Vec::new(),
            outages: Vec::new(),
            faults_per_mille: 0,
            panics_per_mille: 0,
            generation_ns: 0,
            ending: None,
            op_timeout_ns: 50 * MS,
            reconnect_timeout_ns: 2_000 * MS,
            drain_ns: 10_000 * MS,
            seed: 0,
            caching: false,
            by_file: false,
            reloads: Vec::new(),
        }
    }

    /// Returns the plan of faults. The seed and the request alone decide whether a request fails.
    pub fn faults(&self) -> FaultPlan {
        let (seed, per_mille) = (self.seed, self.faults_per_mille);
        Box::new(move |request: RequestId| {
            let dice = |part: u64| {
                let connect = u64::from(request.connect) << 32;
                Dice(seed ^ (u64::from(request.client_idx) << 40) ^ connect ^ part)
            };
            let Some(operation) = request.operation else {
                // The first connect has no fault, because its failure would end the run.
                let mut dice = dice(u64::MAX >> 32);
                let refused = request.connect > 0 && per_mille > 0 && dice.chance(30);
                let faults = [Fault::NoReply, Fault::ConnectionLost];
                return refused.then(|| faults[dice.roll(2) as usize]);
            };
            // The first operation is in setup, and its failure would end the run as well.
            if operation == 0 {
                return None;
            }
            // A busy server stays busy for a while, so that a retry may fail too.
            let mut spell = dice(operation / 4);
            if spell.roll(1_000) < per_mille {
                let mut dice = dice(operation);
                let busy = [NtStatus::INSUFFICIENT_RESOURCES, NtStatus::NETWORK_BUSY];
                return dice.chance(75).then(|| Fault::Status(busy[dice.roll(2) as usize]));
            }
            let mut dice = dice(operation);
            (dice.roll(1_000) < per_mille).then(|| match dice.roll(4) {
                0 => Fault::Status(NtStatus::SHARING_VIOLATION),
                1 => Fault::Delay(Duration::from_nanos(dice.roll(8 * MS))),
                2 => Fault::NoReply,
                _ => Fault::ConnectionLost,
            })
        })
    }
}

fn random_latency(dice: &mut Dice) -> Latency {
    let us = Duration::from_micros;
    match dice.roll(4) {
        0 => Latency::Constant(us(100 + dice.roll(400))),
        1 => Latency::Uniform { low: us(dice.roll(200)), high: us(200 + dice.roll(800)) },
        2 => Latency::Lognormal { median: us(100 + dice.roll(300)), sigma: 0.5 },
        _ => Latency::Bimodal { fast: us(100), slow: us(5_000), slow_share: 0.03 },
    }
}

fn random_window(dice: &mut Dice, longest_ms: u64) -> Window {
    let start = Duration::from_nanos(4 * MS + dice.roll(40 * MS));
    let length = Duration::from_nanos(MS + dice.roll(longest_ms * MS));
    match dice.chance(50) {
        true => Window::once(start, length),
        false => Window::every(start + length, length),
    }
}
