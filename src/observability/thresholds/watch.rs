//! The checks, during a run, of thresholds that may end it.
//!
//! The main thread asks every shard. A shard answers at its next event, by copying what the
//! thresholds need into a slot of its own. So a shard pays one load of its own flag per event, and
//! nothing more while it is not asked.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::layout::Layout;
use super::super::merge::Merge;
use super::super::metrics::Measurements;
use super::sample::{CustomReader, Sample};
use super::threshold::{Threshold, ThresholdOutcome};

/// The side that asks.
#[derive(Debug)]
pub struct Watch {
    thresholds: Arc<[Threshold]>,
    layout: Arc<Layout>,
    /// The shards, each with the samples it last reported, by threshold.
    shards: Vec<(Arc<WatchedShard>, Vec<Sample>)>,
}

/// The side that answers, on cache lines of its own (two, because processors
/// fetch them in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub struct WatchedShard {
    asked: AtomicBool,
    thresholds: Arc<[Threshold]>,
    answer: Mutex<Option<Vec<Sample>>>,
}

impl Watch {
    /// Watches the `thresholds` that may end the run. Returns None if none may.
    pub fn new(thresholds: &[Threshold], layout: Arc<Layout>, shards: usize) -> Option<Watch> {
        let may_end = |threshold: &&Threshold| threshold.abort_after.is_some();
        let thresholds: Arc<[Threshold]> = thresholds.iter().filter(may_end).cloned().collect();
        let shard = || {
            let (thresholds, asked) = (thresholds.clone(), AtomicBool::new(false));
            Arc::new(WatchedShard { asked, thresholds, answer: Mutex::default() })
        };
        let shards = (0..shards).map(|_| (shard(), Vec::new())).collect();
        (!thresholds.is_empty()).then_some(Watch { thresholds, layout, shards })
    }

    /// Returns the watch with the latest samples of the thresholds that `before` has too, so that a
    /// shard that has ended, and does not answer again, still counts.
    pub fn continuing(mut self, before: &Watch) -> Watch {
        let known = |threshold| before.thresholds.iter().position(|known| known == threshold);
        let known: Vec<Option<usize>> = self.thresholds.iter().map(known).collect();
        for ((_, latest), (shard, samples)) in self.shards.iter_mut().zip(&before.shards) {
            let answer = shard.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            let samples = answer.as_ref().unwrap_or(samples);
            let sample = |at: &Option<usize>| at.and_then(|at| samples.get(at).cloned());
            *latest = known.iter().map(|at| sample(at).unwrap_or_default()).collect();
        }
        self
    }

    pub fn shard(&self, shard: usize) -> Option<Arc<WatchedShard>> {
        self.shards.get(shard).map(|(shard, _)| shard.clone())
    }

    pub fn ask(&self) {
        self.shards.iter().for_each(|(shard, _)| shard.asked.store(true, Relaxed));
    }

    /// Returns the thresholds that fail by the latest answers and must end the run. `phases` are
    /// the lengths of the phases when the shards were asked. A shard that has not answered, because
    /// nothing completed there, counts with its previous answer.
    pub fn failing(
        &mut self,
        phases: &[Duration],
        custom: CustomReader<'_>,
    ) -> Vec<ThresholdOutcome> {
        for (shard, latest) in &mut self.shards {
            let answer = shard.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(answer) = answer {
                *latest = answer;
            }
        }
        let fails = |(index, threshold): (usize, &Threshold)| {
            let mut sample = Sample::default();
            self.shards.iter().filter_map(|(_, latest)| latest.get(index)).for_each(|part| {
                sample.merge(part);
            });
            let lasted = threshold.lasted(&self.layout, phases);
            let (value, samples) = sample.value(&threshold.expression.metric, lasted, custom)?;
            threshold.ends_run(value, samples, lasted).then(|| ThresholdOutcome {
                threshold: threshold.clone(),
                value: Some(value),
                pass: false,
                reason: None,
            })
        };
        self.thresholds.iter().enumerate().filter_map(|(index, it)| fails((index, it))).collect()
    }
}

impl WatchedShard {
    /// Answers if the shard was asked. Must be called after each event, on the shard's thread.
    pub fn after_event(&self, measurements: &Measurements) {
        if self.asked.load(Relaxed) {
            self.answer(measurements);
        }
    }

    #[cold]
    fn answer(&self, measurements: &Measurements) {
        self.asked.store(false, Relaxed);
        let answer = self.thresholds.iter().map(|it| it.sample(measurements)).collect();
        // The lock is held only while an answer is stored or taken.
        let before = self.answer.lock().unwrap_or_else(PoisonError::into_inner).replace(answer);
        drop(before);
    }
}
