//! Checks of the summary's figures against counts made here from the events.

use std::collections::BTreeMap;

use smbench::ir::event::IterationOutcome;
use smbench::ir::{CompletionStatus, Event, OperationType, Section};
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

pub fn check(scenario: &Scenario, outcome: &Outcome, summary: &Summary) -> Result<(), String> {
    let header = &scenario.stream.header;
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
            let counts = into.entry(operation.operation_type()).or_default();
            counts.bytes += completion.execution.bytes;
            counts.retries += u64::from(completion.retries);
            match completion.execution.status {
                CompletionStatus::Succeeded(_) => counts.succeeded += 1,
                CompletionStatus::Failed(_) => counts.failed += 1,
                CompletionStatus::Skipped { .. } => counts.skipped += 1,
                CompletionStatus::Cut => counts.cut += 1,
            }
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
    iterations(&summary.iterations, outcome, recorded)
}

impl Counts {
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
    recorded: impl Fn(usize) -> bool,
) -> Result<(), String> {
    let (mut finished, mut late, mut cut, mut dropped, mut skipped) = (0, 0, 0, 0, 0);
    for event in outcome.events() {
        let Event::Iteration(iteration) = event else { continue };
        if !iteration.phase.is_some_and(|phase| recorded(usize::from(phase))) {
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
