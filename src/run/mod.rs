//! The composition root: opens the stream and the target, runs the shards to their end, and makes
//! the summary.

mod attend;
mod checks;
mod compile;
mod error;
mod hooks;
mod input;
mod interrupt;
mod mode;
mod options;
mod probe;
mod processors;
mod serve;
mod shards;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use attend::{Attended, attend};
use checks::Checks;
pub use compile::{Compiled, Output, compile};
pub use error::RunError;
pub use hooks::HookErrors;
pub use input::{Input, Stream};
pub use interrupt::survive_file_size_limit;
pub use options::{RunOptions, Timeouts};
pub use probe::{ProbeOptions, probe};
pub use serve::{ServeOptions, serve};

use hooks::RunHooks;

use crate::backend::registry::{BackendSettings, OpenTargetError, Target};
use crate::backend::{BackendContext, SMBBackend, open_files};
use crate::ir::Phase;
use crate::ir::phases::{self, PhaseScalingError};
use crate::ir::source::WHOLE_PHASE;
use crate::observability::Layout;
use crate::observability::exit::ExitReason;
use crate::observability::live::Live;
use crate::observability::notes;
use crate::observability::progress::ProgressDisplay;
use crate::observability::progress_lines::ProgressLines;
use crate::observability::results::ResultsDirectory;
use crate::observability::standard_error;
use crate::observability::summary::RunSettings;
use crate::observability::thresholds::sample::CustomReader;
use crate::observability::{Measurements, Oplog, Processors, RunFacts, Summary, TargetFacts};
use crate::scheduler::{CutReason, Permits, Precision, RealClock, Stage, StageCoordinator};

/// Length of a run whose stream has neither phases nor an end.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Maximum number of operations queued over all clients, and for one client.
const LOOKAHEAD_TOTAL: usize = 262_144;
const LOOKAHEAD_MOST: usize = 64;
/// Maximum number of threads that make operations, by default.
const MAX_GENERATORS: u32 = 256;
/// Longest wait for the queue of the operation log to be written: at the end of a run, and after a
/// second signal has ended the run.
const OPLOG_BOUND: Duration = Duration::from_secs(30);
const OPLOG_AT_ONCE: Duration = Duration::from_secs(2);
/// Longest wait for a reply. A reply may take 35 s if another client holds an oplock.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);

/// The results of a run.
#[derive(Debug)]
pub struct RunOutcome {
    pub summary: Summary,
    /// The directory of the results; None if the summary could not be written into it.
    pub directory: Option<PathBuf>,
}

/// Runs `input` against the target and writes the results.
///
/// # Errors
/// [`RunError`], with its exit code, if nothing was measured. Nothing is then left behind.
pub fn run(input: &Input, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let started_at = SystemTime::now();
    let checked = input.check(options.time_scale, options.duration);
    checked.map_err(|error| RunError::invalid(error.into()))?;
    let generators = options.generators.unwrap_or_else(default_generators);
    let reading = ProgressLines::of_stage(options.progress, format!("reading {}", input.name()));
    let stream =
        input.open(options.time_scale, options.duration, generators).map_err(RunError::invalid)?;
    drop(reading);
    let generators = stream.sources.count();
    let header = Arc::new(stream.header.clone());
    let ends = header.bounded || options.operations.is_some();
    let phases = phases_of_run(&header.phases, ends, options.duration)
        .map_err(|error| RunError::invalid(error.into()))?;
    let shard_count = shard_count(options, header.active_count());
    let layout = Arc::new(Layout::new(header.clone(), phases.clone(), options.late_bound));
    let mut hooks =
        RunHooks::start(input, &layout, options.hook_errors).map_err(RunError::invalid)?;
    let thresholds = checks::thresholds(&header, &options.thresholds, &hooks.metric_kinds())
        .map_err(|error| RunError::invalid(error.into()))?;

    open_files::raise_open_file_limit(options.target.open_files(header.active_count()))
        .map_err(|error| RunError::invalid(error.into()))?;

    let clock = RealClock::start(options.precision);
    let settings = BackendSettings {
        context: BackendContext {
            clock: clock.clone(),
            response_timeout: RESPONSE_TIMEOUT,
            file_ids: mode::caches(&header.needs, options),
        },
        connections: header.active_count(),
        password: options.password.clone(),
        storage: options.storage.clone(),
        seed: header.seed,
    };
    let backend = options.target.open(settings).map_err(|error| match error {
        OpenTargetError::PasswordMissing { .. } => RunError::invalid(error.into()),
        OpenTargetError::Embedded(_) => RunError::new(ExitReason::Unreachable, error.into()),
    })?;
    let gate = mode::feature_gate(backend.capabilities(), options).map_err(RunError::invalid)?;
    gate.check(&header.needs).map_err(|error| RunError::invalid(error.into()))?;
    // Listens before there is anything that a signal could leave behind.
    let mut signals = interrupt::Signals::listen()
        .context("signals cannot be listened to")
        .map_err(RunError::internal)?;
    let directory =
        ResultsDirectory::create(options.out.as_deref(), &script_name(&header.source), started_at)
            .map_err(|error| RunError::invalid(error.into()))?;

    let oplog = match options.oplog {
        true => Some(Oplog::start(directory.path(), layout.clone())),
        false => None,
    };
    let oplog = oplog.transpose().map_err(|error| RunError::invalid(error.into()))?;

    let live = Arc::new(Live::new(shard_count));
    let mut checks = Checks::new(thresholds, &layout, shard_count);
    let permits = Permits::new(options.limit, shard_count).with_operations(options.operations);
    let permits = Arc::new(permits);
    let plan = shards::Plan {
        options,
        backend: backend.clone(),
        clock: clock.clone(),
        phases: &phases,
        shards: shard_count,
        layout: layout.clone(),
        live: live.clone(),
        checks: &checks,
        hooks: hooks.hooks.as_ref(),
        oplog: oplog.as_ref(),
        gate: gate.clone(),
        permits: permits.clone(),
        lookahead: (LOOKAHEAD_TOTAL / header.active_count().max(1) as usize)
            .clamp(2, LOOKAHEAD_MOST),
    };
    let coordinator = plan.coordinator();
    let mut running = plan.start(&coordinator, stream).map_err(RunError::internal)?;
    let progress = ProgressDisplay::new(options.progress, live);
    let attended = Attended {
        coordinator: &coordinator,
        clock: &clock,
        phases: &phases,
        iterating: header.iterating_count(),
        progress: &progress,
        checks: &mut checks,
        hooks: &mut hooks,
        ended: running.ended(),
    };
    let processors = attend(&mut signals, attended).map_err(RunError::internal)?;
    let (measurements, defects) = running.join(layout);
    progress.finish();
    let finishing = ProgressLines::of_stage(options.progress, "finishing hooks and files");
    let stopped = coordinator.was_stopped();
    let drain = if stopped { Duration::ZERO } else { options.timeouts.drain };
    let heard = hooks.finish(&mut signals, &coordinator, drain);

    if let Some(CutReason::Connect(reason)) = coordinator.reason() {
        return Err(RunError::new(ExitReason::Unreachable, anyhow::anyhow!(reason)));
    }
    let mut facts = facts(FactsFrom {
        options,
        directory: directory.path(),
        started_at,
        backend: &*backend,
        mode: gate.mode(),
        coordinator: &coordinator,
        permits: &permits,
        phases: &phases,
        measurements: &measurements,
        checks: &checks,
        custom: &hooks.metric_reader(),
        processors,
        generators,
        defects,
    });
    (facts.hook_events, facts.metrics) = (heard.events, heard.metrics);
    standard_error::flush();
    facts.notes.extend(standard_error::dropped());
    if let Some(oplog) = oplog {
        let (lines, problem) = oplog.finish(if stopped { OPLOG_AT_ONCE } else { OPLOG_BOUND });
        facts.oplog = Some(lines);
        if let Some((problem, reason)) = problem {
            facts.problems.push(problem);
            facts.exit_reasons.push(reason);
        }
    }
    for (problem, reason) in hooks.judge(heard.outcome) {
        facts.problems.push(problem);
        facts.exit_reasons.extend(reason);
    }
    drop(finishing);
    let mut summary = Summary::new(facts, &measurements);
    if let Err(error) = hooks.end(&mut signals, &mut summary) {
        summary.add_problem(format!("{error:#}"), Some(ExitReason::InternalError));
    }
    // The measurements are shown even if they cannot be written.
    let kept = directory.write_summary(&summary);
    if let Err(error) = &kept {
        summary.add_problem(error.to_string(), Some(ExitReason::ResultsNotKept));
    }
    Ok(RunOutcome { summary, directory: kept.ok().map(|_| directory.path().to_path_buf()) })
}

/// Returns the phases of a run: the stream's, scaled to `--duration`. If the stream has none,
/// returns one phase, or no phase for a run that `ends` by itself or by its number of operations.
fn phases_of_run(
    declared: &[Phase],
    ends: bool,
    duration: Option<Duration>,
) -> Result<Vec<Phase>, PhaseScalingError> {
    let default = || (!ends).then_some(DEFAULT_DURATION);
    match duration {
        Some(duration) if !declared.is_empty() => phases::scaled(declared, nanoseconds(duration)),
        None if !declared.is_empty() => Ok(declared.to_vec()),
        _ => {
            let whole = duration.or_else(default).map(|duration| Phase {
                name: WHOLE_PHASE.into(),
                duration_ns: nanoseconds(duration),
                record: true,
            });
            Ok(whole.into_iter().collect())
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
    u32::try_from(cores.saturating_sub(2)).unwrap_or(u32::MAX).clamp(1, MAX_GENERATORS)
}

fn script_name(source: &str) -> String {
    Path::new(source).file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into())
}

struct FactsFrom<'a> {
    options: &'a RunOptions,
    directory: &'a Path,
    started_at: SystemTime,
    backend: &'a dyn SMBBackend,
    mode: u8,
    coordinator: &'a StageCoordinator,
    permits: &'a Permits,
    phases: &'a [Phase],
    measurements: &'a Measurements,
    checks: &'a Checks,
    custom: CustomReader<'a>,
    processors: Option<Processors>,
    generators: usize,
    defects: Vec<String>,
}

fn facts(from: FactsFrom<'_>) -> RunFacts {
    let capabilities = from.backend.capabilities();
    let server = from.backend.server();
    let reason = from.coordinator.reason();
    let mut exit_reasons = Vec::new();
    let mut problems = Vec::new();
    match &reason {
        Some(CutReason::Source(message)) => {
            exit_reasons.push(ExitReason::Invalid);
            problems.push(message.clone());
        }
        Some(CutReason::Threshold(message)) => {
            exit_reasons.push(ExitReason::ThresholdsFailed);
            problems.push(message.clone());
        }
        Some(CutReason::SetupFailed) => {
            exit_reasons.push(ExitReason::OperationsFailed);
            problems.push("an operation of setup failed, so nothing was measured".into());
        }
        Some(CutReason::Internal(message)) => {
            exit_reasons.push(ExitReason::InternalError);
            problems.push(message.clone());
        }
        Some(CutReason::Interrupted | CutReason::Aborted | CutReason::Connect(_)) | None => {}
    }
    for defect in from.defects {
        exit_reasons.push(ExitReason::InternalError);
        problems.push(defect);
    }
    let given_up = from.measurements.connections.given_up;
    let clients = if given_up == 1 { "1 client was" } else { &format!("{given_up} clients were") };
    let mut notes = Vec::new();
    if given_up > 0 && from.coordinator.was_stopped() {
        notes.push(format!(
            "the run was stopped when {clients} not done: their operations in flight count as cut, and teardown was not finished"
        ));
    } else if given_up > 0 {
        exit_reasons.push(ExitReason::OperationsFailed);
        problems.push(format!(
            "{clients} not done when --drain ({} s) had passed: operations the server had not answered count as cut and are in no percentile, and teardown was not finished",
            from.options.timeouts.drain.as_secs_f64()
        ));
    }
    let phases = phase_durations(from.phases, from.coordinator.measured_ns());
    let bound = from.permits.operations().filter(|bound| bound.is_reached());
    notes.extend(
        bound.map(|bound| notes::at_bound(bound.most(), bound.unsent(), from.phases, &phases)),
    );
    RunFacts {
        id: from.directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        started_at: from.started_at,
        target: TargetFacts {
            url: from.options.target.to_string(),
            backend: capabilities.name.to_string(),
            mode: from.mode,
            dialect: server.dialect,
            signing: server.signing,
            encryption: server.encryption,
            server: server.server,
        },
        settings: settings(from.options),
        instant: capabilities.instant,
        server_in_process: !matches!(from.options.target, Target::Smb(_)),
        processors: from.processors,
        thresholds: from.checks.outcomes(from.measurements, &phases, from.custom),
        phases,
        hook_events: Default::default(),
        oplog: None,
        metrics: Default::default(),
        generators: from.generators,
        setup: Duration::from_nanos(
            from.coordinator.spent_ns(|stage| matches!(stage, Stage::RunSetup | Stage::Setup)),
        ),
        teardown: Duration::from_nanos(
            from.coordinator
                .spent_ns(|stage| matches!(stage, Stage::Teardown | Stage::RunTeardown)),
        ),
        interrupted: reason == Some(CutReason::Interrupted),
        cut_short: from.coordinator.was_cut_short()
            || from.measurements.connections.given_up_measuring > 0
            || from.measurements.lost_all_clients(),
        allow_late: from.options.allow_late,
        exit_reasons,
        problems,
        notes,
    }
}

fn settings(options: &RunOptions) -> RunSettings {
    let statuses = options.retry.iter().flat_map(|policy| &policy.statuses);
    RunSettings {
        time_scale: options.time_scale,
        mode: options.mode,
        limit: options.limit,
        retry: statuses.map(|status| status.to_string()).collect(),
    }
}

/// Returns the actual length of each phase, given when measuring began and ended.
fn phase_durations(phases: &[Phase], measured_ns: Option<(u64, u64)>) -> Vec<Duration> {
    let Some((zero_ns, end_ns)) = measured_ns else { return vec![Duration::ZERO; phases.len()] };
    let mut left_ns = end_ns - zero_ns;
    if phases.is_empty() {
        return vec![Duration::from_nanos(left_ns)];
    }
    phases
        .iter()
        .map(|phase| {
            let spent_ns = left_ns.min(phase.duration_ns);
            left_ns -= spent_ns;
            Duration::from_nanos(spent_ns)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, seconds: u64, record: bool) -> Phase {
        Phase { name: name.into(), duration_ns: seconds * 1_000_000_000, record }
    }

    #[test]
    fn a_duration_scales_the_phases_there_are_and_is_one_where_there_are_none() {
        let declared = [phase("warmup", 6, false), phase("a", 2, true), phase("b", 4, true)];
        let lasting = |seconds| Some(Duration::from_secs(seconds));
        let scaled = phases_of_run(&declared, false, lasting(3)).unwrap();
        assert_eq!(scaled, [phase("warmup", 3, false), phase("a", 1, true), phase("b", 2, true)]);
        assert_eq!(phases_of_run(&declared, true, None).unwrap(), declared);
        for bounded in [false, true] {
            assert_eq!(phases_of_run(&[], bounded, lasting(3)).unwrap(), [phase("run", 3, true)]);
            let unrecorded = [phase("warmup", 6, false)];
            assert!(phases_of_run(&unrecorded, bounded, lasting(3)).is_err());
        }
    }

    #[test]
    fn a_script_without_phases_runs_ten_seconds_and_a_document_to_its_end() {
        assert_eq!(phases_of_run(&[], false, None).unwrap(), [phase("run", 10, true)]);
        assert_eq!(phases_of_run(&[], true, None).unwrap(), []);
    }

    #[test]
    fn a_phase_that_was_cut_short_reports_the_time_it_had() {
        let all = [phase("a", 1, true), phase("b", 2, true)];
        let spent = phase_durations(&all, Some((500, 500 + 1_500_000_000)));
        assert_eq!(spent, [Duration::from_secs(1), Duration::from_millis(500)]);
    }
}
