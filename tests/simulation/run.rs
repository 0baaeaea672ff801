//! One run in virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use smbench::backend::sim::{Fault, Latency, Request, Settings, SimBackend};
use smbench::backend::{
    BackendCapabilities, Clock, ConnectError, Endpoint, OpError, SMBBackend, SMBConnectionInner,
    SMBFileHandle,
};
use smbench::ir::{Event, EventSink, OpenMode, OperationKind};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{CreateParameters, NtStatus, SharePath};
use smbench::scheduler::client::ClientSettings;
use smbench::scheduler::engine::EngineConfig;
use smbench::scheduler::feed::Allowed;
use smbench::scheduler::virtual_time::VirtualClock;
use smbench::scheduler::{
    Conductor, CutReason, Driver, LocalFeed, Permits, PhaseSpan, Shard, Timeline,
};

use super::workload::{Dice, Stream};

/// How a run is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The first Ctrl-C.
    Cut,
    /// The first, and this much later the second.
    Stop { after_ns: u64 },
    /// A shard broke down.
    Abort,
}

pub struct Scenario {
    pub stream: Stream,
    pub limit: Option<u32>,
    pub shards: usize,
    /// Chances in a thousand, by operation.
    pub faults_per_mille: u64,
    pub panics_per_mille: u64,
    pub ending: Option<(u64, Ending)>,
    pub lookahead: usize,
    pub op_timeout_ns: u64,
    pub reconnect_timeout_ns: u64,
    pub drain_ns: u64,
    seed: u64,
}

pub struct Outcome {
    pub events: Vec<Event>,
    pub most_in_flight: u32,
    pub two_in_flight: bool,
    pub open_handles: usize,
    pub reason: Option<CutReason>,
    pub ended_ns: u64,
}

impl Outcome {
    pub fn log(&self) -> Vec<String> {
        self.events.iter().map(|event| format!("{event:?}")).collect()
    }
}

impl Scenario {
    pub fn random(seed: u64) -> Scenario {
        let mut dice = Dice(seed);
        let stream = Stream::random(&mut dice);
        let harsh = dice.chance(40);
        let ending = dice.chance(30).then(|| {
            let after_ns = dice.roll(30_000_000);
            let ending = if dice.chance(30) { Ending::Stop { after_ns } } else { Ending::Cut };
            (dice.roll(60_000_000), ending)
        });
        Scenario {
            stream,
            limit: [None, Some(1), Some(2), Some(7)][dice.roll(4) as usize],
            shards: 1 + dice.roll(4) as usize,
            faults_per_mille: if dice.chance(50) { dice.roll(80) } else { 0 },
            panics_per_mille: if dice.chance(20) { dice.roll(20) } else { 0 },
            ending,
            lookahead: 2 + dice.roll(16) as usize,
            op_timeout_ns: if harsh { 200_000 + dice.roll(2_000_000) } else { 50_000_000 },
            reconnect_timeout_ns: if harsh { dice.roll(400_000_000) } else { 2_000_000_000 },
            drain_ns: if harsh { dice.roll(40_000_000) } else { 10_000_000_000 },
            seed,
        }
    }

    pub fn plain(stream: Stream, limit: Option<u32>, shards: usize) -> Scenario {
        Scenario {
            stream,
            limit,
            shards,
            faults_per_mille: 0,
            panics_per_mille: 0,
            ending: None,
            lookahead: 8,
            op_timeout_ns: 50_000_000,
            reconnect_timeout_ns: 2_000_000_000,
            drain_ns: 10_000_000_000,
            seed: 0,
        }
    }

    pub fn run(&self) -> Outcome {
        let clock = VirtualClock::default();
        let server = Arc::new(SimBackend::new(
            Arc::new(clock.clone()),
            Settings {
                latency: Latency::Constant(Duration::from_micros(300)),
                faults: self.faults(),
                ..Settings::default()
            },
        ));
        let panics = Panics { seed: self.seed, per_mille: self.panics_per_mille };
        let counts = Arc::new(Counts { panics, ..Counts::default() });
        let watched = Arc::new(Watched { server: server.clone(), counts });
        let capabilities = Arc::new(watched.capabilities());
        let phases = PhaseSpan::chain(&self.stream.header.phases);
        let permits = Arc::new(Permits::new(self.limit, self.shards));
        let timeline = Timeline::new(self.shards, &phases, self.drain_ns, 1_000);
        let conductor = Arc::new(Conductor::new(timeline, Arc::new(clock.clone())));
        let engine = Arc::new(EngineConfig {
            phases,
            run_client: self.stream.run_client(),
            lookahead: self.lookahead,
            op_timeout_ns: self.op_timeout_ns,
            retry: None,
            dropping: Vec::new(),
        });
        let client = Arc::new(ClientSettings {
            backend: watched.clone(),
            capabilities: capabilities.clone(),
            clock: Arc::new(clock.clone()),
            connecting: Arc::new(tokio::sync::Semaphore::new(4)),
            seed: self.seed,
            connect_timeout_ns: 1_000_000_000,
            reconnect_timeout_ns: self.reconnect_timeout_ns,
            op_timeout_ns: self.op_timeout_ns,
        });
        let events = Rc::new(RefCell::new(Vec::new()));
        let clients = self.stream.header.clients();
        let mut sinks: Vec<Collect> = (0..self.shards).map(|_| Collect(events.clone())).collect();
        let drivers: Vec<Driver> = sinks
            .iter_mut()
            .enumerate()
            .map(|(index, sink)| {
                let allowed = Allowed { capabilities: capabilities.clone(), degrade: false };
                let shard = Shard {
                    index,
                    clients: (index as u32..clients).step_by(self.shards).collect(),
                    engine: engine.clone(),
                    permits: permits.clone(),
                    conductor: conductor.clone(),
                    client: client.clone(),
                    clock: Arc::new(clock.clone()),
                    feed: Box::new(LocalFeed::new(Box::new(self.stream.clone()), allowed)),
                };
                Driver::new(shard, sink)
            })
            .collect();
        let interrupt = async {
            let Some((at_ns, ending)) = self.ending else { return };
            clock.sleep_until(at_ns).await;
            match ending {
                Ending::Cut => conductor.cut(CutReason::Interrupted),
                Ending::Stop { after_ns } => {
                    conductor.cut(CutReason::Interrupted);
                    clock.sleep_until(at_ns + after_ns).await;
                    conductor.stop();
                }
                Ending::Abort => conductor.abort(CutReason::Internal("broken".into())),
            }
        };
        let all =
            futures_util::future::join(join_all(drivers.into_iter().map(Driver::run)), interrupt);
        let (ended, ()) = clock.block_on(all).expect("the run does not stall");
        for shard in ended {
            shard.expect("the engine finds no mismatch");
        }
        Outcome {
            events: events.take(),
            most_in_flight: watched.counts.most.load(Ordering::Relaxed),
            two_in_flight: watched.counts.doubled.load(Ordering::Relaxed) > 0,
            open_handles: server.open_handles(),
            reason: conductor.reason(),
            ended_ns: clock.now_ns(),
        }
    }

    /// Which requests go wrong follows from the seed and the request alone.
    fn faults(&self) -> smbench::backend::sim::FaultPlan {
        let (seed, per_mille) = (self.seed, self.faults_per_mille);
        Box::new(move |request: Request| {
            // The first connect is made without faults: its failure ends the run before it begins.
            if request.operation.is_none() && request.connect == 0 {
                return None;
            }
            let operation = request.operation.unwrap_or(u64::MAX >> 32);
            let mut dice = Dice(
                seed ^ (u64::from(request.client_idx) << 40)
                    ^ (u64::from(request.connect) << 32)
                    ^ operation,
            );
            // The first operation is setup's: its failure ends the run, which is another test.
            if request.operation.is_none() && per_mille > 0 && dice.chance(30) {
                return Some([Fault::NoReply, Fault::ConnectionLost][dice.roll(2) as usize]);
            }
            if operation == 0 || dice.roll(1_000) >= per_mille {
                return None;
            }
            Some(match dice.roll(3) {
                0 => Fault::Status(NtStatus::SHARING_VIOLATION),
                1 => Fault::NoReply,
                _ => Fault::ConnectionLost,
            })
        })
    }
}

struct Collect(Rc<RefCell<Vec<Event>>>);

impl EventSink for Collect {
    fn event(&mut self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

/// The server with a turnstile before it, counting who is inside.
struct Watched {
    server: Arc<SimBackend>,
    counts: Arc<Counts>,
}

/// Which calls of the backend panic.
#[derive(Default)]
struct Panics {
    seed: u64,
    per_mille: u64,
}

#[derive(Default)]
struct Counts {
    panics: Panics,
    calls: AtomicU32,
    inside: AtomicU32,
    most: AtomicU32,
    doubled: AtomicU32,
}

struct Inside<'a>(&'a Counts, &'a AtomicU32);

impl Counts {
    fn may_panic(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice(self.panics.seed ^ (u64::from(call) << 20));
        if self.panics.per_mille > 0 && dice.roll(1_000) < self.panics.per_mille {
            // As `panic!`, but without a word on standard error.
            std::panic::resume_unwind(Box::new("a planned panic"));
        }
    }

    fn enter<'a>(&'a self, client: &'a AtomicU32) -> Inside<'a> {
        let inside = self.inside.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(inside, Ordering::Relaxed);
        if client.fetch_add(1, Ordering::Relaxed) > 0 {
            self.doubled.fetch_add(1, Ordering::Relaxed);
        }
        let inside = Inside(self, client);
        self.may_panic();
        inside
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl SMBBackend for Watched {
    fn capabilities(&self) -> BackendCapabilities {
        self.server.capabilities()
    }

    fn endpoint(&self) -> Endpoint {
        self.server.endpoint()
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        self.counts.may_panic();
        let inner = self.server.connect(client_idx).await?;
        Ok(Box::new(WatchedConnection { inner, counts: self.counts.clone(), here: Arc::default() }))
    }
}

struct WatchedConnection {
    inner: Box<dyn SMBConnectionInner>,
    counts: Arc<Counts>,
    here: Arc<AtomicU32>,
}

impl WatchedConnection {
    fn watch(&self, handle: Box<dyn SMBFileHandle>) -> Box<dyn SMBFileHandle> {
        Box::new(WatchedHandle {
            inner: handle,
            counts: self.counts.clone(),
            here: self.here.clone(),
        })
    }
}

#[async_trait]
impl SMBConnectionInner for WatchedConnection {
    async fn open_simple(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let _inside = self.counts.enter(&self.here);
        Ok(self.watch(self.inner.open_simple(path, mode, disposition).await?))
    }

    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let _inside = self.counts.enter(&self.here);
        Ok(self.watch(self.inner.open_extended(path, mode, disposition, parameters).await?))
    }

    async fn execute_misc(&self, operation: &OperationKind) -> Result<(), OpError> {
        let _inside = self.counts.enter(&self.here);
        self.inner.execute_misc(operation).await
    }

    async fn cancel(&self) -> bool {
        self.counts.may_panic();
        self.inner.cancel().await
    }

    async fn disconnect(self: Box<Self>) {
        self.counts.may_panic();
        self.inner.disconnect().await;
    }
}

struct WatchedHandle {
    inner: Box<dyn SMBFileHandle>,
    counts: Arc<Counts>,
    here: Arc<AtomicU32>,
}

#[async_trait]
impl SMBFileHandle for WatchedHandle {
    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError> {
        let _inside = self.counts.enter(&self.here);
        self.inner.read(offset, length).await
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError> {
        let _inside = self.counts.enter(&self.here);
        self.inner.write(offset, data).await
    }

    async fn truncate(&self, size: u64) -> Result<(), OpError> {
        let _inside = self.counts.enter(&self.here);
        self.inner.truncate(size).await
    }

    async fn flush(&self) -> Result<(), OpError> {
        let _inside = self.counts.enter(&self.here);
        self.inner.flush().await
    }

    async fn lock(
        &self,
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    ) -> Result<(), OpError> {
        // One that waits takes no permit.
        let _inside = (!wait).then(|| self.counts.enter(&self.here));
        self.inner.lock(offset, length, exclusive, wait).await
    }

    async fn unlock(&self, offset: u64, length: u64) -> Result<(), OpError> {
        let _inside = self.counts.enter(&self.here);
        self.inner.unlock(offset, length).await
    }

    async fn close(self: Box<Self>) -> Result<(), OpError> {
        // Cleanup closes without a permit, so only the workload's own operations are counted.
        self.counts.may_panic();
        self.inner.close().await
    }
}
