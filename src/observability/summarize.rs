//! From measurements to the summary.

use std::time::Duration;

use super::distribution::Distribution;
use super::exit::{exit_code, exit_reasons};
use super::failures::{FailedOperation, Failures, StatusKey};
use super::metrics::{Cell, IterationStats, Layout, Measurements, OperationStats};
use super::notes;
use super::summary::{
    Cleanup, FailedClient, FailedClients, FailureGroup, Iterations, OperationRecord,
    OperationSummary, Operations, PhaseSummary, Run, RunFacts, SCHEMA, SectionSummary,
    SkippedGroup, Summary, Tail, Times, Totals, UnissuedSummary, WorkloadSummary,
};
use super::thresholds::Outcome;
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
        let cut_in = facts.phases.iter().rposition(|lasted| !lasted.is_zero());
        let cut_recorded = cut_in.is_some_and(|slot| recorded.contains(&slot));
        let trust = trust::judge(&Evidence {
            recorded: &overall,
            unissued: if cut_recorded { measurements.unissued } else { Unissued::default() },
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
        notes.extend(notes::superseded(measurements.unissued.superseded));
        notes.extend(unissued.as_ref().and_then(notes::waiting));

        Summary {
            schema: SCHEMA,
            run: run(&facts, layout),
            exit_code: exit_code(&exit_reasons),
            exit_reasons,
            thresholds: facts.thresholds.iter().map(Outcome::summary).collect(),
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
            unissued,
            trust,
            setup: section(measurements, layout.setup(), facts.setup),
            phases: (0..layout.phases().len())
                .map(|slot| phase(measurements, slot, phase_duration(slot)))
                .collect(),
            teardown: section(measurements, layout.setup() + 1, facts.teardown),
            workloads,
            failed_clients: failed_clients(measurements),
            cleanup: Cleanup {
                closed: connections.cleanup_closed,
                failed: connections.cleanup_failed,
            },
            metrics: facts.metrics,
            target: facts.target,
            problems: facts.problems,
            notes,
        }
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
) -> Cell {
    let mut merged = Cell::default();
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
        lateness_us: tail(&measurements.phase(slot).lateness),
        backlog_us: tail(&measurements.phase(slot).backlog),
        failures: failures(&measurements.phase(slot).failures, layout),
    }
}

/// Nothing where nothing happened.
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
    }
}

fn totals(cell: &Cell, duration: Duration) -> Totals {
    let mut totals = Totals { duration_s: seconds(duration), ..Totals::default() };
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

fn operations(cell: &Cell) -> Operations {
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
        cut: stats.map_or(0, |stats| stats.cut),
        service_us: stats.and_then(|stats| times(&stats.service)),
        response_us: stats.and_then(|stats| times(&stats.response)),
    }
}

/// Nothing where nothing was due and unissued.
fn unissued(unissued: Unissued) -> Option<UnissuedSummary> {
    let unissued = Unissued { superseded: 0, ..unissued };
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

fn failed_clients(measurements: &Measurements) -> Option<FailedClients> {
    let connections = &measurements.connections;
    let failed = |(client, reason): &(u32, String)| FailedClient {
        client: measurements.layout.header.client_name(*client),
        reason: reason.clone(),
    };
    (connections.failed_clients > 0).then(|| FailedClients {
        count: connections.failed_clients,
        first: connections.first_failed.iter().map(failed).collect(),
    })
}

fn times(distribution: &Distribution) -> Option<Times> {
    Some(Times {
        min: micros(distribution.min_ns()),
        mean: distribution.mean_ns().round() / 1e3,
        tail: tail(distribution)?,
    })
}

/// Nothing of no samples.
fn tail(distribution: &Distribution) -> Option<Tail> {
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

fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::super::exit::ExitReason;
    use super::super::sample;
    use super::super::trust::Verdict;
    use super::*;
    use crate::ir::event::IterationOutcome::{Dropped, Finished};
    use crate::ir::{Event, EventSink, Section};
    use crate::protocol::NtStatus;

    fn summary() -> Summary {
        Summary::new(sample::facts(), &sample::measurements())
    }

    #[test]
    fn totals_and_operations_count_recorded_phases_only() {
        let summary = summary();
        let totals = &summary.totals;
        // 2 opens, 1,001 reads and a close were sent in the phase "steady".
        assert_eq!((totals.operations, totals.succeeded, totals.failed), (1_004, 1_002, 2));
        assert_eq!((totals.skipped, totals.cut, totals.short_reads), (1, 1, 1));
        assert_eq!((totals.bytes_read, totals.bytes_written), (4_096_000, 0));
        assert_eq!((totals.duration_s, totals.operations_per_s), (2.0, 502.0));
        assert_eq!(totals.reconnects, Some(1));
        let counts: Vec<(&str, u64)> = summary
            .operations
            .iter()
            .map(|(operation, figures)| (operation.name(), figures.count))
            .collect();
        assert_eq!(counts, [("open", 2), ("read", 1_001), ("close", 1)]);
        let sent: u64 = summary.operations.values().map(|figures| figures.count).sum();
        assert_eq!(sent, totals.operations);
        assert_eq!(
            summary.workloads.iter().map(|workload| workload.totals.operations).sum::<u64>(),
            totals.operations
        );
        assert_eq!(summary.phases[0].totals.operations, 1);
        assert!(!summary.phases[0].recorded);
    }

    #[test]
    fn times_are_microseconds() {
        let summary = summary();
        let read = summary.operations[&OperationType::Read].service_us.unwrap();
        // 10 µs to 10 ms in steps of 10 µs, and one of 1 ms.
        assert_eq!((read.min, read.tail.max), (10.0, 10_000.0));
        assert_eq!(read.mean, 5_000.999);
        assert!((read.tail.p50 - 5_000.0).abs() <= 5.0, "{}", read.tail.p50);
        assert!((read.tail.p99 - 9_900.0).abs() <= 10.0, "{}", read.tail.p99);
        let iterations = &summary.iterations;
        assert_eq!((iterations.count, iterations.cut), (2, 1));
        assert_eq!((iterations.late, iterations.dropped), (1, 1));
        assert_eq!(iterations.service_us.unwrap().tail.max, 20_000.0);
    }

    #[test]
    fn failures_are_listed_by_status_and_add_up() {
        let summary = summary();
        assert_eq!(
            summary.failures.iter().map(|group| group.count).sum::<u64>(),
            summary.totals.failed
        );
        let violation = &summary.failures[0];
        assert_eq!(violation.status, "STATUS_SHARING_VIOLATION");
        assert_eq!(violation.code, Some(NtStatus::SHARING_VIOLATION.0));
        let first = &violation.first[0];
        assert_eq!((first.client.as_str(), first.operation), ("editors/1", "open"));
        assert_eq!(first.path.as_deref(), Some("team/\u{9b}31m\u{202e}name.docx"));
        assert_eq!((first.phase.as_deref(), first.at_us), (Some("steady"), 1_001_000));
        assert_eq!(
            summary.operations[&OperationType::Open].statuses,
            [("STATUS_SHARING_VIOLATION".to_string(), 1), ("STATUS_SUCCESS".to_string(), 1)].into()
        );
        let skipped = summary.skipped.unwrap();
        assert_eq!(skipped.count, 1);
        assert!(skipped.first[0].message.contains("because of 1-"), "{:?}", skipped.first[0]);
    }

    #[test]
    fn what_fails_in_setup_or_a_phase_exits_4_and_in_teardown_is_only_told() {
        let exit_code = |section: Section, phase| {
            let mut recorder = sample::recorder();
            let status = sample::failed(NtStatus::ACCESS_DENIED);
            let mut event = sample::completion(0, 0, sample::delete("a"), status);
            (event.operation.section, event.phase) = (section, phase);
            recorder.event(Event::Completed(event));
            let summary = Summary::new(sample::facts(), &recorder.finish());
            (summary.exit_code, summary.totals.failed)
        };
        assert_eq!(exit_code(Section::Setup, None), (4, 0));
        assert_eq!(exit_code(Section::Iteration, Some(0)), (4, 0), "a phase that is not recorded");
        assert_eq!(exit_code(Section::Iteration, Some(1)), (4, 1));
        assert_eq!(exit_code(Section::Teardown, None), (0, 0));
        let teardown = summary().teardown.unwrap();
        assert_eq!(teardown.failures[0].status, "STATUS_ACCESS_DENIED");
    }

    #[test]
    fn a_late_generator_exits_5_unless_that_is_allowed() {
        let exit = |allow_late| {
            let mut recorder = sample::recorder();
            let mut event = sample::completion(0, 0, sample::read(1), sample::OK);
            event.issued_ns += 20_000_000;
            event.completed_ns = event.issued_ns + 1;
            recorder.event(Event::Completed(event));
            let facts = RunFacts { allow_late, ..sample::facts() };
            let summary = Summary::new(facts, &recorder.finish());
            assert_eq!(summary.trust.verdict, Verdict::GeneratorLimited);
            (summary.exit_code, summary.exit_reasons)
        };
        assert_eq!(exit(false), (5, vec![ExitReason::GeneratorLimited]));
        assert_eq!(exit(true), (0, vec![]));
    }

    #[test]
    fn a_workload_that_drops_iterations_is_told_with_its_own_number_of_them() {
        let mut recorder = sample::recorder();
        for (client_idx, outcome) in
            [(0, Dropped), (0, Finished), (0, Finished), (2, Finished), (2, Finished)]
        {
            recorder.event(Event::Iteration(sample::iteration(client_idx, outcome)));
        }
        let summary = Summary::new(sample::facts(), &recorder.finish());
        assert_eq!(summary.notes.len(), 1);
        let note = "1 of 3 iterations of editors were dropped, as that workload asks for: ";
        assert!(summary.notes[0].starts_with(note), "{}", summary.notes[0]);
    }

    #[test]
    fn what_was_left_unissued_is_judged_where_the_cut_was_in_a_recorded_phase() {
        let mut recorder = sample::recorder();
        let unissued = Unissued { by_limit: 1, late_ns: 11_000_000, ..Unissued::default() };
        recorder.event(Event::Unissued(unissued));
        let measurements = recorder.finish();
        let verdict = |seconds: [u64; 2]| {
            let phases = seconds.map(Duration::from_secs).to_vec();
            let summary = Summary::new(RunFacts { phases, ..sample::facts() }, &measurements);
            assert_eq!(summary.unissued.unwrap().by_limit, 1);
            summary.trust.verdict
        };
        assert_eq!(verdict([1, 1]), Verdict::GeneratorLimited);
        assert_eq!(verdict([1, 0]), Verdict::Valid, "cut in the warmup, which is not recorded");
    }

    #[test]
    fn every_reason_is_listed_once_and_the_first_decides() {
        let facts = RunFacts {
            interrupted: true,
            cut_short: true,
            exit_reasons: vec![ExitReason::Interrupted, ExitReason::Invalid],
            ..sample::facts()
        };
        let summary = Summary::new(facts, &sample::measurements());
        assert_eq!(
            summary.exit_reasons,
            [ExitReason::Invalid, ExitReason::Interrupted, ExitReason::OperationsFailed]
        );
        assert_eq!(summary.exit_code, 2);
        assert_eq!(summary.trust.verdict, Verdict::Interrupted);
    }

    #[test]
    fn a_client_that_gave_up_is_a_failure_by_itself() {
        let mut recorder = sample::recorder();
        recorder.event(Event::ClientFailed { client_idx: 1, reason: "no route".into() });
        let summary = Summary::new(sample::facts(), &recorder.finish());
        assert_eq!(summary.exit_code, 4);
        let failed = summary.failed_clients.unwrap();
        assert_eq!((failed.count, failed.first[0].client.as_str()), (1, "editors/1"));
    }
}
