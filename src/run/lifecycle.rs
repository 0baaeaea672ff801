//! The life of a run: it is opened, started, supervised and concluded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use futures_util::FutureExt;
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::clean::{Cleaning, clean, not_cleaned};
use super::error::RunError;
use super::file_watch::FileWatch;
use super::hooks::RunHooks;
use super::input::Input;
use super::lookahead::lookahead;
use super::made_paths::MadePaths;
use super::made_tracker::MadeTracker;
use super::mode;
use super::namespace_client::NamespaceAccess;
use super::options::{MAX_THREADS, RunOptions};
use super::phases::{self, PhasePosition};
use super::prepare::{find_prerequisites, prepare};
use super::processors::ProcessorWatch;
use super::reloads::{ReloadedParts, Reloads, ReloadsStart};
use super::shards::{ShardSink, Shards};
use super::signals::Signals;
use super::stage_display::StageDisplay;
use super::threshold_checks::{self, ThresholdChecks};
use crate::backend::registry::BackendSettings;
use crate::backend::{BackendContext, Clock, Feature, SMBBackend, open_files};
use crate::ir::event::FIRST_GENERATION;
use crate::ir::prerequisites::Prerequisites;
use crate::ir::units::nanoseconds;
use crate::ir::workloads::MAX_CLIENTS;
use crate::ir::{Phase, StreamHeader};
use crate::observability::Layout;
use crate::observability::exit::ExitReason;
use crate::observability::live::Live;
use crate::observability::notes;
use crate::observability::progress_lines::ProgressLines;
use crate::observability::results::ResultsDirectory;
use crate::observability::standard_error;
use crate::observability::summary::{PreparedSummary, RunSettings};
use crate::observability::text::{counted, was};
use crate::observability::{
    GenerationFacts, Generations, Measurements, Oplog, Recorder, RunFacts, Summary, TargetFacts,
};
use crate::scheduler::client::ClientSettings;
use crate::scheduler::engine::EngineConfig;
use crate::scheduler::feature_gate::FeatureGate;
use crate::scheduler::feed::SourceThreads;
use crate::scheduler::reload::ShardLines;
use crate::scheduler::{
    CutReason, Feeds, Permits, PhaseSpan, Precision, RealClock, Shard, Stage, StageCoordinator,
    Timeline,
};

/// Longest wait for the queue of the operation log to be written: at the end of a run, and after a
/// second signal has ended the run.
const OPLOG_BOUND: Duration = Duration::from_secs(30);
const OPLOG_AT_ONCE: Duration = Duration::from_secs(2);
/// Longest wait for a reply. A reply may take 35 s if another client holds an oplock.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);
/// Time from the arrival of the last shard to time zero, if there are several shards.
const LEAD_NS: u64 = 2_000_000;

/// The results of a run.
#[derive(Debug)]
pub struct RunOutcome {
    pub summary: Summary,
    /// The directory of the results; None if the summary could not be written into it.
    pub directory: Option<PathBuf>,
    /// Whether the run was stopped at once, by a second signal or at
    /// [`RunOptions::stop_at`].
    pub stopped: bool,
}

/// Runs `input` against the target and writes the results.
///
/// # Errors
/// [`RunError`], with its exit code, if nothing was measured. If nothing was measured, nothing is
/// left behind, unless `--prepare` ran without `--clean`.
///
/// # Examples
///
/// Runs a script against the simulator, which needs no server:
///
/// ```
/// use smbench::backend::registry::Target;
/// use smbench::run::{Input, RunOptions, run};
/// use smbench::script::ScriptOptions;
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("mkdir.lua");
/// std::fs::write(
///     &path,
///     "bench.workload {
///         name = 'w',
///         clients = 2,
///         iteration = function(c) c:mkdir('d' .. c.id .. '-' .. c.iteration) end,
///     }",
/// )?;
/// let location = path.into();
/// let input =
///     Input::Script(ScriptOptions { location, iterations: Some(3), ..Default::default() });
/// let options = RunOptions {
///     out: Some(directory.path().join("results")),
///     ..RunOptions::new(Target::parse("sim")?)
/// };
/// let outcome = run(&input, &options)?;
/// assert_eq!(outcome.summary.totals.operations, 6);
/// assert_eq!(outcome.summary.totals.counts.failed, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(input: &Input, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let (mut run, sources) = Run::open(input, options)?;
    run.prepare()?;
    let measurements = run.start(sources).and_then(|shards| run.supervise(shards));
    if let Err(error) = &measurements {
        // Ends the shards that did start: cleaning waits until each of them has dropped its tap.
        run.coordinator.abort(CutReason::Internal(format!("{error:#}")));
    }
    let cleaned = run.clean();
    match measurements {
        Ok(measurements) => run.conclude(&measurements, cleaned),
        Err(error) => {
            warn_of_leftovers(cleaned.as_ref());
            Err(RunError::internal(error))
        }
    }
}

/// A run. Its fields are dropped in their order: the operation log removes its empty file before
/// the directory that holds the file is removed, and until then signals are listened to.
struct Run<'a> {
    options: &'a RunOptions,
    started_at: SystemTime,
    oplog: Option<Oplog>,
    directory: ResultsDirectory,
    signals: (Runtime, Signals),
    coordinator: Arc<StageCoordinator>,
    permits: Arc<Permits>,
    thresholds: ThresholdChecks,
    live: Arc<Live>,
    /// The limit on the features that the stream may request of the backend.
    gate: FeatureGate,
    backend: Arc<dyn SMBBackend>,
    clock: Arc<RealClock>,
    hooks: RunHooks,
    /// The files and directories that the stream needs and does not make. None once they were
    /// prepared.
    prerequisites: Option<Prerequisites>,
    prepared: Option<PreparedSummary>,
    /// With `--clean`, the thread that follows what the run has made and not removed.
    made: Option<MadeTracker>,
    processors: ProcessorWatch,
    layout: Arc<Layout>,
    header: Arc<StreamHeader>,
    phases: Vec<Phase>,
    shards: usize,
    /// The number of threads that make operations.
    generators: usize,
    /// Messages about shards that panicked.
    defects: Vec<String>,
    /// The watch on the files of the input, in a run that is watched; then its reloads.
    watch: Option<FileWatch>,
    reloads: Option<Reloads>,
    input: Input,
}

impl Run<'_> {
    /// Opens the input and the target, and makes the directory of the results.
    fn open<'a>(
        input: &Input,
        options: &'a RunOptions,
    ) -> Result<(Run<'a>, SourceThreads), RunError> {
        let started_at = SystemTime::now();
        input.check(options.time_scale, options.duration).map_err(RunError::invalid)?;
        let generators = options.generators.unwrap_or_else(default_generators);
        // Begins before the input is opened, so that no change of what was read for its check is
        // missed.
        let watched = || input.path().into_iter().chain(input.reads().paths());
        let watch = options.watch.map(|_| FileWatch::start(watched()));
        let watch = watch.transpose().context("the files cannot be watched");
        let watch = watch.map_err(RunError::internal)?;
        let reading =
            ProgressLines::of_stage(options.progress, format!("reading {}", input.name()));
        let stream = input
            .open(options.time_scale, options.duration, generators)
            .map_err(RunError::invalid)?;
        drop(reading);
        if let Some(watch) = &watch {
            // --prepare and connecting may take long, and files are edited meanwhile too.
            watch.set_files(input.reads().files());
        }
        let header = Arc::new(stream.header);
        if options.prepare && !header.bounded {
            return Err(RunError::invalid(anyhow::anyhow!(
                "--prepare reads the whole stream before the run, and this script never ends: bound it with --iterations N (per client); --operations and --duration bound the run, not the stream"
            )));
        }
        let prerequisites =
            options.prepare.then(|| find_prerequisites(input, options)).transpose()?;
        let ends = phases::ends_without_phases(header.bounded, options);
        let phases =
            phases::planned(&header.phases, ends, options.duration).map_err(RunError::invalid)?;
        let shards = shard_count(options, header.active_count());
        let layout = Arc::new(Layout::new(header.clone(), phases.clone(), options.late_bound));
        let hooks =
            RunHooks::start(input, &layout, options.hook_errors).map_err(RunError::invalid)?;
        let thresholds = threshold_checks::all(&header, &options.thresholds, &hooks.metric_kinds())
            .map_err(RunError::invalid)?;

        open_files::raise_open_file_limit(options.target.open_files(header.active_count()))
            .map_err(RunError::invalid)?;

        let clock = RealClock::start(options.precision);
        let backend = options.target.open(BackendSettings {
            context: BackendContext {
                clock: clock.clone(),
                response_timeout: RESPONSE_TIMEOUT,
                file_ids: mode::caches(&header.needs, options),
            },
            // A reload may add clients.
            connections: options.watch.map_or(header.active_count(), |_| MAX_CLIENTS),
            password: options.password.clone(),
            storage: options.storage.clone(),
            seed: header.seed,
        })?;
        let gate =
            mode::feature_gate(backend.capabilities(), options).map_err(RunError::invalid)?;
        gate.check(&header.needs).map_err(RunError::invalid)?;
        // Listens before there is anything that a signal could leave behind.
        let signals = match &options.interrupts {
            Some(interrupts) => Signals::of_count(interrupts.clone())?,
            None => Signals::listen()?,
        };
        let script = Path::new(&header.source).file_stem();
        let script = script.map_or_else(|| "run".into(), |stem| stem.to_string_lossy());
        let directory = ResultsDirectory::create(options.out.as_deref(), &script, started_at)
            .map_err(RunError::invalid)?;
        let oplog = options.oplog.then(|| Oplog::start(directory.path(), layout.clone()));
        let oplog = oplog.transpose().map_err(RunError::invalid)?;

        let permits = Permits::new(options.limit, shards).with_operations(options.operations);
        let lead_ns = if shards > 1 { LEAD_NS } else { 0 };
        let drain_ns = nanoseconds(options.timeouts.drain);
        let timeline = Timeline::new(shards, &PhaseSpan::chain(&phases), drain_ns, lead_ns);
        let run = Run {
            options,
            started_at,
            oplog,
            directory,
            signals,
            coordinator: Arc::new(StageCoordinator::new(timeline, clock.clone())),
            permits: Arc::new(permits),
            thresholds: ThresholdChecks::new(thresholds, &layout, shards),
            live: Arc::new(Live::new(shards)),
            gate,
            backend,
            clock,
            hooks,
            prerequisites,
            prepared: None,
            made: None,
            processors: ProcessorWatch::default(),
            layout,
            header,
            phases,
            shards,
            generators: stream.sources.count(),
            defects: Vec::new(),
            watch,
            reloads: None,
            input: input.clone(),
        };
        Ok((run, stream.sources))
    }

    /// Makes what the stream needs, with `--prepare`, and starts to follow what the run makes, with
    /// `--clean`.
    fn prepare(&mut self) -> Result<(), RunError> {
        let mut made = MadePaths::default();
        if let Some(needed) = self.prerequisites.take() {
            let (access, progress) = (self.access(), self.options.progress);
            let (runtime, signals) = &mut self.signals;
            let preparation = runtime.block_on(prepare(&access, &needed, progress, signals.next()));
            made = preparation.made;
            match preparation.result {
                Ok(prepared) => self.prepared = Some(prepared),
                Err(error) => {
                    if self.options.clean {
                        let cleaned = self.remove(&made);
                        warn_of_leftovers(Some(&cleaned));
                    }
                    return Err(error);
                }
            }
        }
        if self.options.clean {
            let tracker = MadeTracker::start(made, self.clock.clone())
                .context("the thread of --clean did not start");
            self.made = Some(tracker.map_err(RunError::internal)?);
        }
        Ok(())
    }

    /// Removes what the run made, with `--clean`. The shards have ended.
    fn clean(&mut self) -> Option<Cleaning> {
        let Some(made) = self.made.take()?.finish() else {
            self.defects.push("the thread of --clean panicked, so nothing was removed".into());
            return None;
        };
        if self.coordinator.timeline().was_stopped() {
            return Some(not_cleaned(&made, "the run was stopped at once"));
        }
        Some(self.remove(&made))
    }

    fn remove(&mut self, made: &MadePaths) -> Cleaning {
        let (access, progress) = (self.access(), self.options.progress);
        let (runtime, signals) = &mut self.signals;
        runtime.block_on(clean(&access, made, progress, signals.next()))
    }

    fn access(&self) -> NamespaceAccess {
        NamespaceAccess {
            backend: self.backend.clone(),
            clock: self.clock.clone(),
            header: self.header.clone(),
            connect_timeout_ns: nanoseconds(self.options.timeouts.connect),
            op_timeout_ns: nanoseconds(self.options.timeouts.operation),
        }
    }

    /// Starts the shards, each on a thread of its own.
    fn start(&mut self, sources: SourceThreads) -> anyhow::Result<Shards> {
        let header = &self.header;
        let timeouts = self.options.timeouts;
        let engine = Arc::new(EngineConfig {
            phases: PhaseSpan::chain(&self.phases),
            run_client: header.run_client.then(|| header.run_client_number()),
            lookahead: lookahead(header.active_count()),
            batch_bytes: header.batch_bytes.unwrap_or(usize::MAX),
            op_timeout_ns: nanoseconds(timeouts.operation),
            retry: self.options.retry.clone(),
            phases_last: !header.bounded,
        });
        // Breaks happen only in mode 2. The client tracks cached files whenever the backend has
        // that mode, because the first operation that needs it may come late in the stream.
        let caching = self.gate.capabilities.has(Feature::Caching);
        let client = Arc::new(ClientSettings {
            backend: self.backend.clone(),
            capabilities: self.gate.capabilities.clone(),
            clock: self.clock.clone(),
            connecting: Arc::new(Semaphore::new(self.options.connect_concurrency.max(1) as usize)),
            seed: header.seed,
            files: caching.then(Arc::default),
            header: header.clone(),
            kept_paths: Arc::default(),
            connect_timeout_ns: nanoseconds(timeouts.connect),
            reconnect_timeout_ns: nanoseconds(timeouts.reconnect),
            op_timeout_ns: nanoseconds(timeouts.operation),
        });
        let mut shards = Shards::new();
        let feeds = sources.serve(self.shards, self.gate.clone(), None);
        let first = GenerationFacts::new(FIRST_GENERATION, header);
        let generations = Generations::new(self.shards, self.layout.clone(), first);
        let watched = self.watch.is_some();
        let (orders, lines) = ShardLines::new(self.shards);
        let mut sinks = Vec::with_capacity(self.shards);
        let mut owners = HashMap::new();
        for (index, (feed, line)) in feeds.into_iter().zip(lines).enumerate() {
            let mut recorder = Recorder::new(self.layout.clone(), self.live.shard(index));
            if let Some(shard) = generations.shard(index).filter(|_| watched) {
                recorder = recorder.with_generations(shard);
            }
            let (sender, reloads) = std::sync::mpsc::channel();
            sinks.push(sender);
            let sink = ShardSink {
                recorder,
                hooks: self.hooks.tap(),
                oplog: self.oplog.as_ref().and_then(Oplog::tap),
                made: self.made.as_ref().map(MadeTracker::tap),
                live: self.live.clone(),
                workload_clients: header.workload_clients(),
                watched: self.thresholds.shard(index),
                reloads: watched.then_some(reloads),
            };
            let clients: Vec<u32> =
                header.active_clients().skip(index).step_by(self.shards).collect();
            if watched {
                owners.extend(clients.iter().map(|client| (*client, index)));
            }
            let (engine, client) = (engine.clone(), client.clone());
            let (permits, coordinator) = (self.permits.clone(), self.coordinator.clone());
            let clock = self.clock.clone();
            shards.spawn(sink, move || Shard {
                index,
                clients,
                engine,
                permits,
                coordinator,
                client,
                clock,
                feed: Feeds::new(feed),
                reloads: watched.then_some(line),
            })?;
        }
        if let (Some(watch), Some(watched)) = (self.watch.take(), self.options.watch) {
            let _runtime = self.signals.0.enter();
            self.reloads = Some(Reloads::start(ReloadsStart {
                input: self.input.clone(),
                options: self.options.clone(),
                watched,
                header: header.clone(),
                layout: self.layout.clone(),
                phases: self.phases.clone(),
                gate: self.gate.clone(),
                generators: self.generators as u32,
                loader: self.hooks.loader(),
                engine,
                client,
                clock: self.clock.clone(),
                coordinator: self.coordinator.clone(),
                watch,
                orders,
                sinks,
                owners,
                generations,
            }));
        }
        Ok(shards)
    }

    /// Follows the run until every shard has ended, and returns the measurements.
    fn supervise(&mut self, mut shards: Shards) -> anyhow::Result<Measurements> {
        let clients = self.header.iterating_count();
        let mut display = StageDisplay::start(self.options.progress, self.live.clone(), clients);
        self.follow(&mut shards, &mut display)?;
        if let Some(reloads) = &mut self.reloads {
            reloads.settle_at_once(&mut display);
            // Everything is named by the header that has all clients.
            (self.header, self.layout) = reloads.end();
        }
        let (measurements, defects) = shards.join(self.layout.clone());
        self.defects = defects;
        Ok(measurements)
    }

    /// Waits until every shard has ended. Meanwhile calls hooks for phases, shows progress, checks
    /// thresholds and watches the processors. The first signal cuts the run and lets it drain; a
    /// second signal ends it at once. A threshold or a hook may cut the run too.
    fn follow(&mut self, shards: &mut Shards, display: &mut StageDisplay) -> anyhow::Result<()> {
        let Run {
            coordinator, clock, phases, thresholds, hooks, processors, oplog, reloads, ..
        } = self;
        let (runtime, signals) = &mut self.signals;
        runtime.block_on(async {
            let mut orders = coordinator.subscribe();
            let custom = hooks.metric_reader();
            let spans = PhaseSpan::chain(phases);
            let (mut interrupted, mut ended) = (false, false);
            let sigcont = SignalKind::from_raw(Signal::CONT.as_raw());
            let mut stop_ns = self.options.stop_at.map(|stop_at| {
                let left = stop_at.saturating_duration_since(Instant::now());
                clock.now_ns().saturating_add(nanoseconds(left))
            });
            let mut continued = signal(sigcont).context("SIGCONT cannot be listened to")?;
            loop {
                let now_ns = clock.now_ns();
                let timeline = orders.borrow().clone();
                let position = PhasePosition::now(&timeline, &spans, now_ns);
                hooks.reached(position, phases);
                let measuring = !ended && position.is_some_and(|position| !position.is_over);
                processors.note(measuring, now_ns);
                display.entered(&timeline);
                if ended {
                    return Ok(());
                }
                let next_phase_ns = display.measured(&timeline.orders, (&spans, phases), now_ns);
                let next_phase = clock.sleep_until(next_phase_ns.unwrap_or(u64::MAX));
                let zero_ns = measuring.then_some(timeline.orders.origin_ns);
                if let (Some(reloads), Some(zero_ns)) = (reloads.as_mut(), zero_ns) {
                    reloads.generations.begin(zero_ns);
                }
                let reload = async {
                    match reloads.as_mut() {
                        Some(reloads) => reloads.next().await,
                        None => std::future::pending().await,
                    }
                };
                let mut reloading = None;
                let mut was_continued = false;
                tokio::select! {
                    input = reload => reloading = Some(input),
                    _ = continued.recv() => was_continued = true,
                    () = shards.ended() => {
                        ended = true;
                        was_continued = continued.recv().now_or_never().is_some();
                    }
                    changed = orders.changed() => changed?,
                    () = next_phase, if next_phase_ns.is_some() => {}
                    () = thresholds.follow(zero_ns, coordinator, &**clock, phases, &custom) => {}
                    () = clock.sleep_until(stop_ns.unwrap_or(u64::MAX)), if stop_ns.is_some() => {
                        stop_ns = None;
                        coordinator.stop();
                    }
                    () = hooks.ends_the_run() => coordinator.cut(CutReason::Aborted),
                    () = signals.next() => {
                        if std::mem::replace(&mut interrupted, true) {
                            coordinator.stop();
                        } else {
                            // The code around the run says what an interrupt does.
                            if self.options.interrupts.is_none() {
                                tracing::warn!("interrupted: draining and tearing down; a second signal stops the run at once");
                            }
                            coordinator.cut(CutReason::Interrupted);
                        }
                    }
                }
                if was_continued {
                    processors.note_continued();
                    reloads.iter_mut().for_each(Reloads::continued);
                }
                if let (Some(reloads), Some(input)) = (reloads.as_mut(), reloading) {
                    let oplog = oplog.as_ref();
                    let parts = &mut ReloadedParts { hooks, thresholds, oplog, display };
                    reloads.react(input, parts);
                }
            }
        })
    }

    /// Finishes hooks and files, and returns the results.
    fn conclude(
        mut self,
        measurements: &Measurements,
        cleaned: Option<Cleaning>,
    ) -> Result<RunOutcome, RunError> {
        let finishing = ProgressLines::of_stage(self.options.progress, "finishing hooks and files");
        let stopped = self.coordinator.timeline().was_stopped();
        let drain = if stopped { Duration::ZERO } else { self.options.timeouts.drain };
        let hooks = self.hooks.finish(&mut self.signals, &self.coordinator, drain);

        let reason = self.coordinator.timeline().reason().cloned();
        if let Some(CutReason::Connect(reason)) = reason {
            warn_of_leftovers(cleaned.as_ref());
            return Err(RunError::new(ExitReason::Unreachable, anyhow::anyhow!(reason)));
        }
        let mut facts = self.facts(measurements);
        (facts.hook_events, facts.metrics) = (hooks.events, hooks.metrics);
        if let Some(reloads) = &mut self.reloads {
            let measured = self.coordinator.timeline().measured_ns();
            facts.generations = reloads.generations.summaries(measured.map_or(0, |(_, end)| end));
            facts.notes.extend(reloads.note());
        }
        let mut by_generation = hooks.by_generation;
        for generation in &mut facts.generations {
            generation.metrics = by_generation.remove(&generation.number).unwrap_or_default();
        }
        // What was left behind does not change the exit code, as failures in teardown do not.
        if let Some(Cleaning { summary, interrupted }) = cleaned {
            facts.cleaned = Some(summary);
            facts.exit_reasons.extend(interrupted.then_some(ExitReason::Interrupted));
        }
        standard_error::flush();
        facts.notes.extend(standard_error::dropped());
        if let Some(oplog) = self.oplog.take() {
            let (lines, problem) = oplog.finish(if stopped { OPLOG_AT_ONCE } else { OPLOG_BOUND });
            facts.oplog = Some(lines);
            if let Some((problem, reason)) = problem {
                facts.problems.push(problem);
                facts.exit_reasons.push(reason);
            }
        }
        for (problem, reason) in self.hooks.judge(hooks.outcome) {
            facts.problems.push(problem);
            facts.exit_reasons.extend(reason);
        }
        drop(finishing);
        let mut summary = Summary::new(facts, measurements);
        if let Err(error) = self.hooks.end(&mut self.signals, &mut summary) {
            summary.add_problem(format!("{error:#}"), Some(ExitReason::InternalError));
        }
        // The measurements are shown even if they cannot be written.
        let written = self.directory.write_summary(&summary);
        if let Err(error) = &written {
            summary.add_problem(error.to_string(), Some(ExitReason::ResultsNotKept));
        }
        let directory = written.ok().map(|_| self.directory.path().to_path_buf());
        Ok(RunOutcome { summary, directory, stopped })
    }

    /// Returns the facts about the run that the measurements do not show.
    fn facts(&self, measurements: &Measurements) -> RunFacts {
        // A copy, so that no writer waits while the facts are collected.
        let (options, timeline) = (self.options, self.coordinator.timeline().clone());
        let mut notes = Vec::new();
        let mut problems: Vec<(ExitReason, String)> = Vec::new();
        let reason = timeline.reason();
        problems.extend(match reason {
            Some(CutReason::Source(message)) => Some((ExitReason::Invalid, message.clone())),
            Some(CutReason::Threshold(message)) => {
                Some((ExitReason::ThresholdsFailed, message.clone()))
            }
            Some(CutReason::SetupFailed) => {
                let message = "an operation of setup failed, so nothing was measured".into();
                Some((ExitReason::OperationsFailed, message))
            }
            Some(CutReason::Internal(message)) => {
                Some((ExitReason::InternalError, message.clone()))
            }
            Some(
                CutReason::Interrupted
                | CutReason::Quit
                | CutReason::Aborted
                | CutReason::Connect(_),
            )
            | None => None,
        });
        let defects = self.defects.iter().cloned();
        problems.extend(defects.map(|defect| (ExitReason::InternalError, defect)));
        let given_up = measurements.connections.given_up;
        let clients = format!("{} {}", counted(given_up, "client"), was(given_up));
        if given_up > 0 && timeline.was_stopped() {
            notes.push(format!(
                "the run was stopped when {clients} not done: their operations in flight count as cut, and teardown was not finished"
            ));
        } else if given_up > 0 {
            let message = format!(
                "{clients} not done when --drain ({} s) had passed: operations the server had not answered count as cut and are in no percentile, and teardown was not finished",
                options.timeouts.drain.as_secs_f64()
            );
            problems.push((ExitReason::OperationsFailed, message));
        }
        let phases = phases::durations(&self.phases, timeline.measured_ns());
        let bound = self.permits.operations().filter(|bound| bound.is_reached());
        notes.extend(
            bound.map(|bound| notes::at_bound(bound.most(), bound.unsent(), &self.phases, &phases)),
        );
        let custom = self.hooks.metric_reader();
        let spent = |stages: [Stage; 2]| {
            Duration::from_nanos(timeline.spent_ns(|stage| stages.contains(&stage)))
        };
        let id = self.directory.path().file_name().unwrap_or_default().to_string_lossy();
        let (exit_reasons, problems) = problems.into_iter().unzip();
        RunFacts {
            id: id.into_owned(),
            started_at: self.started_at,
            target: self.target(),
            settings: settings(options),
            instant: self.backend.capabilities().instant,
            server_in_process: options.target.is_in_process(),
            processors: self.processors.seen(),
            thresholds: self.thresholds.outcomes(measurements, &phases, &custom),
            phases,
            hook_events: Default::default(),
            oplog: None,
            prepared: self.prepared,
            cleaned: None,
            metrics: Default::default(),
            generations: Vec::new(),
            generators: self.generators,
            setup: spent([Stage::RunSetup, Stage::Setup]),
            teardown: spent([Stage::Teardown, Stage::RunTeardown]),
            interrupted: reason == Some(&CutReason::Interrupted),
            cut_short: timeline.was_cut_short()
                || measurements.connections.given_up_measuring > 0
                || measurements.lost_all_clients(),
            allow_late: options.allow_late,
            exit_reasons,
            problems,
            notes,
        }
    }

    fn target(&self) -> TargetFacts {
        let server = self.backend.server();
        TargetFacts {
            url: self.options.target.to_string(),
            backend: self.backend.capabilities().name.to_string(),
            mode: self.gate.mode(),
            dialect: server.dialect,
            signing: server.signing,
            encryption: server.encryption,
            server: server.server,
        }
    }
}

/// Reports what was left behind where there is no summary that could say it.
fn warn_of_leftovers(cleaned: Option<&Cleaning>) {
    if let Some(warning) = cleaned.and_then(|cleaned| cleaned.summary.warning()) {
        tracing::warn!("{warning}");
    }
}

fn settings(options: &RunOptions) -> RunSettings {
    let statuses = options.retry.iter().flat_map(|policy| &policy.statuses);
    RunSettings {
        profile: options
            .settings
            .as_ref()
            .and_then(|settings| Some(settings.profile.as_ref()?.value.clone())),
        time_scale: options.time_scale,
        mode: options.mode,
        limit: options.limit,
        retry: statuses.map(ToString::to_string).collect(),
    }
}

/// Returns the number of shards: by default one for each core, because a shard uses at most one
/// core. With `--precise`, when shards stay awake, one for two cores: the threads that make
/// operations and the server need cores as well.
fn shard_count(options: &RunOptions, clients: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = options.shards.unwrap_or(match options.precision {
        Precision::Sleep => cores,
        Precision::Yield => cores.div_ceil(2),
    });
    shards.clamp(1, clients.max(1) as usize)
}

/// Returns the number of threads that make operations. Two cores are left for the shards and the
/// server.
fn default_generators() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let generators = cores.saturating_sub(2).clamp(1, MAX_THREADS.into());
    generators as u32
}
