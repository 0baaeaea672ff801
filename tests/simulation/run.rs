//! One run in virtual time: the real engine, driver, `ConnectionState` and
//! recorder against the simulator.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LockResult, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::{BoxFuture, join, join_all};
use smbench::backend::sim::{self, SimBackend};
use smbench::backend::{BackendCapabilities, Clock, SMBBackend};
use smbench::ir::event::FIRST_GENERATION;
use smbench::ir::{CompletionEvent, Event, EventSink, Section, StreamHeader};
use smbench::observability::summary::RunSettings;
use smbench::observability::{
    GenerationFacts, GenerationSummary, Generations, HookEvents, Layout, Live, Measurements,
    Recorder, RunFacts, Summary, TargetFacts,
};
use smbench::scheduler::batch::{Batch, BatchRequest};
use smbench::scheduler::client::ClientSettings;
use smbench::scheduler::engine::EngineConfig;
use smbench::scheduler::feature_gate::FeatureGate;
use smbench::scheduler::feed::answer;
use smbench::scheduler::reload::ShardLines;
use smbench::scheduler::virtual_time::VirtualClock;
use smbench::scheduler::{
    CutReason, Driver, Feed, Feeds, Permits, PhaseSpan, Shard, StageCoordinator, Timeline,
};
use smbench_test_support::Format;

use super::reloads::{self, Reloading};
use super::scenario::{Ending, Scenario};
use super::watched::{Book, Call, Notice, Panics, Watched};
use super::workload::Stream;

/// The outcome of a run, as the run reports it and as the backend saw it.
pub struct Outcome {
    pub log: Vec<Logged>,
    pub calls: Vec<Call>,
    pub notices: Vec<Notice>,
    /// The number of operations that the feeds delivered, by generation and client.
    pub delivered: BTreeMap<(u32, u32), u64>,
    /// The generations that the shards accepted, and those of them in which all clients have
    /// settled.
    pub accepted: Vec<u32>,
    pub settled: Vec<u32>,
    measurements: Measurements,
    generations: Vec<GenerationSummary>,
    limit: Option<u32>,
    pub most_in_flight: u32,
    pub two_in_flight: bool,
    /// Handles that were open when their client disconnected normally.
    pub left_open: u32,
    /// Opens that the server still has at the end.
    pub open_handles: usize,
    /// Permits that are free at the end, counted up to one more than the limit.
    pub permits_free: u32,
    pub reason: Option<CutReason>,
    /// Time zero and the end of measuring, in nanoseconds.
    pub measured_ns: Option<(u64, u64)>,
    pub ended_ns: u64,
}

/// An event, and the time at which it was reported.
#[derive(Clone, Debug)]
pub struct Logged {
    pub at_ns: u64,
    pub event: Event,
}

impl Outcome {
    pub fn completions(&self) -> impl Iterator<Item = &CompletionEvent> {
        self.events().filter_map(|event| match event {
            Event::Completed(completion) => Some(completion),
            _ => None,
        })
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.log.iter().map(|logged| &logged.event)
    }

    /// Returns the header of the run with the clients of all its generations.
    pub fn header(&self) -> &StreamHeader {
        &self.measurements.layout.header
    }

    /// Returns the summary of the run. Its percentiles take most of the time of a check.
    pub fn summary(&self) -> Summary {
        let phases = self.measurements.layout.phases().iter();
        let facts = RunFacts {
            id: "simulation".into(),
            started_at: UNIX_EPOCH,
            target: TargetFacts::default(),
            settings: RunSettings {
                profile: None,
                time_scale: 1.0,
                mode: None,
                limit: self.limit,
                retry: Vec::new(),
            },
            instant: false,
            server_in_process: false,
            generators: 1,
            processors: None,
            prepared: None,
            cleaned: None,
            phases: phases.map(|phase| Duration::from_nanos(phase.duration_ns)).collect(),
            setup: Duration::ZERO,
            teardown: Duration::ZERO,
            interrupted: self.reason == Some(CutReason::Interrupted),
            cut_short: self.reason.is_some(),
            allow_late: false,
            exit_reasons: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            thresholds: Vec::new(),
            hook_events: HookEvents::default(),
            oplog: None,
            metrics: Default::default(),
            generations: self.generations.clone(),
        };
        let summary = Summary::new(facts, &self.measurements);
        Format::Summary.check(&serde_json::to_value(&summary).expect("a summary is JSON"));
        summary
    }
}

impl Scenario {
    pub fn run(&self) -> Outcome {
        self.try_run().unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// Runs the scenario, and returns its outcome.
    ///
    /// # Errors
    /// A message if the run does not end, or the engine found itself in an impossible state.
    pub fn try_run(&self) -> Result<Outcome, String> {
        let clock = VirtualClock::default();
        let server = Arc::new(SimBackend::new(
            Arc::new(clock.clone()),
            sim::SimSettings {
                latency: self.latency,
                stalls: self.stalls.clone(),
                outages: self.outages.clone(),
                faults: self.faults(),
                seed: self.seed,
            },
        ));
        let panics = Panics { seed: self.seed, per_mille: self.panics_per_mille };
        let book = Arc::new(Book::new(clock.clone(), panics, self.caching));
        let watched = Arc::new(Watched { server: server.clone(), book: book.clone() });
        let capabilities = Arc::new(watched.capabilities());
        let header = &self.stream.header;
        let phases = PhaseSpan::chain(&header.phases);
        let permits = Permits::new(self.limit, self.shards).with_operations(self.operations);
        let permits = Arc::new(permits);
        let timeline = Timeline::new(self.shards, &phases, self.drain_ns, 1_000);
        let coordinator = Arc::new(StageCoordinator::new(timeline, Arc::new(clock.clone())));
        let engine = Arc::new(EngineConfig {
            phases,
            run_client: self.stream.run_client(),
            lookahead: self.lookahead,
            // Room for about two operations, in some of the scenarios with a short lookahead.
            batch_bytes: if self.lookahead % 2 == 1 { 300 } else { usize::MAX },
            op_timeout_ns: self.op_timeout_ns,
            retry: self.retry.clone(),
            phases_last: !header.bounded,
        });
        let client = Arc::new(ClientSettings {
            backend: watched,
            capabilities: capabilities.clone(),
            clock: Arc::new(clock.clone()),
            connecting: Arc::new(tokio::sync::Semaphore::new(4)),
            seed: self.seed,
            header: Arc::new(header.clone()),
            files: self.by_file.then(Arc::default),
            kept_paths: Arc::default(),
            connect_timeout_ns: 1_000_000_000,
            reconnect_timeout_ns: self.reconnect_timeout_ns,
            op_timeout_ns: self.op_timeout_ns,
        });
        let layouts = Rc::new(reloads::layouts(self));
        let layout = layouts[&FIRST_GENERATION].clone();
        let watched = !self.reloads.is_empty();
        let by_generation = self.counts_by_generation();
        let facts = GenerationFacts::default();
        let generations = RefCell::new(Generations::new(self.shards, layout.clone(), facts));
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut sinks: Vec<Sink> = (0..self.shards)
            .map(|shard| {
                let mut recorder = Recorder::new(layout.clone(), Live::new(1).shard(0));
                if let Some(of_shard) = generations.borrow().shard(shard).filter(|_| by_generation)
                {
                    recorder = recorder.with_generations(of_shard);
                }
                let (clock, log, layouts) = (clock.clone(), log.clone(), layouts.clone());
                Sink { shard, clock, log, layouts, recorder }
            })
            .collect();
        let delivered = Delivered::default();
        let (lines, ends) = ShardLines::new(self.shards);
        let drivers: Vec<Driver> = sinks
            .iter_mut()
            .zip(ends)
            .map(|(sink, end)| {
                let index = sink.shard;
                let shard = Shard {
                    index,
                    clients: (index as u32..header.clients()).step_by(self.shards).collect(),
                    engine: engine.clone(),
                    permits: permits.clone(),
                    coordinator: coordinator.clone(),
                    client: client.clone(),
                    clock: Arc::new(clock.clone()),
                    feed: Feeds::new(self.feed(&self.stream, &clock, &capabilities, &delivered)),
                    reloads: watched.then_some(end),
                };
                Driver::new(shard, sink)
            })
            .collect();
        let shards = join_all(drivers.into_iter().map(Driver::run));
        let reloading = Reloading {
            scenario: self,
            clock: &clock,
            coordinator: &coordinator,
            capabilities: &capabilities,
            delivered: &delivered,
            engine: &engine,
            client: &client,
            generations: &generations,
        };
        let outside = join(self.end(&clock, &coordinator), reloading.follow(lines));
        let all = join(shards, outside);
        let all = async {
            let mut all = pin!(all);
            poll_fn(|cx| {
                book.pass_breaks(cx);
                let ended = all.as_mut().poll(cx);
                // A connection may have begun to listen for breaks.
                book.pass_breaks(cx);
                ended
            })
            .await
        };
        let (ended, ((), (accepted, settled))) =
            clock.block_on(all).map_err(|stalled| stalled.to_string())?;
        for shard in ended {
            shard.map_err(|broken| broken.to_string())?;
        }
        let last = accepted.last().unwrap_or(&FIRST_GENERATION);
        let mut measurements = Measurements::new(layouts[last].clone());
        for sink in sinks {
            measurements.merge(sink.recorder.finish());
        }
        let measured_ns = coordinator.timeline().measured_ns();
        let (zero_ns, end_ns) = measured_ns.unwrap_or_default();
        if measured_ns.is_some() {
            generations.borrow_mut().begin(zero_ns);
        }
        let generations = match by_generation {
            true => generations.into_inner().summaries(end_ns),
            false => Vec::new(),
        };
        let most = self.limit.unwrap_or_default();
        let permits_free = (0..=most).take_while(|_| permits.acquire(0)).count() as u32;
        let calls = std::mem::take(&mut *book.calls.lock().unwrap());
        let notices = std::mem::take(&mut *book.notices.lock().unwrap());
        Ok(Outcome {
            log: log.take(),
            delivered: delivered.take(),
            accepted,
            settled,
            calls,
            notices,
            measurements,
            generations,
            limit: self.limit,
            most_in_flight: book.most_inside.load(Relaxed),
            two_in_flight: book.doubled.load(Relaxed) > 0,
            left_open: book.left_open.load(Relaxed),
            open_handles: server.open_handles(),
            permits_free,
            reason: coordinator.timeline().reason().cloned(),
            measured_ns,
            ended_ns: clock.now_ns(),
        })
    }

    /// Ends the run from outside, if the scenario says so.
    async fn end(&self, clock: &VirtualClock, coordinator: &StageCoordinator) {
        let Some((at_ns, ending)) = self.ending else { return };
        clock.sleep_until(at_ns).await;
        match ending {
            Ending::Cut => coordinator.cut(CutReason::Interrupted),
            Ending::Stop { after_ns } => {
                coordinator.cut(CutReason::Interrupted);
                clock.sleep_until(at_ns + after_ns).await;
                coordinator.stop();
            }
            Ending::Abort => coordinator.abort(CutReason::Internal("broken".into())),
        }
    }

    pub fn feed(
        &self,
        stream: &Stream,
        clock: &VirtualClock,
        capabilities: &Arc<BackendCapabilities>,
        delivered: &Delivered,
    ) -> SlowFeed {
        let gate = FeatureGate::new((**capabilities).clone(), None, false);
        SlowFeed {
            source: stream.clone(),
            gate,
            delivered: delivered.clone(),
            made: VecDeque::new(),
            clock: clock.clone(),
            generation_ns: self.generation_ns,
            busy_until_ns: 0,
            answers: VecDeque::new(),
        }
    }
}

/// A sink that logs events and passes them to the recorder of the shard.
struct Sink {
    shard: usize,
    clock: VirtualClock,
    log: Rc<RefCell<Vec<Logged>>>,
    layouts: Rc<BTreeMap<u32, Arc<Layout>>>,
    recorder: Recorder,
}

impl EventSink for Sink {
    fn event(&mut self, event: Event) {
        let at_ns = self.clock.now_ns();
        self.log.borrow_mut().push(Logged { at_ns, event: event.clone() });
        if let Event::Reloaded { generation } = event {
            self.recorder.follow(self.layouts[&generation].clone());
        }
        self.recorder.event(event);
    }
}

/// The number of operations of iterations that feeds delivered, by generation and client.
#[derive(Clone, Default)]
pub struct Delivered(Arc<Mutex<BTreeMap<(u32, u32), u64>>>);

impl Delivered {
    fn lock(&self) -> LockResult<MutexGuard<'_, BTreeMap<(u32, u32), u64>>> {
        self.0.lock()
    }

    fn take(&self) -> BTreeMap<(u32, u32), u64> {
        std::mem::take(&mut *self.lock().unwrap())
    }
}

/// A feed from a source on the shard's own thread, because virtual time stands still while the
/// source works. It makes one batch after the other, each in `generation_ns`.
pub struct SlowFeed {
    source: Stream,
    delivered: Delivered,
    gate: FeatureGate,
    made: VecDeque<Batch>,
    clock: VirtualClock,
    generation_ns: u64,
    busy_until_ns: u64,
    answers: VecDeque<(BoxFuture<'static, ()>, Batch)>,
}

impl Feed for SlowFeed {
    fn request(&mut self, request: BatchRequest) {
        let batch = answer(&mut self.source, &self.gate, request, request.client_idx);
        self.made.push_back(batch);
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        let polled = self.poll_made(cx);
        if let Poll::Ready(batch) = &polled
            && batch.section == Section::Iteration
            && let Some(first) = batch.operations.first()
        {
            let mut delivered = self.delivered.lock().unwrap();
            *delivered.entry((batch.generation, first.client_idx)).or_default() +=
                batch.operations.len() as u64;
        }
        polled
    }
}

impl SlowFeed {
    fn poll_made(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        if self.generation_ns == 0 {
            return self.made.pop_front().map_or(Poll::Pending, Poll::Ready);
        }
        while let Some(batch) = self.made.pop_front() {
            self.busy_until_ns = self.busy_until_ns.max(self.clock.now_ns()) + self.generation_ns;
            self.answers.push_back((self.clock.sleep_until(self.busy_until_ns), batch));
        }
        let ready = |(ready, _): &mut (BoxFuture<'_, ()>, _)| ready.as_mut().poll(cx).is_ready();
        match self.answers.front_mut().is_some_and(ready).then(|| self.answers.pop_front()) {
            Some(Some((_, batch))) => Poll::Ready(batch),
            _ => Poll::Pending,
        }
    }
}
