//! The conversion of measurements into the summary.

use std::time::Duration;

use super::breaks::{BreakStats, BreakSummary};
use super::distribution::Distribution;
use super::exit::{exit_code, exit_reasons};
use super::failures::{FailedOperation, Failures, StatusKey};
use super::metrics::{
    FIRST_CLIENTS, IterationStats, Layout, Measurements, OperationStats, WorkloadStats,
};
use super::notes;
use super::summary::{
    Cleanup, FailedClient, FailedClients, FailureGroup, Iterations, OperationRecord,
    OperationSummary, OperationTotals, Operations, PhaseSummary, Run, RunFacts, SCHEMA,
    SectionSummary, SilentClients, SkippedGroup, Summary, Tail, Times, UnissuedSummary,
    WorkloadSummary,
};
use super::thresholds::ThresholdOutcome;
use super::trust::{self, Evidence};
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

        let merged = merged_cells(measurements, recorded.iter().copied(), all_workloads);
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
            failures: failures(&overall.failures, layout),
            skipped: (overall.skipped.count > 0).then(|| SkippedGroup {
                count: overall.skipped.count,
                first: records(&overall.skipped.first, layout),
            }),
            lateness_us: tail(&overall.lateness),
            backlog_us: tail(&overall.backlog),
            handoff_us: tail(&overall.handoff.distribution),
            pickup_us: tail(&overall.pickup.distribution),
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
            failed_clients: failed_clients(measurements),
            silent_clients: silent_clients(measurements),
            cleanup: Cleanup {
                closed: connections.cleanup_closed,
                failed: connections.cleanup_failed,
            },
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
        settings: facts.settings.clone(),
        version: env!("CARGO_PKG_VERSION"),
        interrupted: facts.interrupted,
    }
}

fn merged_cells(
    measurements: &Measurements,
    slots: impl IntoIterator<Item = usize>,
    workloads: std::ops::Range<usize>,
) -> WorkloadStats {
    let mut merged = WorkloadStats::default();
    for slot in slots {
        for workload in workloads.clone() {
            merged.merge(measurements.cell(slot, workload));
        }
    }
    merged
}

fn phase(measurements: &Measurements, slot: usize, duration: Duration) -> PhaseSummary {
    let layout = &measurements.layout;
    let cell = merged_cells(measurements, [slot], 0..layout.workloads());
    let phase = &layout.phases()[slot];
    PhaseSummary {
        name: phase.name.clone(),
        recorded: phase.record,
        duration_s: seconds(duration),
        totals: totals(&cell, duration),
        operations: operations(&cell),
        iterations: (0..layout.workloads())
            .filter_map(|workload| {
                let stats = measurements.cell(slot, workload).iterations.as_deref()?;
                Some((layout.workload_name(workload).to_string(), iterations(Some(stats))))
            })
            .collect(),
        breaks: cell.breaks.as_deref().map(BreakStats::summary),
        lateness_us: tail(&measurements.phase(slot).lateness),
        backlog_us: tail(&measurements.phase(slot).backlog),
        handoff_us: tail(&measurements.phase(slot).handoff.distribution),
        pickup_us: tail(&measurements.phase(slot).pickup.distribution),
        disconnected: measurements.phase(slot).disconnected.summary(),
        failures: failures(&measurements.phase(slot).failures, layout),
    }
}

/// Returns the summary of setup or teardown, or None if nothing happened in it.
fn section(measurements: &Measurements, slot: usize, duration: Duration) -> Option<SectionSummary> {
    let layout = &measurements.layout;
    let cell = merged_cells(measurements, [slot], 0..layout.workloads());
    let operations = operations(&cell);
    (!operations.is_empty()).then(|| SectionSummary {
        duration_s: seconds(duration),
        totals: totals(&cell, duration),
        operations,
        failures: failures(&measurements.phase(slot).failures, layout),
    })
}

fn workload(
    measurements: &Measurements,
    recorded: &[usize],
    index: usize,
    duration: Duration,
) -> WorkloadSummary {
    let layout = &measurements.layout;
    let cell = merged_cells(measurements, recorded.iter().copied(), index..index + 1);
    let mut totals = totals(&cell, duration);
    totals.reconnects = measurements.connections.reconnects.get(index).copied();
    WorkloadSummary {
        name: layout.workload_name(index).to_string(),
        clients: layout.header.workloads.get(index).map_or(0, |workload| workload.clients),
        iterations: iterations(cell.iterations.as_deref()),
        totals,
        operations: operations(&cell),
        breaks: cell.breaks.as_deref().map(BreakStats::summary),
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
    let others = merged_cells(measurements, unrecorded, 0..measurements.layout.workloads());
    let others = others.breaks.map_or(0, |breaks| breaks.count());
    let elsewhere = others + measurements.breaks_outside_phases;
    if merged.breaks.is_none() && elsewhere == 0 {
        let mut granted = merged.operations().filter_map(|(_, stats)| stats.granted.as_ref());
        return granted.any(|granted| granted.has_caching()).then(BreakSummary::default);
    }
    let summary = merged.breaks.as_deref().map(BreakStats::summary).unwrap_or_default();
    Some(BreakSummary { elsewhere: (elsewhere > 0).then_some(elsewhere), ..summary })
}

fn totals(cell: &WorkloadStats, duration: Duration) -> OperationTotals {
    let mut totals =
        OperationTotals { duration_s: seconds(duration), ..OperationTotals::default() };
    for (operation, stats) in cell.operations() {
        totals.operations += stats.count();
        totals.failed += stats.failed;
        totals.skipped += stats.skipped;
        totals.cut += stats.cut;
        totals.retries += stats.retries;
        totals.short_reads += stats.short_reads;
        totals.degraded += stats.degraded;
        match operation {
            OperationType::Read => totals.bytes_read += stats.bytes,
            OperationType::Write => totals.bytes_written += stats.bytes,
            _ => {}
        }
    }
    totals.succeeded = totals.operations.saturating_sub(totals.failed);
    if !duration.is_zero() {
        let rate = totals.operations as f64 / duration.as_secs_f64();
        totals.operations_per_s = (rate * 1e3).round() / 1e3;
    }
    totals
}

fn operations(cell: &WorkloadStats) -> Operations {
    cell.operations().map(|(operation, stats)| (operation, of_operation(stats))).collect()
}

fn of_operation(stats: &OperationStats) -> OperationSummary {
    OperationSummary {
        count: stats.count(),
        failed: stats.failed,
        skipped: stats.skipped,
        cut: stats.cut,
        retries: stats.retries,
        bytes: stats.bytes,
        granted: stats.granted.iter().flat_map(|granted| granted.by_name()).collect(),
        create_actions: stats.granted.iter().flat_map(|granted| granted.by_action()).collect(),
        statuses: stats.statuses.iter().map(|(key, count)| (key.name(), *count)).collect(),
        service_us: times(&stats.service),
        response_us: times(&stats.response),
    }
}

fn iterations(stats: Option<&IterationStats>) -> Iterations {
    Iterations {
        count: stats.map_or(0, |stats| stats.service.count()),
        late: stats.map_or(0, |stats| stats.late),
        dropped: stats.map_or(0, |stats| stats.dropped),
        skipped: stats.map_or(0, |stats| stats.skipped),
        cut: stats.map_or(0, |stats| stats.cut),
        service_us: stats.and_then(|stats| times(&stats.service)),
        response_us: stats.and_then(|stats| times(&stats.response)),
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

fn failures(failures: &Failures, layout: &Layout) -> Vec<FailureGroup> {
    let group = |(key, found): (StatusKey, &super::failures::Occurrences)| FailureGroup {
        status: key.name(),
        code: match key {
            StatusKey::Status(status) => Some(status.0),
            _ => None,
        },
        count: found.count,
        first: records(&found.first, layout),
    };
    failures.by_count().into_iter().map(group).collect()
}

fn records(operations: &[FailedOperation], layout: &Layout) -> Vec<OperationRecord> {
    let phase_name = |index: u16| Some(layout.phases().get(usize::from(index))?.name.clone());
    let record = |operation: &FailedOperation| OperationRecord {
        op_id: operation.op_id.clone(),
        client: layout.header.client_name(operation.client_idx),
        operation: operation.operation,
        path: operation.path.clone(),
        phase: operation.phase.and_then(phase_name),
        at_us: operation.at_ns / 1_000,
        message: operation.message.clone(),
    };
    operations.iter().map(record).collect()
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

pub(super) fn times(distribution: &Distribution) -> Option<Times> {
    Some(Times {
        min: micros(distribution.min_ns()),
        mean: distribution.mean_ns().round() / 1e3,
        tail: tail(distribution)?,
    })
}

/// Returns the percentiles, or None without samples.
pub(super) fn tail(distribution: &Distribution) -> Option<Tail> {
    let at = |quantile| micros(distribution.quantile_ns(quantile));
    (distribution.count() > 0).then(|| Tail {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        max: micros(distribution.max_ns()),
    })
}

pub(super) fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}
