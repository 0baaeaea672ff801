//! The conversion of measurements into the summary.

use std::time::Duration;

use super::breaks::{BreakStats, BreakSummary};
use super::distribution::micros;
use super::exit::{ExitReason, exit_code};
use super::layout::Layout;
use super::merge::Merge;
use super::metrics::{
    FIRST_CLIENTS, IterationCounts, IterationStats, Measurements, OperationStats, PhaseStats,
    WorkloadStats,
};
use super::notes;
use super::steps::steps;
use super::summary::{
    DelaySummary, FailedClient, FailedClients, Iterations, OperationSummary, OperationTotals,
    Operations, PhaseSummary, Run, RunFacts, SCHEMA, SectionSummary, SilentClients, Summary,
    UnissuedSummary, WorkloadSummary,
};
use super::thresholds::{self, ThresholdOutcome};
use super::trust::{self, Evidence, TrustVerdict};
use crate::ir::OperationType;
use crate::ir::event::Unissued;

impl Summary {
    pub fn new(facts: RunFacts, measurements: &Measurements) -> Summary {
        let layout = &*measurements.layout;
        let connections = &measurements.connections;
        let all_workloads = 0..layout.workloads();
        let recorded: Vec<usize> = measurements.recorded().collect();
        let phase_duration = |slot: usize| facts.phases.get(slot).copied().unwrap_or_default();
        let duration = recorded.iter().map(|slot| phase_duration(*slot)).sum();

        let merged = merged_workloads(measurements, recorded.iter().copied(), all_workloads);
        let overall = measurements.recorded_phases();
        // The time from the end of the recorded phases to the cut.
        let last = recorded.iter().rfind(|slot| !phase_duration(**slot).is_zero());
        let after: Option<Duration> = last.map(|last| facts.phases[last + 1..].iter().sum());
        let late = Duration::from_nanos(measurements.unissued.late_ns);
        let due_in_recorded = after.is_some_and(|after| late > after);
        let trust = trust::judge(&Evidence {
            recorded: &overall,
            recorded_for: duration,
            unissued: if due_in_recorded { measurements.unissued } else { Unissued::default() },
            late_bound_ns: layout.late_bound_ns(),
            instant: facts.instant,
            cut_short: facts.cut_short,
            limit: facts.settings.limit,
            server_in_process: facts.server_in_process,
            processors: facts.processors,
            generators: facts.generators,
            script: layout.header.script_hash.is_some(),
            hook_events: facts.hook_events,
        });
        let exit_reasons = exit_reasons(&facts, measurements, trust.verdict);

        let mut totals = totals(&merged, duration);
        totals.reconnects = Some(connections.reconnects.iter().sum());
        let iterations = iterations(merged.iterations.as_deref());
        let unissued = unissued(measurements.unissued);
        let mut notes = facts.notes.clone();
        let workloads: Vec<WorkloadSummary> = (0..layout.header.workloads.len())
            .map(|index| workload(measurements, &recorded, index, duration))
            .collect();
        notes.extend(workloads.iter().filter_map(notes::dropped));
        notes.extend(unissued.as_ref().and_then(notes::waiting));
        let breaks = breaks(measurements, &merged, &recorded);
        notes.extend(breaks.iter().flat_map(notes::unanswered));

        let summary = Summary {
            schema: SCHEMA,
            run: run(&facts, layout),
            exit_code: exit_code(&exit_reasons),
            exit_reasons,
            thresholds: facts.thresholds.iter().map(ThresholdOutcome::summary).collect(),
            totals,
            operations: operations(&merged),
            iterations,
            steps: steps(merged.steps.as_deref()),
            failures: overall.failures.by_count(),
            delays: delays(&overall),
            skipped: Some(overall.skipped).filter(|skipped| skipped.count > 0),
            disconnected: overall.disconnected.summary(),
            reopened: Some(overall.reopened)
                .filter(|reopened| reopened.handles + reopened.failed > 0),
            breaks,
            unissued,
            oplog: facts.oplog,
            trust,
            setup: section(measurements, layout.setup(), facts.setup),
            phases: (0..layout.phases().len())
                .map(|slot| phase(measurements, slot, phase_duration(slot)))
                .collect(),
            teardown: section(measurements, layout.setup() + 1, facts.teardown),
            workloads,
            generations: facts.generations,
            failed_clients: failed_clients(measurements),
            silent_clients: silent_clients(measurements),
            cleanup: connections.cleanup,
            prepared: facts.prepared,
            cleaned: facts.cleaned,
            metrics: facts.metrics,
            target: facts.target,
            problems: facts.problems,
            notes,
        };
        // So that every summary of a unit test is checked.
        #[cfg(test)]
        super::schema::check(&summary);
        summary
    }
}

/// Returns the reasons that the run gave and those that follow from its measurements, each once.
/// Failures in setup and in every phase count. Outside of setup, a passing threshold on `errors`
/// excuses the failures it counts. Failures in teardown are only reported. A client that gave up is
/// not a failed operation, and no threshold excuses it.
fn exit_reasons(
    facts: &RunFacts,
    measurements: &Measurements,
    verdict: TrustVerdict,
) -> Vec<ExitReason> {
    let setup = measurements.phase(measurements.layout.setup());
    let mut reasons = facts.exit_reasons.clone();
    if facts.interrupted {
        reasons.push(ExitReason::Interrupted);
    }
    if facts.thresholds.iter().any(|outcome| !outcome.pass) {
        reasons.push(ExitReason::ThresholdsFailed);
    }
    if !setup.failures.is_empty()
        || thresholds::has_other_failures(&facts.thresholds, measurements)
        || measurements.connections.failed_clients > 0
    {
        reasons.push(ExitReason::OperationsFailed);
    }
    if measurements.lost_all_clients() {
        reasons.push(ExitReason::Unreachable);
    }
    if verdict == TrustVerdict::GeneratorLimited && !facts.allow_late {
        reasons.push(ExitReason::GeneratorLimited);
    }
    if verdict == TrustVerdict::NothingRecorded {
        reasons.push(ExitReason::NothingRecorded);
    }
    reasons.sort();
    reasons.dedup();
    reasons
}

fn run(facts: &RunFacts, layout: &Layout) -> Run {
    let header = &*layout.header;
    Run {
        id: facts.id.clone(),
        started_at: humantime::format_rfc3339_seconds(facts.started_at).to_string(),
        seed: header.seed,
        script: header.source.clone(),
        params: header.params.clone(),
        ir_hash: header.ir_hash.clone(),
        script_hash: header.script_hash.clone(),
        modules: header.modules.clone(),
        packages: header.packages.clone(),
        settings: facts.settings.clone(),
        version: env!("CARGO_PKG_VERSION"),
        interrupted: facts.interrupted,
    }
}

fn merged_workloads(
    measurements: &Measurements,
    slots: impl IntoIterator<Item = usize>,
    workloads: std::ops::Range<usize>,
) -> WorkloadStats {
    let mut merged = WorkloadStats::default();
    for slot in slots {
        for workload in workloads.clone() {
            merged.merge(measurements.workload(slot, workload));
        }
    }
    merged
}

fn phase(measurements: &Measurements, slot: usize, duration: Duration) -> PhaseSummary {
    let layout = &measurements.layout;
    let merged = merged_workloads(measurements, [slot], 0..layout.workloads());
    let (phase, stats) = (&layout.phases()[slot], measurements.phase(slot));
    PhaseSummary {
        name: phase.name.clone(),
        recorded: phase.record,
        duration_s: seconds(duration),
        totals: totals(&merged, duration),
        operations: operations(&merged),
        iterations: (0..layout.workloads())
            .filter_map(|workload| {
                let stats = measurements.workload(slot, workload).iterations.as_deref()?;
                Some((layout.workload_name(workload).to_string(), iterations(Some(stats))))
            })
            .collect(),
        steps: steps(merged.steps.as_deref()),
        breaks: merged.breaks.as_deref().map(BreakStats::summary),
        delays: delays(stats),
        disconnected: stats.disconnected.summary(),
        failures: stats.failures.by_count(),
    }
}

/// Returns the summary of setup or teardown, or None if nothing happened in it.
fn section(measurements: &Measurements, slot: usize, duration: Duration) -> Option<SectionSummary> {
    let layout = &measurements.layout;
    let merged = merged_workloads(measurements, [slot], 0..layout.workloads());
    let operations = operations(&merged);
    (!operations.is_empty()).then(|| SectionSummary {
        duration_s: seconds(duration),
        totals: totals(&merged, duration),
        operations,
        steps: steps(merged.steps.as_deref()),
        failures: measurements.phase(slot).failures.by_count(),
    })
}

fn workload(
    measurements: &Measurements,
    recorded: &[usize],
    index: usize,
    duration: Duration,
) -> WorkloadSummary {
    let layout = &measurements.layout;
    let merged = merged_workloads(measurements, recorded.iter().copied(), index..index + 1);
    let mut totals = totals(&merged, duration);
    totals.reconnects = measurements.connections.reconnects.get(index).copied();
    WorkloadSummary {
        name: layout.workload_name(index).to_string(),
        clients: layout.header.workloads.get(index).map_or(0, |workload| workload.clients),
        iterations: iterations(merged.iterations.as_deref()),
        totals,
        operations: operations(&merged),
        steps: steps(merged.steps.as_deref()),
        breaks: merged.breaks.as_deref().map(BreakStats::summary),
    }
}

/// Returns the summary of breaks, or None if none came and nothing granted could be broken.
fn breaks(
    measurements: &Measurements,
    merged: &WorkloadStats,
    recorded: &[usize],
) -> Option<BreakSummary> {
    let slots = 0..measurements.layout.phases().len();
    let unrecorded = slots.filter(|slot| !recorded.contains(slot));
    let others = merged_workloads(measurements, unrecorded, 0..measurements.layout.workloads());
    let others = others.breaks.map_or(0, |breaks| breaks.counts.all());
    let elsewhere = others + measurements.breaks_outside_phases;
    if merged.breaks.is_none() && elsewhere == 0 {
        let mut granted = merged.operations().filter_map(|(_, stats)| stats.granted.as_ref());
        return granted.any(|granted| granted.has_caching()).then(BreakSummary::default);
    }
    let summary = merged.breaks.as_deref().map(BreakStats::summary).unwrap_or_default();
    Some(BreakSummary { elsewhere: (elsewhere > 0).then_some(elsewhere), ..summary })
}

fn delays(stats: &PhaseStats) -> DelaySummary {
    DelaySummary {
        lateness_us: stats.lateness.tail(),
        backlog_us: stats.backlog.tail(),
        handoff_us: stats.handoff.distribution.tail(),
        pickup_us: stats.pickup.distribution.tail(),
    }
}

pub(super) fn totals(merged: &WorkloadStats, duration: Duration) -> OperationTotals {
    let mut totals = OperationTotals::default();
    for (operation, stats) in merged.operations() {
        totals.operations += stats.count();
        totals.counts.merge(&stats.counts);
        totals.total_counts.merge(&stats.total_counts);
        match operation {
            OperationType::Read => totals.bytes_read += stats.bytes,
            OperationType::Write => totals.bytes_written += stats.bytes,
            _ => {}
        }
    }
    totals.succeeded = totals.operations.saturating_sub(totals.counts.failed);
    with_rate(totals, duration)
}

/// Returns the totals with the time that they are over, and their rate.
pub(super) fn with_rate(mut totals: OperationTotals, duration: Duration) -> OperationTotals {
    totals.duration_s = seconds(duration);
    if !duration.is_zero() {
        let rate = totals.operations as f64 / duration.as_secs_f64();
        totals.operations_per_s = (rate * 1e3).round() / 1e3;
    }
    totals
}

pub(super) fn operations(merged: &WorkloadStats) -> Operations {
    merged.operations().map(|(operation, stats)| (operation, of_operation(stats))).collect()
}

fn of_operation(stats: &OperationStats) -> OperationSummary {
    OperationSummary {
        count: stats.count(),
        counts: stats.counts,
        bytes: stats.bytes,
        granted: stats.granted.iter().flat_map(|granted| granted.by_name()).collect(),
        create_actions: stats.granted.iter().flat_map(|granted| granted.by_action()).collect(),
        statuses: stats.statuses.by_name(),
        service_us: stats.service.times(),
        response_us: stats.response.times(),
    }
}

pub(super) fn iterations(stats: Option<&IterationStats>) -> Iterations {
    Iterations {
        count: stats.map_or(0, |stats| stats.service.count()),
        counts: stats.map_or_else(IterationCounts::default, |stats| stats.counts),
        service_us: stats.and_then(|stats| stats.service.times()),
        response_us: stats.and_then(|stats| stats.response.times()),
    }
}

/// Returns the operations that were due and not issued, or None if there were none.
fn unissued(unissued: Unissued) -> Option<UnissuedSummary> {
    (unissued != Unissued::default()).then(|| UnissuedSummary {
        by_backlog: unissued.by_backlog,
        backlog_us: micros(unissued.backlog_ns),
        by_limit: unissued.by_limit,
        by_generation: unissued.by_generation,
        by_other: unissued.by_driver,
    })
}

fn silent_clients(measurements: &Measurements) -> Option<SilentClients> {
    let silent = &measurements.silent;
    let name = |client: &u32| measurements.layout.header.client_name(*client);
    (!silent.is_empty()).then(|| SilentClients {
        count: silent.len() as u64,
        first: silent.iter().take(FIRST_CLIENTS).map(name).collect(),
    })
}

fn failed_clients(measurements: &Measurements) -> Option<FailedClients> {
    let connections = &measurements.connections;
    let failed = |(client, reason): &(u32, String)| FailedClient {
        client: measurements.layout.header.client_name(*client),
        reason: reason.clone(),
    };
    (connections.failed_clients > 0).then(|| FailedClients {
        count: connections.failed_clients,
        all: measurements.lost_all_clients(),
        first: connections.first_failed.iter().map(failed).collect(),
    })
}

pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}
