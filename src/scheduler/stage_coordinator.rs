//! The timeline, shared by the shards and by everything that may end the run.

use std::sync::Arc;

use tokio::sync::watch;

use super::timeline::{CutReason, Stage, Timeline};
use crate::backend::Clock;

/// The owner of the timeline. It wakes every shard when the timeline's orders change.
pub struct StageCoordinator {
    timeline: watch::Sender<Timeline>,
    clock: Arc<dyn Clock>,
}

impl StageCoordinator {
    pub fn new(timeline: Timeline, clock: Arc<dyn Clock>) -> StageCoordinator {
        StageCoordinator { timeline: watch::Sender::new(timeline), clock }
    }

    pub fn subscribe(&self) -> watch::Receiver<Timeline> {
        self.timeline.subscribe()
    }

    /// Returns a read lock on the timeline. While a caller holds it, all changes wait; the holder
    /// must call no other method of the coordinator.
    pub fn timeline(&self) -> watch::Ref<'_, Timeline> {
        self.timeline.borrow()
    }

    /// Records that a shard has finished a stage.
    pub fn arrive(&self, stage: Stage) {
        self.update(|timeline, now_ns| timeline.arrive(stage, now_ns));
    }

    /// Takes back that a shard has finished a stage. Returns false if the stage has ended.
    pub fn resume(&self, stage: Stage) -> bool {
        let mut resumed = false;
        self.timeline.send_if_modified(|timeline| {
            resumed = timeline.resume(stage);
            false
        });
        resumed
    }

    /// Ends the run in good order: no further issue, drain, teardown.
    pub fn cut(&self, reason: CutReason) {
        self.update(|timeline, now_ns| timeline.cut(reason, now_ns));
    }

    /// Ends the run at once. Operations in flight complete as cut.
    pub fn stop(&self) {
        self.update(|timeline, now_ns| {
            timeline.stop(now_ns);
            true
        });
    }

    /// Ends the run where it stands, because a shard is broken.
    pub fn abort(&self, reason: CutReason) {
        self.update(|timeline, now_ns| {
            timeline.abort(reason, now_ns);
            true
        });
    }

    /// Changes the timeline. `change` returns whether the orders changed.
    fn update(&self, change: impl FnOnce(&mut Timeline, u64) -> bool) {
        self.timeline.send_if_modified(|timeline| change(timeline, self.clock.now_ns()));
    }
}
