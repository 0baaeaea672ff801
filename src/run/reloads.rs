//! The reloads of a watched run: they take it from one generation of its stream to the next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;

use super::candidate::{Candidate, CandidateSource, LEAD, Loaded, LoadedPart};
use super::error::RunError;
use super::file_watch::{FileChange, FileWatch, WatchedFile};
use super::hooks::{HookLoader, RunHooks};
use super::input::Input;
use super::keys::{Keys, WatchKey};
use super::lookahead::lookahead;
use super::options::{RunOptions, WatchOptions};
use super::reload_lines::{
    MovingClients, ReloadEvent, ReloadLines, Settling, SettlingShow, comparison,
};
use super::shards::SinkReload;
use super::stage_display::StageDisplay;
use super::threshold_checks::ThresholdChecks;
use crate::backend::Clock;
use crate::ir::event::FIRST_GENERATION;
use crate::ir::units::nanoseconds;
use crate::ir::{Phase, StreamHeader};
use crate::observability::text::{counted, was};
use crate::observability::{GenerationFacts, GenerationFigures, Generations, Layout, Oplog};
use crate::scheduler::client::ClientSettings;
use crate::scheduler::engine::{EngineConfig, Generation, GenerationTimes};
use crate::scheduler::feature_gate::FeatureGate;
use crate::scheduler::reload::{Reached, ReloadOrder, ReloadReport, ShardLines, ShardReload};
use crate::scheduler::{CutReason, RealClock, Stage, StageCoordinator};

/// Longest wait for the first operations of a generation's clients.
const FETCH_BOUND: Duration = Duration::from_secs(30);
/// The shortest time from the order to begin a generation to its beginning, in which all shards get
/// the order. A shard that got it later would still make arrivals of the generation before, while
/// the others make those of the new one.
const ORDERED: Duration = Duration::from_millis(20);
/// The time from the cut of clients that did not move in time to the line about it, in which all
/// shards report how many they were.
const CUT_REPORTED: Duration = Duration::from_millis(100);
/// Maximum number of generations that clients may be in at a time, besides the newest.
const MOST_UNSETTLED: usize = 4;
/// Maximum number of generations of a run: each has a part in its summary.
const MOST_GENERATIONS: u32 = 10_000;

/// The reloads of a run, on its main thread.
pub struct Reloads {
    options: RunOptions,
    grace: Duration,
    input: Input,
    first: Arc<StreamHeader>,
    /// The header of the run with the clients of the present generation.
    header: Arc<StreamHeader>,
    layout: Arc<Layout>,
    phases: Vec<Phase>,
    gate: FeatureGate,
    generators: u32,
    loader: HookLoader,
    /// The settings of the run's engines and clients, of which those of a generation are made.
    engine: Arc<EngineConfig>,
    client: Arc<ClientSettings>,
    clock: Arc<RealClock>,
    coordinator: Arc<StageCoordinator>,
    watch: FileWatch,
    /// The files of the present generation, which are watched along with those of a refused one.
    files: Vec<WatchedFile>,
    keys: Option<Keys>,
    lines: ReloadLines,
    orders: ShardLines,
    /// The channels on which each shard's sink gets its part of a generation.
    sinks: Vec<Sender<SinkReload>>,
    /// The shard of each client.
    owners: HashMap<u32, usize>,
    loading: (mpsc::UnboundedSender<Loaded>, mpsc::UnboundedReceiver<Loaded>),
    present: u32,
    next: u32,
    /// The number of loads so far.
    attempts: u64,
    load: Option<Load>,
    /// The accepted generations that have not settled, with the number of shards where they have.
    unsettled: BTreeMap<u32, usize>,
    pub generations: Generations,
    settling: Option<Settled>,
    refused: u64,
}

/// A reload on its way from the change of a file to its acceptance.
struct Load {
    number: u32,
    attempt: u64,
    change: FileChange,
    fetch: Option<Fetch>,
    /// Whether its check has ended without an error.
    checked: bool,
}

impl Load {
    /// Returns the time at which it is given up, while a shard waits for first operations.
    fn fetching(&self, shards: usize) -> Option<Instant> {
        let fetch = self.fetch.as_ref().filter(|fetch| fetch.fetched < shards)?;
        Some(fetch.give_up)
    }
}

/// A candidate whose first operations are being made.
struct Fetch {
    candidate: Box<Candidate>,
    /// The number of shards that have them.
    fetched: usize,
    give_up: Instant,
}

/// The figures of a new generation, while they settle.
struct Settled {
    number: u32,
    before: u32,
    clients: u64,
    settling: Settling,
    /// The number of clients that were cut because they did not move in time.
    cut: u32,
    /// The time by which all shards have reported them.
    cut_reported: Option<Instant>,
}

/// An input that reloads react to.
pub enum ReloadInput {
    Changed(FileChange),
    Key(WatchKey),
    Loaded(Loaded),
    Reported(ReloadReport),
    /// The time at which something is to be shown or given up.
    Look,
}

/// The parts of a run that a reload changes.
pub struct ReloadedParts<'a> {
    pub hooks: &'a mut RunHooks,
    pub thresholds: &'a mut ThresholdChecks,
    pub oplog: Option<&'a Oplog>,
    pub display: &'a mut StageDisplay,
}

/// The parts of a run that its reloads are made from.
pub struct ReloadsStart {
    pub input: Input,
    pub options: RunOptions,
    pub watched: WatchOptions,
    pub header: Arc<StreamHeader>,
    pub layout: Arc<Layout>,
    pub phases: Vec<Phase>,
    pub gate: FeatureGate,
    pub generators: u32,
    pub loader: HookLoader,
    pub engine: Arc<EngineConfig>,
    pub client: Arc<ClientSettings>,
    pub clock: Arc<RealClock>,
    pub coordinator: Arc<StageCoordinator>,
    pub watch: FileWatch,
    pub orders: ShardLines,
    pub sinks: Vec<Sender<SinkReload>>,
    pub owners: HashMap<u32, usize>,
    pub generations: Generations,
}

impl Reloads {
    /// Starts to listen to keys. Must be called within the context of a runtime. The files of the
    /// input are watched already.
    pub fn start(start: ReloadsStart) -> Reloads {
        let files = start.input.reads().files().into_iter().map(WatchedFile::from).collect();
        let keys = if start.watched.keys { Keys::listen() } else { None };
        Reloads {
            grace: start.watched.grace,
            lines: ReloadLines { all: start.options.progress },
            generations: start.generations,
            layout: start.layout,
            options: start.options,
            input: start.input,
            first: start.header.clone(),
            header: start.header,
            phases: start.phases,
            gate: start.gate,
            generators: start.generators,
            loader: start.loader,
            engine: start.engine,
            client: start.client,
            clock: start.clock,
            coordinator: start.coordinator,
            watch: start.watch,
            files,
            keys,
            orders: start.orders,
            sinks: start.sinks,
            owners: start.owners,
            loading: mpsc::unbounded_channel(),
            present: FIRST_GENERATION,
            next: FIRST_GENERATION + 1,
            attempts: 0,
            load: None,
            unsettled: BTreeMap::new(),
            settling: None,
            refused: 0,
        }
    }

    /// Ends the listening to keys. Returns the header and the layout with the clients of all
    /// generations.
    pub fn end(&mut self) -> (Arc<StreamHeader>, Arc<Layout>) {
        self.keys = None;
        (self.header.clone(), self.layout.clone())
    }

    /// Returns a note for the summary, if edits were refused.
    pub fn note(&self) -> Option<String> {
        let edits = counted(self.refused, "edit");
        (self.refused > 0).then(|| {
            format!("{edits} {} refused, and the generation before went on", was(self.refused))
        })
    }

    /// Waits for something to react to. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> ReloadInput {
        let may_load = self.load.is_none() && self.unsettled.len() < MOST_UNSETTLED;
        let may_load = may_load && self.is_measuring();
        let fetching = self.load.as_ref().and_then(|load| load.fetching(self.orders.shards()));
        let times = [
            fetching,
            self.settling.as_ref().map(|settled| settled.settling.next()),
            self.settling.as_ref().and_then(|settled| settled.cut_reported),
        ];
        let look = times.into_iter().flatten().min();
        let key = async {
            match &mut self.keys {
                Some(keys) => keys.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            key = key => ReloadInput::Key(key),
            Some(loaded) = self.loading.1.recv() => ReloadInput::Loaded(loaded),
            Some(report) = self.orders.reports.recv() => ReloadInput::Reported(report),
            change = self.watch.changed(), if may_load => ReloadInput::Changed(change),
            () = tokio::time::sleep_until(look.unwrap_or_else(Instant::now).into()),
                if look.is_some() => ReloadInput::Look,
        }
    }

    /// Sets the mode of the terminal again, after the program was stopped and continued.
    pub fn continued(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.continued();
        }
    }

    pub fn react(&mut self, input: ReloadInput, parts: &mut ReloadedParts<'_>) {
        match input {
            ReloadInput::Key(WatchKey::Quit) => self.coordinator.cut(CutReason::Quit),
            ReloadInput::Key(WatchKey::Reload) => self.watch.reload_now(),
            ReloadInput::Changed(change) => self.changed(change),
            ReloadInput::Loaded(loaded) => self.loaded(loaded, parts),
            ReloadInput::Reported(report) => self.reported(report, parts),
            ReloadInput::Look => self.look(parts.display),
        }
    }

    fn is_measuring(&self) -> bool {
        let orders = self.coordinator.timeline().orders.clone();
        let lasts_ns = self.phases.iter().fold(0_u64, |sum, it| sum.saturating_add(it.duration_ns));
        let ends_ns = orders.origin_ns.saturating_add(lasts_ns);
        let is_over = !self.phases.is_empty() && self.clock.now_ns() >= ends_ns;
        orders.stage == Stage::Measure && !orders.cut && !is_over
    }

    fn zero_ns(&self) -> u64 {
        self.coordinator.timeline().measured_ns().map_or(0, |(zero_ns, _)| zero_ns)
    }

    fn changed(&mut self, change: FileChange) {
        if change.files.is_empty() {
            self.lines.write(&ReloadEvent::Unchanged { current: self.present });
            return;
        }
        if self.next > MOST_GENERATIONS {
            let reason = format!("a run has at most {MOST_GENERATIONS} generations; restart it");
            return self.refuse(reason);
        }
        let number = self.next;
        let since_zero_ns = self.clock.now_ns().saturating_sub(self.zero_ns());
        self.attempts += 1;
        let source = CandidateSource {
            number,
            attempt: self.attempts,
            input: self.input.clone(),
            options: self.options.clone(),
            first: self.first.clone(),
            run: self.header.clone(),
            layout: self.layout.clone(),
            phases: self.phases.clone(),
            gate: self.gate.clone(),
            hooks: self.loader.clone(),
            generators: self.generators,
            planned_ns: since_zero_ns + nanoseconds(LEAD),
        };
        let attempt = self.attempts;
        self.load = Some(Load { number, attempt, change, fetch: None, checked: false });
        let done = self.loading.0.clone();
        let started = source.load_aside(move |loaded| {
            // The run may have ended.
            let _ = done.send(loaded);
        });
        if let Err(error) = started.context("no thread to load it") {
            self.refuse(format!("{error:#}"));
        }
    }

    /// Takes a candidate that was loaded, whose clients then make their first operations, or the
    /// result of its check.
    fn loaded(&mut self, Loaded { attempt, part }: Loaded, parts: &mut ReloadedParts<'_>) {
        let is_present = self.load.as_ref().is_some_and(|load| load.attempt == attempt);
        match part {
            LoadedPart::Opened(candidate, reads) => {
                // A generation that is refused may be mended in any of its files.
                // The content that this load has read is the newest that is known.
                let read: HashSet<&Path> = reads.iter().map(|file| &*file.path).collect();
                let others = self.files.iter().filter(|file| !read.contains(&*file.path));
                let others = others.map(|file| WatchedFile::from(file.path.clone()));
                self.watch.set_files(others.chain(reads.iter().cloned()));
                match *candidate {
                    _ if !is_present => {}
                    Ok(candidate) if self.is_measuring() => self.fetch(candidate, reads),
                    Ok(_) => self.load = None,
                    Err(error) => self.refuse(RunError::invalid(error).to_string()),
                }
            }
            LoadedPart::Checked(Ok(())) => {
                if let Some(load) = self.load.as_mut().filter(|_| is_present) {
                    load.checked = true;
                    self.accept(parts);
                }
            }
            LoadedPart::Checked(Err(error)) => {
                if is_present {
                    self.refuse(RunError::invalid(error).to_string());
                }
            }
        }
    }

    fn fetch(&mut self, mut candidate: Candidate, reads: Vec<WatchedFile>) {
        let number = candidate.facts.number;
        let shards = self.orders.shards();
        let clients = candidate.header.active_count();
        let config = Arc::new(EngineConfig {
            lookahead: lookahead(clients),
            batch_bytes: candidate.batch_bytes.unwrap_or(usize::MAX),
            phases_last: !candidate.bounded,
            ..(*self.engine).clone()
        });
        let client =
            Arc::new(ClientSettings { header: candidate.header.clone(), ..(*self.client).clone() });
        let mut parts_of: Vec<Vec<(u32, bool)>> = vec![Vec::new(); shards];
        for client in candidate.header.active_clients() {
            let workload = candidate.header.workload_of(client);
            let again =
                workload.is_some_and(|(at, _)| candidate.header.workloads[at].setup_on_reload);
            let shard = *self.owners.entry(client).or_insert(client as usize % shards);
            parts_of[shard].push((client, again));
        }
        let Some(sources) = candidate.sources.take() else { return };
        let feeds = sources.serve(shards, self.gate.clone(), Some(candidate.numbers.clone()));
        for (shard, (feed, clients)) in feeds.into_iter().zip(parts_of).enumerate() {
            let generation = Generation { number, config: config.clone(), clients };
            let reload = ShardReload {
                attempt: self.attempts,
                generation,
                feed: Box::new(feed),
                client: client.clone(),
            };
            self.orders.order(shard, ReloadOrder::Prepare(Box::new(reload)));
        }
        candidate.reads = reads;
        if let Some(load) = &mut self.load {
            let give_up = Instant::now() + FETCH_BOUND;
            load.fetch = Some(Fetch { candidate: Box::new(candidate), fetched: 0, give_up });
        }
    }

    fn reported(&mut self, report: ReloadReport, parts: &mut ReloadedParts<'_>) {
        let ReloadReport { generation, reached, .. } = report;
        match reached {
            Reached::Fetched { attempt, result } => {
                let Some(load) = self.load.as_mut().filter(|load| load.attempt == attempt) else {
                    return;
                };
                let Some(fetch) = &mut load.fetch else { return };
                match result {
                    Ok(()) => {
                        fetch.fetched += 1;
                        self.accept(parts);
                    }
                    Err(error) => {
                        self.withdraw(generation);
                        self.refuse(error.to_string());
                    }
                }
            }
            Reached::Cut(clients) => {
                let settling = self.settling.as_mut();
                if let Some(settled) = settling.filter(|it| it.number == generation) {
                    settled.cut += clients;
                }
            }
            Reached::Settled => {
                let Some(settled) = self.unsettled.get_mut(&generation) else { return };
                *settled += 1;
                if *settled == self.orders.shards() {
                    self.unsettled.retain(|number, _| *number > generation);
                    for earlier in FIRST_GENERATION..generation {
                        self.generations.retire(earlier);
                    }
                }
            }
        }
    }

    fn withdraw(&mut self, generation: u32) {
        for shard in 0..self.orders.shards() {
            self.orders.order(shard, ReloadOrder::Withdraw { generation });
        }
    }

    /// Goes on with the generation that was loaded, if its first operations are there and its check
    /// has ended.
    fn accept(&mut self, parts: &mut ReloadedParts<'_>) {
        let shards = self.orders.shards();
        let is_ready = |load: &mut Load| {
            load.checked && load.fetch.as_ref().is_some_and(|fetch| fetch.fetched == shards)
        };
        let Some(Load { number, change, fetch: Some(fetch), .. }) = self.load.take_if(is_ready)
        else {
            return;
        };
        if !self.is_measuring() {
            return self.withdraw(number);
        }
        let candidate = *fetch.candidate;
        let (now_ns, zero_ns) = (self.clock.now_ns(), self.zero_ns());
        self.settle_at_once(parts.display);
        parts.hooks.swap(candidate.hooks);
        parts.thresholds.replace(candidate.thresholds, &candidate.layout, shards);
        if let Some(oplog) = parts.oplog {
            oplog.follow(candidate.layout.clone());
        }
        let started_ns = now_ns.saturating_sub(zero_ns);
        self.generations.add(GenerationFacts { started_ns, ..candidate.facts });
        let planned_ns = zero_ns.saturating_add(candidate.planned_ns);
        let begin_ns = planned_ns.max(now_ns.saturating_add(nanoseconds(ORDERED)));
        let grace_ns = nanoseconds(self.grace);
        let cut_ns = begin_ns.saturating_add(grace_ns);
        let times = GenerationTimes { begin_ns, planned_ns, cut_ns };
        for (shard, sink) in self.sinks.iter().enumerate() {
            // A sink that has ended needs nothing.
            let _ = sink.send(SinkReload {
                layout: candidate.layout.clone(),
                hooks: parts.hooks.tap(),
                watched: parts.thresholds.shard(shard),
            });
            self.orders.order(shard, ReloadOrder::Begin { generation: number, times });
        }
        let clients = moving(&self.header, &candidate.header);
        let now = Instant::now();
        self.settling = Some(Settled {
            number,
            before: self.present,
            clients: candidate.header.iterating_count().into(),
            settling: Settling::begin(now),
            cut: 0,
            cut_reported: now.checked_add(Duration::from_nanos(cut_ns - now_ns) + CUT_REPORTED),
        });
        (self.present, self.next) = (number, number + 1);
        (self.header, self.layout) = (candidate.header, candidate.layout);
        self.files = candidate.reads;
        self.watch.set_files(self.files.iter().cloned());
        self.unsettled.insert(number, 0);
        self.lines.write(&ReloadEvent::Accepted {
            generation: number,
            took: change.noticed.elapsed(),
            changed: change.files,
            clients,
        });
    }

    /// Ends the present load, and with it what shards have prepared: the next load has the same
    /// number.
    fn refuse(&mut self, reason: String) {
        if let Some(Load { number, fetch: Some(_), .. }) = self.load.take() {
            self.withdraw(number);
        }
        self.refused += 1;
        self.lines.write(&ReloadEvent::Refused { current: self.present, reason });
    }

    /// Gives up a candidate whose time is over, and shows how the figures of the present generation
    /// settle.
    fn look(&mut self, display: &mut StageDisplay) {
        let now = Instant::now();
        let fetching = self.load.as_ref().and_then(|load| load.fetching(self.orders.shards()));
        if fetching.is_some_and(|give_up| now >= give_up) {
            let bound = FETCH_BOUND.as_secs();
            self.refuse(format!(
                "its clients did not make their first operations within {bound} s; their setup may make too many"
            ));
        }
        let Some(mut settled) = self.settling.take() else { return };
        if settled.cut_reported.is_some_and(|reported| now >= reported) {
            settled.cut_reported = None;
            self.write_cut(&mut settled);
        }
        let (new, old) = self.compared(&settled);
        if now < settled.settling.next() {
            self.settling = Some(settled);
            return;
        }
        match settled.settling.look(&new, now) {
            SettlingShow::Comparison => {
                display.compare(Some(comparison(&new, &old)));
                self.settling = Some(settled);
            }
            SettlingShow::Settled => {
                display.compare(None);
                self.lines.write(&ReloadEvent::Settled { new, old });
            }
        }
    }

    /// Writes the figures of a generation that have not settled, because the next one or the end of
    /// the run came before.
    pub fn settle_at_once(&mut self, display: &mut StageDisplay) {
        let Some(mut settled) = self.settling.take() else { return };
        self.write_cut(&mut settled);
        let (new, old) = self.compared(&settled);
        display.compare(None);
        self.lines.write(&ReloadEvent::Settled { new, old });
    }

    /// Writes how many clients were cut because they did not move in time, if there are any.
    fn write_cut(&self, settled: &mut Settled) {
        let (generation, grace) = (settled.number, self.grace);
        let cut = std::mem::take(&mut settled.cut);
        if cut > 0 {
            self.lines.write(&ReloadEvent::GraceOver { generation, cut, grace });
        }
    }

    fn compared(&mut self, settled: &Settled) -> (GenerationFigures, GenerationFigures) {
        let now_ns = self.clock.now_ns();
        let mut of = |number| self.generations.figures(number, now_ns).unwrap_or_default();
        let (new, old) = (of(settled.number), of(settled.before));
        // Clients that failed do not come any more.
        let has_settled = !self.unsettled.contains_key(&settled.number);
        let clients = if has_settled { new.clients_there } else { settled.clients };
        (GenerationFigures { clients, ..new }, old)
    }
}

/// Returns the numbers of clients that a reload from one header of the run to the next moves.
fn moving(before: &StreamHeader, after: &StreamHeader) -> MovingClients {
    let of = |header: &StreamHeader| {
        let clients =
            header.active_clients().filter(|client| header.workload_of(*client).is_some());
        clients.collect::<HashSet<u32>>()
    };
    let (before, after) = (of(before), of(after));
    let moving = before.intersection(&after).count() as u32;
    let (added, retired) = (after.len() as u32 - moving, before.len() as u32 - moving);
    MovingClients { moving, added, retired }
}
