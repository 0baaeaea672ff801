//! The threads of the shards: starts one for each shard, and gathers their measurements.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::{Builder, JoinHandle};

use anyhow::Context;
use tokio::sync::mpsc;

use super::made_tracker::MadeTap;
use crate::ir::{Event, EventSink};
use crate::observability::Layout;
use crate::observability::live::Live;
use crate::observability::oplog::OplogTap;
use crate::observability::thresholds::watch::WatchedShard;
use crate::observability::{Measurements, Recorder};
use crate::scheduler::{CutReason, Driver, Shard, StageCoordinator};
use crate::script::HookTap;

/// The beginning of the name of a shard's thread; the shard's number follows.
pub const THREAD_NAME: &str = "shard-";

/// The running shards.
pub struct Shards {
    threads: Vec<JoinHandle<Recorder>>,
    /// Nothing is sent on this channel: it closes when the last shard has dropped its end.
    ending: Option<mpsc::Sender<()>>,
    ended: mpsc::Receiver<()>,
}

impl Shards {
    pub fn new() -> Shards {
        let (ending, ended) = mpsc::channel(1);
        Shards { threads: Vec::new(), ending: Some(ending), ended }
    }

    /// Starts a thread that makes and drives a shard, which reports to `sink`.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn spawn(
        &mut self,
        mut sink: ShardSink,
        shard: impl FnOnce() -> Shard + Send + 'static,
    ) -> io::Result<()> {
        let ending = self.ending.clone();
        let thread = Builder::new().name(format!("{THREAD_NAME}{}", self.threads.len()));
        self.threads.push(thread.spawn(move || {
            let _ending = ending;
            let shard = shard();
            let coordinator = shard.coordinator.clone();
            let _abort = AbortOnPanic(&coordinator);
            if let Err(defect) = drive(shard, &mut sink) {
                coordinator.abort(CutReason::Internal(format!("{defect:#}")));
            }
            sink.recorder
        })?);
        Ok(())
    }

    /// Waits until every shard has ended. No shard can be started any more.
    pub async fn ended(&mut self) {
        self.ending = None;
        self.ended.recv().await;
    }

    /// Waits for the shards. Returns their merged measurements, and an error message for each shard
    /// that panicked.
    pub fn join(self, layout: Arc<Layout>) -> (Measurements, Vec<String>) {
        let mut measurements = Measurements::new(layout);
        let mut defects = Vec::new();
        for thread in self.threads {
            match thread.join() {
                Ok(recorder) => measurements.merge(recorder.finish()),
                Err(_) => defects.push("a shard panicked: what it measured is lost".into()),
            }
        }
        (measurements, defects)
    }
}

fn drive(shard: Shard, sink: &mut ShardSink) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a shard's runtime did not start")?;
    let ended = runtime.block_on(async { Driver::new(shard, sink).run().await });
    // The runtime's threads are not waited for, because a name lookup or a file read may still
    // block one.
    runtime.shutdown_background();
    Ok(ended?)
}

/// The receivers of the events of one shard.
pub struct ShardSink {
    pub recorder: Recorder,
    /// The hooks' tap, if the script has hooks on completions.
    pub hooks: Option<HookTap>,
    /// The operation log's tap, with `--oplog`.
    pub oplog: Option<OplogTap>,
    /// The tap of `--clean`.
    pub made: Option<MadeTap>,
    pub live: Arc<Live>,
    /// Number of clients of workloads. The client of run-wide setup has this number.
    pub workload_clients: u32,
    /// The handle that answers checks, if a threshold may end the run.
    pub watched: Option<Arc<WatchedShard>>,
    /// The channel on which its part of each generation comes, in a run that is watched.
    pub reloads: Option<std_mpsc::Receiver<SinkReload>>,
}

/// The part of a generation of the stream that the sink of a shard takes over.
pub struct SinkReload {
    pub layout: Arc<Layout>,
    pub hooks: Option<HookTap>,
    pub watched: Option<Arc<WatchedShard>>,
}

impl EventSink for ShardSink {
    fn event(&mut self, event: Event) {
        if let Event::Reloaded { .. } = event
            && let Some(reload) = self.reloads.as_ref().and_then(|reloads| reloads.try_recv().ok())
        {
            self.recorder.follow(reload.layout);
            (self.hooks, self.watched) = (reload.hooks, reload.watched);
        }
        match (&event, &mut self.hooks) {
            // The client of run-wide setup is not one of the stream's clients.
            (Event::Connected { client_idx }, _) if *client_idx < self.workload_clients => {
                self.live.add_connected();
            }
            (Event::Prepared { .. }, _) => self.live.add_prepared(),
            (Event::Completed(event), Some(tap)) => {
                tap.completed(event, |event| self.recorder.path(event));
            }
            _ => {}
        }
        if let Some(made) = &self.made {
            made.event(&event);
        }
        if let Some(oplog) = &mut self.oplog {
            oplog.event(&event, |event| self.recorder.path(event));
        }
        self.recorder.event(event);
        if let Some(watched) = &self.watched {
            watched.after_event(self.recorder.measurements());
        }
    }
}

/// A guard that aborts the run when its shard panics, so that the other shards do not wait for it.
struct AbortOnPanic<'a>(&'a StageCoordinator);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort(CutReason::Internal("a shard panicked".into()));
        }
    }
}
