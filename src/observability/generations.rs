//! The generations of the stream in a run that is watched, each with what was measured of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::custom_metrics::MetricSummary;
use super::distribution::{Distribution, Times};
use super::generation_stats::{GenerationShard, GenerationStats, Presence, SupersededCounts};
use super::layout::Layout;
use super::merge::Merge;
use super::metrics::WorkloadStats;
use super::summarize::{iterations, operations, seconds, totals, with_rate};
use super::summary::{Iterations, OperationTotals, Operations};
use crate::ir::StreamHeader;
use crate::ir::event::FIRST_GENERATION;
use crate::ir::source::{Module, UsedPackage};

/// The identity of a generation: its number, and the hashes and parameters that it was made from.
#[derive(Clone, Debug, Default)]
pub struct GenerationFacts {
    /// Its number, from 1.
    pub number: u32,
    pub script_hash: Option<String>,
    pub ir_hash: String,
    pub params: serde_json::Map<String, serde_json::Value>,
    pub modules: Vec<Module>,
    pub packages: Vec<UsedPackage>,
    /// The time of its acceptance, in nanoseconds from time zero; 0 for the first.
    pub started_ns: u64,
}

impl GenerationFacts {
    /// Returns the facts of a generation whose stream has this header. It starts at time zero.
    pub fn new(number: u32, header: &StreamHeader) -> GenerationFacts {
        GenerationFacts {
            number,
            script_hash: header.script_hash.clone(),
            ir_hash: header.ir_hash.clone(),
            params: header.params.clone(),
            modules: header.modules.clone(),
            packages: header.packages.clone(),
            started_ns: 0,
        }
    }
}

/// The figures of a generation that the display shows. They are over all types of operations, of the
/// recorded phases.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GenerationFigures {
    pub number: u32,
    /// Operations that were sent, for each second that its clients were in it: see
    /// [`GenerationSummary::totals`].
    pub operations_per_s: f64,
    /// Percentiles of service time; None if no operation was sent.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    /// Operations that were sent.
    pub operations: u64,
    pub failed: u64,
    /// The number of clients that are in it now.
    pub clients_there: u64,
    /// The number of clients that are or were in it.
    pub clients: u64,
}

/// One generation of a stream that was reloaded, over the recorded phases. The counts of all
/// generations add up to those of the run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GenerationSummary {
    /// Its number, from 1.
    pub number: u32,
    /// Hash of the script's text; absent of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_hash: Option<String>,
    /// Hash of every operation, or `recipe:` and the hash of what makes them.
    pub ir_hash: String,
    /// The script's parameters with their values; sizes in bytes, durations in nanoseconds.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Modules that the script required.
    pub modules: Vec<Module>,
    /// Libraries that the script's project used; absent if there were none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<UsedPackage>,
    /// Seconds from time zero at which it was accepted. Its clients moved to it from then on, each
    /// at the end of an iteration.
    pub started_s: f64,
    /// Number of clients that were in it.
    pub clients: u64,
    /// Operations that were discarded, because their clients had moved to a later generation. They
    /// were never issued, and no other figure counts them.
    pub superseded: SupersededCounts,
    /// Handles that were closed when their clients left the generation.
    pub closed_handles: u64,
    /// Counts over all types of operations. `duration_s` is the time that a client was in the
    /// generation, as the mean over its clients, so that the rate does not depend on how long they
    /// took to move.
    pub totals: OperationTotals,
    /// Service time over all types of operations, in microseconds; absent where no operation was
    /// sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Times>,
    /// Figures by type of operation; a type without operations is absent.
    pub operations: Operations,
    pub iterations: Iterations,
    /// Metrics that the script declared, by name: the updates that hooks made in this generation.
    pub metrics: BTreeMap<String, MetricSummary>,
}

/// The generations of a run. The shards measure, each into a [`GenerationShard`] of its own.
#[derive(Debug)]
pub struct Generations {
    shards: Vec<Arc<GenerationShard>>,
    layout: Arc<Layout>,
    zero_ns: u64,
    begun: bool,
    /// The generations in the order of their numbers, which begin with 1 and have no gap.
    list: Vec<Generation>,
    /// Measurements of generations that were not added here yet.
    early: Vec<(u32, Box<GenerationStats>)>,
}

#[derive(Debug)]
struct Generation {
    facts: GenerationFacts,
    /// The measurements since the generation was retired, or all of them if it was not.
    stats: Box<GenerationStats>,
    /// The figures of the measurements until the generation was retired.
    retired: Option<Box<Retired>>,
}

/// The measurements of a generation in the form that the summary has, without distributions.
#[derive(Debug)]
struct Retired {
    totals: OperationTotals,
    service_us: Option<Times>,
    operations: Operations,
    iterations: Iterations,
}

impl Generations {
    /// Creates the list with the first generation.
    pub fn new(shards: usize, layout: Arc<Layout>, first: GenerationFacts) -> Generations {
        let shards = (0..shards).map(|_| Arc::default()).collect();
        let list = vec![Generation::new(GenerationFacts { number: FIRST_GENERATION, ..first })];
        Generations { shards, layout, zero_ns: 0, begun: false, list, early: Vec::new() }
    }

    /// Returns the place where a shard measures.
    pub fn shard(&self, shard: usize) -> Option<Arc<GenerationShard>> {
        self.shards.get(shard).cloned()
    }

    /// Counts the clients of the first generation as being in it from time zero on, which is
    /// `zero_ns` from the run's origin. Must be called before a client moves. Further calls do
    /// nothing.
    pub fn begin(&mut self, zero_ns: u64) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.zero_ns = zero_ns;
        self.shards.iter().for_each(|shard| shard.begin(zero_ns));
        self.list[0].stats.presence.join(self.layout.header.iterating_count().into(), 0);
    }

    /// Adds a generation that was accepted. Its number is that of the last one plus 1.
    pub fn add(&mut self, facts: GenerationFacts) {
        debug_assert_eq!(facts.number as usize, self.list.len() + 1);
        self.list.push(Generation::new(facts));
    }

    /// Returns the number of generations.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the figures of a generation at `now_ns`, which is a time from the run's origin. None
    /// if there is no such generation.
    pub fn figures(&mut self, number: u32, now_ns: u64) -> Option<GenerationFigures> {
        self.collect();
        let recorded_ns = self.recorded_ns(now_ns);
        let generation = self.list.iter().find(|generation| generation.facts.number == number)?;
        let GenerationStats { measured, presence, .. } = &*generation.stats;
        let (totals, service) = match &generation.retired {
            Some(retired) => (retired.totals.clone(), retired.service_us),
            None => (totals(measured, Duration::ZERO), service(measured).times()),
        };
        let totals = with_rate(totals, lasted(presence, recorded_ns));
        Some(GenerationFigures {
            number,
            operations_per_s: totals.operations_per_s,
            p50_us: service.map(|service| service.tail.p50),
            p99_us: service.map(|service| service.tail.p99),
            operations: totals.operations,
            failed: totals.counts.failed,
            clients_there: presence.there(),
            clients: presence.joined,
        })
    }

    /// Reduces a generation that no client is in any more to its figures, so that the memory of a
    /// run does not grow with the number of its reloads. Operations of it that end later are
    /// counted, but are in no percentile. Clients that gave up reconnecting do not keep a generation
    /// from being retired.
    pub fn retire(&mut self, number: u32) {
        self.collect();
        let found = self.list.iter_mut().find(|generation| generation.facts.number == number);
        if let Some(generation) = found.filter(|generation| generation.retired.is_none()) {
            let measured = std::mem::take(&mut generation.stats.measured);
            generation.retired = Some(Box::new(Retired::new(&measured)));
            generation.stats.presence.close();
        }
    }

    /// Returns the summaries of all generations of a run whose measuring ended at `end_ns`, which is
    /// a time from the run's origin. Their metrics are empty.
    pub fn summaries(&mut self, end_ns: u64) -> Vec<GenerationSummary> {
        self.collect();
        let recorded_ns = self.recorded_ns(end_ns);
        self.list.iter().map(|generation| generation.summary(recorded_ns)).collect()
    }

    /// Adds what the shards have measured since the last call.
    fn collect(&mut self) {
        let early = std::mem::take(&mut self.early);
        for (number, stats) in
            early.into_iter().chain(self.shards.iter().flat_map(|shard| shard.take()))
        {
            let at = number.saturating_sub(FIRST_GENERATION) as usize;
            let Some(generation) = self.list.get_mut(at) else {
                self.early.push((number, stats));
                continue;
            };
            let presence = generation.stats.presence;
            generation.stats.merge(&stats);
            if generation.retired.is_some() {
                // Every client has been counted as having left.
                generation.stats.presence = presence;
            }
        }
    }

    fn recorded_ns(&self, at_ns: u64) -> u64 {
        match self.begun {
            true => self.layout.recorded_ns(at_ns.saturating_sub(self.zero_ns)),
            false => 0,
        }
    }
}

impl Generation {
    fn new(facts: GenerationFacts) -> Generation {
        Generation { facts, stats: Box::default(), retired: None }
    }

    fn summary(&self, recorded_ns: u64) -> GenerationSummary {
        let (facts, stats) = (self.facts.clone(), &*self.stats);
        let mut figures = Retired::new(&stats.measured);
        if let Some(retired) = &self.retired {
            figures.add_before(retired);
        }
        GenerationSummary {
            number: facts.number,
            script_hash: facts.script_hash,
            ir_hash: facts.ir_hash,
            params: facts.params,
            modules: facts.modules,
            packages: facts.packages,
            started_s: seconds(Duration::from_nanos(facts.started_ns)),
            clients: stats.presence.joined,
            superseded: stats.superseded,
            closed_handles: stats.closed_handles,
            totals: with_rate(figures.totals, lasted(&stats.presence, recorded_ns)),
            service_us: figures.service_us,
            operations: figures.operations,
            iterations: figures.iterations,
            metrics: BTreeMap::new(),
        }
    }
}

impl Retired {
    fn new(measured: &WorkloadStats) -> Retired {
        Retired {
            totals: totals(measured, Duration::ZERO),
            service_us: service(measured).times(),
            operations: operations(measured),
            iterations: iterations(measured.iterations.as_deref()),
        }
    }

    /// Adds the counts of what was measured before, and takes its times in place of the own ones.
    fn add_before(&mut self, before: &Retired) {
        self.totals.add_counts(&before.totals);
        self.service_us = before.service_us.or(self.service_us);
        self.iterations.add_counts(&before.iterations);
        for (operation, before) in &before.operations {
            let mut whole = before.clone();
            if let Some(later) = self.operations.get(operation) {
                whole.add_counts(later);
            }
            self.operations.insert(*operation, whole);
        }
    }
}

fn lasted(presence: &Presence, recorded_ns: u64) -> Duration {
    Duration::from_nanos(presence.mean_ns(recorded_ns))
}

/// Returns the service times over all types of operations.
fn service(measured: &WorkloadStats) -> Distribution {
    let mut service = Distribution::default();
    measured.operations().for_each(|(_, stats)| service.merge(&stats.service));
    service
}

#[cfg(test)]
impl Generations {
    /// Returns the number of distributions that are kept.
    pub(super) fn distributions(&self) -> usize {
        let of = |stats: &WorkloadStats| {
            2 * (stats.operations().count() + usize::from(stats.iterations.is_some()))
        };
        self.list.iter().map(|generation| of(&generation.stats.measured)).sum()
    }
}
