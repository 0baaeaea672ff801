//! The threads of the shards: starts one for each shard, and gathers their measurements.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Semaphore, mpsc};

use super::checks::Checks;
use super::{RunOptions, Stream};
use crate::backend::{Feature, SMBBackend};
use crate::ir::Phase;
use crate::ir::{Event, EventSink};
use crate::observability::Layout;
use crate::observability::live::Live;
use crate::observability::oplog::OplogTap;
use crate::observability::thresholds::watch::WatchedShard;
use crate::observability::{Measurements, Oplog, Recorder};
use crate::scheduler::client::ClientSettings;
use crate::scheduler::engine::EngineConfig;
use crate::scheduler::feature_gate::FeatureGate;
use crate::scheduler::{
    CutReason, Driver, Permits, PhaseSpan, RealClock, Shard, StageCoordinator, Timeline,
};
use crate::script::{HookTap, Hooks};

/// Time from the arrival of the last shard to time zero, if there are several shards.
const LEAD_NS: u64 = 2_000_000;

pub struct Plan<'a> {
    pub options: &'a RunOptions,
    pub backend: Arc<dyn SMBBackend>,
    pub clock: Arc<RealClock>,
    pub phases: &'a [Phase],
    pub shards: usize,
    pub layout: Arc<Layout>,
    pub live: Arc<Live>,
    pub checks: &'a Checks,
    pub hooks: Option<&'a Hooks>,
    pub oplog: Option<&'a Oplog>,
    pub gate: FeatureGate,
    pub permits: Arc<Permits>,
    /// Maximum number of operations queued for one client.
    pub lookahead: usize,
}

/// The beginning of the name of a shard's thread; the shard's number follows.
pub const THREAD_NAME: &str = "shard-";

/// The running shards.
pub struct Running {
    threads: Vec<JoinHandle<Recorder>>,
    ended: mpsc::Receiver<()>,
}

impl Plan<'_> {
    pub fn coordinator(&self) -> Arc<StageCoordinator> {
        let lead_ns = if self.shards > 1 { LEAD_NS } else { 0 };
        let drain_ns = nanos(self.options.timeouts.drain);
        let spans = PhaseSpan::chain(self.phases);
        let timeline = Timeline::new(self.shards, &spans, drain_ns, lead_ns);
        Arc::new(StageCoordinator::new(timeline, self.clock.clone()))
    }

    pub fn start(
        &self,
        coordinator: &Arc<StageCoordinator>,
        stream: Stream,
    ) -> anyhow::Result<Running> {
        let header = stream.header;
        let timeouts = self.options.timeouts;
        let engine = Arc::new(EngineConfig {
            phases: PhaseSpan::chain(self.phases),
            run_client: header.run_client.then(|| header.workload_clients()),
            lookahead: self.lookahead,
            batch_bytes: header.batch_bytes.unwrap_or(usize::MAX),
            op_timeout_ns: nanos(timeouts.operation),
            retry: self.options.retry.clone(),
            phases_last: !header.bounded,
        });
        // In modes 0 and 1 nothing is granted that could be broken. In mode 2 operations wait for a
        // break by file, even if only later operations of the stream turn out to need that mode.
        let caching = self.gate.capabilities.has(Feature::Caching);
        let client = Arc::new(ClientSettings {
            backend: self.backend.clone(),
            capabilities: self.gate.capabilities.clone(),
            clock: self.clock.clone(),
            connecting: Arc::new(Semaphore::new(self.options.connect_concurrency.max(1))),
            seed: header.seed,
            files: caching.then(Arc::default),
            header: Arc::new(header.clone()),
            kept_paths: Arc::default(),
            connect_timeout_ns: nanos(timeouts.connect),
            reconnect_timeout_ns: nanos(timeouts.reconnect),
            op_timeout_ns: nanos(timeouts.operation),
        });
        let feeds = stream.sources.serve(self.shards, self.gate.clone());
        // Nothing is sent on this channel: it closes when the last shard has dropped its end.
        let (ending, ended) = mpsc::channel::<()>(1);
        let mut threads = Vec::with_capacity(self.shards);
        for (index, feed) in feeds.into_iter().enumerate() {
            let clients = header.active_clients().skip(index).step_by(self.shards).collect();
            let (engine, client) = (engine.clone(), client.clone());
            let (permits, coordinator) = (self.permits.clone(), coordinator.clone());
            let clock = self.clock.clone();
            let recorder = Recorder::new(self.layout.clone(), self.live.shard(index));
            let (live, ending) = (self.live.clone(), ending.clone());
            let iterating = self.layout.header.workload_clients();
            let watched = self.checks.shard(index);
            let tap = self.hooks.and_then(Hooks::tap);
            let oplog = self.oplog.and_then(Oplog::tap);
            let thread = std::thread::Builder::new().name(format!("{THREAD_NAME}{index}"));
            threads.push(thread.spawn(move || {
                let _ending = ending;
                let _finish = FinishOnPanic(&coordinator);
                let mut sink = Sink { recorder, tap, oplog, live, iterating, watched };
                let shard = Shard {
                    index,
                    clients,
                    engine,
                    permits,
                    coordinator: coordinator.clone(),
                    client,
                    clock,
                    feed: Box::new(feed),
                };
                if let Err(defect) = drive(shard, &mut sink) {
                    coordinator.abort(CutReason::Internal(format!("{defect:#}")));
                }
                sink.recorder
            })?);
        }
        Ok(Running { threads, ended })
    }
}

fn drive(shard: Shard, sink: &mut Sink) -> anyhow::Result<()> {
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

impl Running {
    /// Returns the channel that closes when every shard has ended.
    pub fn ended(&mut self) -> &mut mpsc::Receiver<()> {
        &mut self.ended
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

struct Sink {
    recorder: Recorder,
    /// The hooks' tap, if the script has hooks on completions.
    tap: Option<HookTap>,
    /// The operation log's tap, with `--oplog`.
    oplog: Option<OplogTap>,
    live: Arc<Live>,
    /// Number of clients that iterate. Clients from this number on do not.
    iterating: u32,
    /// The handle that answers checks, if a threshold may end the run.
    watched: Option<Arc<WatchedShard>>,
}

impl EventSink for Sink {
    fn event(&mut self, event: Event) {
        match (&event, &mut self.tap) {
            // The client of run-wide setup is not one of the stream's clients.
            (Event::Connected { client_idx }, _) if *client_idx < self.iterating => {
                self.live.add_connected();
            }
            (Event::Prepared { .. }, _) => self.live.add_prepared(),
            (Event::Completed(event), Some(tap)) => {
                tap.completed(event, |event| self.recorder.path(event));
            }
            _ => {}
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
struct FinishOnPanic<'a>(&'a StageCoordinator);

impl Drop for FinishOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort(CutReason::Internal("a shard panicked".into()));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
