//! The timeline, shared by the shards and by everything that may end the run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::timeline::{CutReason, Orders, Stage, Timeline};
use crate::backend::Clock;

/// The owner of the timeline. It hands the timeline's orders to every shard as they change.
pub struct StageCoordinator {
    timeline: Mutex<Timeline>,
    orders: watch::Sender<Orders>,
    clock: Arc<dyn Clock>,
}

impl StageCoordinator {
    pub fn new(timeline: Timeline, clock: Arc<dyn Clock>) -> StageCoordinator {
        let (orders, _) = watch::channel(timeline.orders().clone());
        StageCoordinator { timeline: Mutex::new(timeline), orders, clock }
    }

    pub fn subscribe(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    /// Records that a shard has finished a stage.
    pub fn arrive(&self, stage: Stage) {
        let mut timeline = self.timeline();
        if timeline.arrive(stage, self.clock.now_ns()) {
            self.orders.send_replace(timeline.orders().clone());
        }
    }

    /// Ends the run in good order: no further issue, drain, teardown.
    pub fn cut(&self, reason: CutReason) {
        let mut timeline = self.timeline();
        if timeline.cut(reason, self.clock.now_ns()) {
            self.orders.send_replace(timeline.orders().clone());
        }
    }

    /// Ends the run at once. Operations in flight complete as cut.
    pub fn stop(&self) {
        let mut timeline = self.timeline();
        timeline.stop(self.clock.now_ns());
        self.orders.send_replace(timeline.orders().clone());
    }

    /// Ends the run where it stands, because a shard is broken.
    pub fn abort(&self, reason: CutReason) {
        let mut timeline = self.timeline();
        timeline.abort(reason, self.clock.now_ns());
        self.orders.send_replace(timeline.orders().clone());
    }

    /// Returns whether what still ran was given up at once, before its bound.
    pub fn was_stopped(&self) -> bool {
        self.timeline().was_stopped()
    }

    /// Returns whether the run ended before its phases, or a stream without phases, were
    /// measured to their end.
    pub fn was_cut_short(&self) -> bool {
        self.timeline().was_cut_short()
    }

    /// Returns why the run ended early, if it did.
    pub fn reason(&self) -> Option<CutReason> {
        self.timeline().reason().cloned()
    }

    /// Returns when measuring began and ended, in nanoseconds from the run's origin. While
    /// measuring goes on, both are the beginning.
    pub fn measured_ns(&self) -> Option<(u64, u64)> {
        let timeline = self.timeline();
        let zero_ns = timeline.zero_ns()?;
        Some((zero_ns, timeline.cut_ns().unwrap_or(zero_ns).max(zero_ns)))
    }

    /// Returns the stages that were entered, in order, the present one last.
    pub fn entered(&self) -> Vec<Stage> {
        self.timeline().entered().collect()
    }

    /// Returns how long the run spent in the finished stages chosen by `of`, in nanoseconds.
    pub fn spent_ns(&self, of: impl Fn(Stage) -> bool) -> u64 {
        self.timeline().spent_ns(of)
    }

    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
