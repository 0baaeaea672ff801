//! Checks of steps: the summary has exactly the steps that the completions show.

use std::collections::BTreeMap;
use std::sync::Arc;

use smbench::ir::event::IterationOutcome;
use smbench::ir::{CompletionEvent, CompletionStatus, Section, Step};
use smbench::observability::Summary;
use smbench::observability::summary::Steps;

use super::Client;
use crate::scenario::Scenario;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ended { failed: bool },
    Skipped,
    Cut,
}

/// One occurrence of a step: consecutive completions of one client that belong to it.
struct Occurrence {
    name: Arc<str>,
    section: Section,
    phase: Option<u16>,
    workload: Option<usize>,
    response_ns: u64,
    end: End,
}

/// The count, the failed, skipped and cut steps of a name, and its least and greatest response in
/// nanoseconds.
type Counts = (u64, u64, u64, u64, Option<(u64, u64)>);

pub fn check(scenario: &Scenario, clients: &[Client], summary: &Summary) -> Result<(), String> {
    let header = &scenario.stream.header;
    let recorded = |phase: u16| header.phases.get(usize::from(phase)).is_none_or(|it| it.record);
    let all: Vec<Occurrence> =
        clients.iter().flat_map(|client| occurrences(scenario, client)).collect();
    let in_recorded =
        |step: &&Occurrence| step.section == Section::Iteration && step.phase.is_some_and(recorded);
    same("run", &summary.steps, all.iter().filter(in_recorded))?;
    for (index, phase) in (0..).zip(&summary.phases) {
        let here =
            |step: &&Occurrence| step.section == Section::Iteration && step.phase == Some(index);
        same(&format!("phase {index}"), &phase.steps, all.iter().filter(here))?;
    }
    for (index, workload) in summary.workloads.iter().enumerate() {
        let own = all.iter().filter(in_recorded).filter(|step| step.workload == Some(index));
        same(&format!("workload {index}"), &workload.steps, own)?;
    }
    for (section, reported) in
        [(Section::Setup, &summary.setup), (Section::Teardown, &summary.teardown)]
    {
        let nothing = Steps::new();
        let reported = reported.as_ref().map_or(&nothing, |reported| &reported.steps);
        same(&format!("{section:?}"), reported, all.iter().filter(|it| it.section == section))?;
    }
    Ok(())
}

/// Returns the outermost step that the operation belongs to, or its inner step.
fn step_of(event: &CompletionEvent, inner: bool) -> Option<Arc<Step>> {
    let step = event.operation.step.as_ref()?;
    match inner {
        true => Some(step.clone()).filter(|step| step.outer.is_some()),
        false => Some(step.outermost().clone()),
    }
}

/// Returns the steps of a client, outer and inner, from its completions as a whole.
fn occurrences(scenario: &Scenario, client: &Client) -> Vec<Occurrence> {
    let place = |it: &CompletionEvent| (it.operation.section, it.operation.iteration);
    let workload = scenario.stream.header.workload_of(client.index).map(|(workload, _)| workload);
    let mut occurrences = Vec::new();
    for inner in [false, true] {
        let step_of = |it: &CompletionEvent| step_of(it, inner);
        let mut next = 0;
        let same = |a: &&CompletionEvent, b: &&CompletionEvent| {
            place(a) == place(b) && step_of(a) == step_of(b)
        };
        for run in client.completions.chunk_by(same) {
            next += run.len();
            let (first, last) = (run[0], run[run.len() - 1]);
            let Some(step) = step_of(first) else { continue };
            let after = client.completions.get(next);
            let is_last = after.is_none_or(|after| place(after) != place(first));
            let (section, iteration) = place(first);
            let finished = client.iterations.iter().any(|event| {
                event.iteration == iteration && event.outcome != IterationOutcome::Cut
            });
            let whole = match section {
                Section::Iteration => finished,
                Section::Setup | Section::Teardown => !(client.failed && after.is_none()),
            };
            let any =
                |is: fn(&CompletionStatus) -> bool| run.iter().any(|it| is(&it.execution.status));
            let end = if any(|it| *it == CompletionStatus::Cut) || (is_last && !whole) {
                End::Cut
            } else if !any(|it| !matches!(it, CompletionStatus::Skipped { .. })) {
                End::Skipped
            } else {
                End::Ended { failed: any(|it| matches!(it, CompletionStatus::Failed(_))) }
            };
            occurrences.push(Occurrence {
                name: step.name.clone(),
                section,
                phase: first.phase,
                workload,
                response_ns: last.times.completed_ns - first.times.due_ns,
                end,
            });
        }
    }
    occurrences
}

fn same<'a>(
    what: &str,
    reported: &Steps,
    steps: impl Iterator<Item = &'a Occurrence>,
) -> Result<(), String> {
    let mut counted: BTreeMap<String, Counts> = BTreeMap::new();
    for step in steps {
        let counts = counted.entry(step.name.to_string()).or_default();
        match step.end {
            End::Cut => counts.3 += 1,
            End::Skipped => counts.2 += 1,
            End::Ended { failed } => {
                counts.0 += 1;
                counts.1 += u64::from(failed);
                let (least, greatest) = counts.4.unwrap_or((u64::MAX, 0));
                counts.4 = Some((least.min(step.response_ns), greatest.max(step.response_ns)));
            }
        }
    }
    let ns = |us: f64| (us * 1e3).round() as u64;
    let reported: BTreeMap<String, Counts> = reported
        .iter()
        .map(|(name, step)| {
            let times = step.response_us.map(|times| (ns(times.min), ns(times.tail.max)));
            let counts = step.counts;
            (name.clone(), (step.count, counts.failed, counts.skipped, counts.cut, times))
        })
        .collect();
    match reported == counted {
        true => Ok(()),
        false => {
            Err(format!("{what}: the summary has steps {reported:?}, the completions {counted:?}"))
        }
    }
}
