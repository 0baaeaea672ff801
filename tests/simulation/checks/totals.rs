//! Checks of the summary's figures against counts made here from the events.

use std::collections::BTreeMap;

use smbench::ir::event::{FIRST_GENERATION, IterationEvent, IterationOutcome};
use smbench::ir::{CompletionEvent, CompletionStatus, Event, OperationType, Section, StreamHeader};
use smbench::observability::Summary;
use smbench::observability::summary::{Iterations, OperationTotals, Operations};

use crate::run::Outcome;
use crate::scenario::Scenario;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    succeeded: u64,
    failed: u64,
    skipped: u64,
    cut: u64,
    retries: u64,
    bytes: u64,
}

type ByType = BTreeMap<OperationType, Counts>;

pub fn check(outcome: &Outcome, summary: &Summary) -> Result<(), String> {
    let header = outcome.header();
    let phases = header.phases.len().max(1);
    let recorded = |phase: usize| header.phases.get(phase).is_none_or(|phase| phase.record);
    let (mut setup, mut teardown) = (ByType::new(), ByType::new());
    let mut by_phase = vec![ByType::new(); phases];
    let mut by_workload = vec![ByType::new(); header.workloads.len()];
    for event in outcome.events() {
        let Event::Completed(completion) = event else { continue };
        let operation = &completion.operation;
        let mut into = vec![match (operation.section, completion.phase) {
            (Section::Setup, _) => &mut setup,
            (Section::Teardown, _) => &mut teardown,
            (Section::Iteration, Some(phase)) => {
                let phase = usize::from(phase);
                if phase >= phases {
                    return Err(format!("there is no phase {phase}: {completion:?}"));
                }
                if recorded(phase)
                    && let Some((workload, _)) = header.workload_of(operation.client_idx)
                {
                    by_workload[workload].entry(operation.operation_type()).or_default();
                }
                &mut by_phase[phase]
            }
            (Section::Iteration, None) => return Err(format!("no phase: {completion:?}")),
        }];
        if let (Section::Iteration, Some(phase)) = (operation.section, completion.phase)
            && recorded(usize::from(phase))
            && let Some((workload, _)) = header.workload_of(operation.client_idx)
        {
            into.push(&mut by_workload[workload]);
        }
        for into in into {
            into.entry(operation.operation_type()).or_default().count(completion);
        }
    }
    let nothing = Operations::new();
    let reported = |section: &Option<smbench::observability::summary::SectionSummary>| {
        section.as_ref().map(|section| section.operations.clone()).unwrap_or_default()
    };
    same("setup", &reported(&summary.setup), &setup)?;
    same("teardown", &reported(&summary.teardown), &teardown)?;
    let mut total = ByType::new();
    for (index, counts) in by_phase.iter().enumerate() {
        let reported = summary.phases.get(index).map_or(&nothing, |phase| &phase.operations);
        same(&format!("phase {index}"), reported, counts)?;
        if recorded(index) {
            for (operation, counts) in counts {
                total.entry(*operation).or_default().add(counts);
            }
        }
    }
    for (index, counts) in by_workload.iter().enumerate() {
        same(&format!("workload {index}"), &summary.workloads[index].operations, counts)?;
    }
    same("operations", &summary.operations, &total)?;
    totals(&summary.totals, &total)?;
    iterations(&summary.iterations, outcome, |event| is_recorded(header, event.phase))
}

/// Checks the figures by generation, and that they add up to those of the run.
pub fn check_generations(
    scenario: &Scenario,
    outcome: &Outcome,
    summary: &Summary,
) -> Result<(), String> {
    let header = outcome.header();
    let mut sums = [0; 9];
    for generation in &summary.generations {
        let number = generation.number;
        let wrong = |broken| format!("generation {number}: {broken}");
        let mut counted = ByType::new();
        let (mut superseded, mut overdue, mut closed_handles, mut joined) = (0, 0, 0, 0);
        for event in outcome.events() {
            match event {
                Event::Completed(completion)
                    if completion.generation == number
                        && completion.operation.section == Section::Iteration
                        && is_recorded(header, completion.phase) =>
                {
                    let operation = completion.operation.operation_type();
                    counted.entry(operation).or_default().count(completion);
                }
                Event::Superseded { generation, operations, overdue: due }
                    if *generation == number =>
                {
                    superseded += u64::from(*operations);
                    overdue += u64::from(*due);
                }
                Event::Moved(moved) => {
                    joined += u64::from(moved.to == Some(number));
                    if moved.from == Some(number) {
                        closed_handles += u64::from(moved.closed);
                    }
                }
                _ => {}
            }
        }
        if number == FIRST_GENERATION && outcome.measured_ns.is_some() {
            joined += u64::from(scenario.stream.header.workload_clients());
        }
        same("operations", &generation.operations, &counted).map_err(wrong)?;
        totals(&generation.totals, &counted).map_err(wrong)?;
        let own =
            |event: &IterationEvent| event.generation == number && is_recorded(header, event.phase);
        iterations(&generation.iterations, outcome, own).map_err(wrong)?;
        let reported = (
            generation.superseded.operations,
            generation.superseded.overdue,
            generation.closed_handles,
            generation.clients,
        );
        let counted = (superseded, overdue, closed_handles, joined);
        if reported != counted {
            return Err(wrong(format!(
                "superseded, overdue, closed handles and clients are {reported:?} in the summary, and {counted:?} by the events"
            )));
        }
        let figures = figures(&generation.totals, &generation.iterations);
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
    }
    let whole = figures(&summary.totals, &summary.iterations);
    match sums == whole {
        true => Ok(()),
        false => Err(format!("the generations add up to {sums:?}, and the totals are {whole:?}")),
    }
}

/// Returns the figures of which the sum over the generations is that of the run.
fn figures(totals: &OperationTotals, iterations: &Iterations) -> [u64; 9] {
    [
        totals.operations,
        totals.counts.failed,
        totals.counts.skipped,
        totals.counts.cut,
        totals.counts.retries,
        totals.bytes_read,
        totals.bytes_written,
        iterations.count,
        iterations.all(),
    ]
}

fn is_recorded(header: &StreamHeader, phase: Option<u16>) -> bool {
    phase
        .is_some_and(|phase| header.phases.get(usize::from(phase)).is_none_or(|phase| phase.record))
}

impl Counts {
    fn count(&mut self, completion: &CompletionEvent) {
        self.bytes += completion.execution.bytes;
        self.retries += u64::from(completion.retries);
        match completion.execution.status {
            CompletionStatus::Succeeded(_) => self.succeeded += 1,
            CompletionStatus::Failed(_) => self.failed += 1,
            CompletionStatus::Skipped { .. } => self.skipped += 1,
            CompletionStatus::Cut => self.cut += 1,
        }
    }

    fn add(&mut self, other: &Counts) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.cut += other.cut;
        self.retries += other.retries;
        self.bytes += other.bytes;
    }
}

fn same(what: &str, reported: &Operations, counted: &ByType) -> Result<(), String> {
    let reported: ByType = reported
        .iter()
        .map(|(operation, figures)| {
            let counts = Counts {
                succeeded: figures.count.saturating_sub(figures.counts.failed),
                failed: figures.counts.failed,
                skipped: figures.counts.skipped,
                cut: figures.counts.cut,
                retries: figures.counts.retries,
                bytes: figures.bytes,
            };
            (*operation, counts)
        })
        .collect();
    if reported == *counted {
        Ok(())
    } else {
        Err(format!("{what}: the summary says {reported:?}, the events {counted:?}"))
    }
}

fn totals(reported: &OperationTotals, counted: &ByType) -> Result<(), String> {
    let mut all = Counts::default();
    counted.values().for_each(|counts| all.add(counts));
    let reported_counts = Counts {
        succeeded: reported.succeeded,
        failed: reported.counts.failed,
        skipped: reported.counts.skipped,
        cut: reported.counts.cut,
        retries: reported.counts.retries,
        bytes: reported.bytes_read + reported.bytes_written,
    };
    if reported_counts == all && reported.operations == all.succeeded + all.failed {
        Ok(())
    } else {
        Err(format!("the summary's totals are {reported:?}, the events' {all:?}"))
    }
}

fn iterations(
    reported: &Iterations,
    outcome: &Outcome,
    counts: impl Fn(&IterationEvent) -> bool,
) -> Result<(), String> {
    let (mut finished, mut late, mut cut, mut dropped, mut skipped) = (0, 0, 0, 0, 0);
    for event in outcome.events() {
        let Event::Iteration(iteration) = event else { continue };
        if !counts(iteration) {
            continue;
        }
        match iteration.outcome {
            IterationOutcome::Finished => {
                finished += 1;
                late += u64::from(iteration.eligible_ns > iteration.due_ns);
            }
            IterationOutcome::Cut => cut += 1,
            IterationOutcome::Dropped => dropped += 1,
            IterationOutcome::Skipped => skipped += 1,
        }
    }
    let counts = reported.counts;
    let reported = (reported.count, counts.late, counts.cut, counts.dropped, counts.skipped);
    let counted = (finished, late, cut, dropped, skipped);
    match reported == counted {
        true => Ok(()),
        false => Err(format!("the summary has {reported:?} iterations, the events {counted:?}")),
    }
}
