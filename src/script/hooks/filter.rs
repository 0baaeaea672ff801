//! The filters that select completions for a hook, and the fields that the hook gets.

use crate::ir::event::CompletionEvent;
use crate::ir::source::WHOLE_PHASE;
use crate::ir::{CompletionStatus, OperationType};
use crate::observability::Layout;
use crate::observability::failures::StatusKey;
use crate::protocol::{NtStatus, SharePath};
use crate::script::values::unknown;

/// Maximum number of hooks of one kind. Each has one bit of a [`u32`].
pub(in crate::script) const MAX_HOOKS: usize = 32;

/// Maximum number of arguments of a hook.
pub(in crate::script) const MAX_FIELDS: usize = 16;

/// An argument of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::script) enum Field {
    Kind,
    Status,
    ServiceNs,
    ResponseNs,
    LatenessNs,
    Bytes,
    Iteration,
    /// The name of the innermost step.
    Step,
    OpId,
    Client,
    Path,
    /// The grant of an open. This field and the next two belong to opens, where they are known.
    Granted,
    CreateAction,
    FileId,
    /// The number of the generation that the operation belongs to.
    Generation,
}

impl Field {
    const ALL: [(&'static str, Field); 15] = [
        ("kind", Field::Kind),
        ("status", Field::Status),
        ("service_ns", Field::ServiceNs),
        ("response_ns", Field::ResponseNs),
        ("op_id", Field::OpId),
        ("client", Field::Client),
        ("lateness_ns", Field::LatenessNs),
        ("bytes", Field::Bytes),
        ("path", Field::Path),
        ("iteration", Field::Iteration),
        ("step", Field::Step),
        ("granted", Field::Granted),
        ("create_action", Field::CreateAction),
        ("file_id", Field::FileId),
        ("generation", Field::Generation),
    ];
    pub const DEFAULT: [Field; 4] =
        [Field::Kind, Field::Status, Field::ServiceNs, Field::ResponseNs];

    pub fn named(word: &str) -> Option<Field> {
        Field::ALL.iter().find(|(name, _)| *name == word).map(|(_, field)| *field)
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        Field::ALL.iter().map(|(name, _)| *name)
    }
}

/// The outcome of an operation, as hooks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::script) enum CompletionOutcome {
    Status(StatusKey),
    Skipped,
    Cut,
}

impl CompletionOutcome {
    pub fn of(status: &CompletionStatus) -> CompletionOutcome {
        match status {
            CompletionStatus::Succeeded(status) => (*status).into(),
            CompletionStatus::Failed(failure) => CompletionOutcome::Status(StatusKey::of(failure)),
            CompletionStatus::Skipped { .. } => CompletionOutcome::Skipped,
            CompletionStatus::Cut => CompletionOutcome::Cut,
        }
    }

    /// Returns the names and the outcomes that are not an NT status.
    pub fn others() -> impl Iterator<Item = (&'static str, CompletionOutcome)> {
        let failures = StatusKey::other_names().filter_map(|name| {
            Some((name, CompletionOutcome::Status(StatusKey::from_name(name)?)))
        });
        failures.chain([("SKIPPED", CompletionOutcome::Skipped), ("CUT", CompletionOutcome::Cut)])
    }

    /// Returns the name that the summary uses.
    pub fn name(self) -> String {
        match self {
            CompletionOutcome::Status(key) => key.name(),
            CompletionOutcome::Skipped => "SKIPPED".into(),
            CompletionOutcome::Cut => "CUT".into(),
        }
    }

    /// Returns whether the operation was sent, and so has times.
    pub fn was_sent(self) -> bool {
        !matches!(self, CompletionOutcome::Skipped | CompletionOutcome::Cut)
    }
}

impl From<NtStatus> for CompletionOutcome {
    fn from(status: NtStatus) -> CompletionOutcome {
        CompletionOutcome::Status(StatusKey::Status(status))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::script) enum StatusFilter {
    /// An outcome that the operation expected.
    Ok,
    Failed,
    Is(CompletionOutcome),
}

/// A filter as the script wrote it. A part that is omitted lets everything through, with two
/// exceptions: without phases, only recorded phases match, and without statuses, only operations
/// that were sent.
#[derive(Debug, Default)]
pub(in crate::script) struct FilterSpec {
    /// `file:line` of the call.
    pub line: String,
    pub ops: Option<Vec<OperationType>>,
    pub workloads: Option<Vec<String>>,
    pub phases: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
    pub steps: Option<Vec<String>>,
    pub statuses: Option<Vec<StatusFilter>>,
}

/// A filter compiled to the indexes of the run.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// One bit for each type of operation.
    ops: u32,
    /// Whether each slot of the layout matches: phases, setup, teardown.
    slots: Vec<bool>,
    /// Whether each workload matches, the run-wide client last.
    workloads: Option<Vec<bool>>,
    statuses: Option<Vec<StatusFilter>>,
    /// The names of steps, of which an operation belongs to one, be it the outer step.
    steps: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
}

impl FilterSpec {
    /// Checks that the names in the filter exist. `phases` are those that the script declared; it
    /// is empty if the script declared none.
    pub fn check<'a>(
        &self,
        workloads: impl Iterator<Item = &'a str>,
        phases: &[&str],
    ) -> Result<(), String> {
        let at = |problem: String| match self.line.as_str() {
            "" => format!("bench.on_complete: {problem}"),
            line => format!("{line}: bench.on_complete: {problem}"),
        };
        let whole = phases.is_empty().then_some(WHOLE_PHASE);
        let phases = phases.iter().copied().chain(whole).chain(["setup", "teardown"]);
        for (what, named, known) in [
            ("workload", &self.workloads, workloads.collect::<Vec<&str>>()),
            ("phase", &self.phases, phases.collect()),
        ] {
            for name in named.iter().flatten() {
                if !known.contains(&name.as_str()) {
                    return Err(at(unknown(what, name, known.into_iter())));
                }
            }
        }
        Ok(())
    }

    /// Replaces the names by the indexes of the run.
    pub(super) fn compile(&self, layout: &Layout) -> Filter {
        let phases = layout.phases();
        let mut slots = vec![false; phases.len() + 2];
        match &self.phases {
            None => slots.iter_mut().zip(phases).for_each(|(slot, phase)| *slot = phase.record),
            Some(names) => {
                for name in names {
                    let sections = ["setup", "teardown"];
                    let mut known = phases.iter().map(|phase| phase.name.as_str()).chain(sections);
                    if let Some(at) = known.position(|known| known == name) {
                        slots[at] = true;
                    }
                }
            }
        }
        let header = &layout.header;
        Filter {
            ops: match &self.ops {
                Some(ops) => ops.iter().fold(0, |bits, op| bits | 1 << (*op as u32)),
                None => u32::MAX,
            },
            slots,
            workloads: self.workloads.as_ref().map(|names| {
                let chosen = |name: &str| names.iter().any(|wanted| wanted == name);
                let workloads = header.workloads.iter().map(|workload| chosen(&workload.name));
                workloads.chain([false]).collect()
            }),
            statuses: self.statuses.clone(),
            steps: self.steps.clone(),
            paths: self.paths.clone(),
        }
    }

    /// Returns whether the filter matches operations that were never sent, and so have no times.
    pub fn takes_unsent(&self) -> bool {
        let unsent = |status: &StatusFilter| matches!(status, StatusFilter::Is(outcome) if !outcome.was_sent());
        self.statuses.iter().flatten().any(unsent)
    }
}

impl Filter {
    /// Returns whether the event matches. `slot` and `workload` are the event's in the layout.
    pub fn matches(
        &self,
        event: &CompletionEvent,
        (slot, workload): (usize, usize),
        path: Option<&SharePath>,
    ) -> bool {
        self.slots[slot]
            && self.ops & (1 << (event.operation_type() as u32)) != 0
            && self.workloads.as_ref().is_none_or(|workloads| workloads[workload])
            && self.takes_status(&event.execution.status)
            && self.steps.as_ref().is_none_or(|steps| {
                let mut own = event.operation.step.iter().flat_map(|step| step.names());
                own.any(|name| steps.iter().any(|wanted| wanted == name))
            })
            && self.paths.as_ref().is_none_or(|patterns| {
                path.is_some_and(|path| patterns.iter().any(|pattern| fits(pattern, path.as_str())))
            })
    }

    fn takes_status(&self, status: &CompletionStatus) -> bool {
        let sent = matches!(status, CompletionStatus::Succeeded(_) | CompletionStatus::Failed(_));
        match &self.statuses {
            None => sent,
            Some(wanted) => wanted.iter().any(|wanted| match wanted {
                StatusFilter::Ok => matches!(status, CompletionStatus::Succeeded(_)),
                StatusFilter::Failed => matches!(status, CompletionStatus::Failed(_)),
                StatusFilter::Is(outcome) => CompletionOutcome::of(status) == *outcome,
            }),
        }
    }
}

/// Returns whether the pattern matches the path: `*` stands for any run of characters, including
/// `/`, and `?` for one character. Case matters, as in the script. The time is at most linear in
/// the pattern for each character of the path.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.chars(), path.chars());
    // The pattern after the last star, and the position in the path where it is being tried.
    let mut star = None;
    while let Some(character) = path.clone().next() {
        match pattern.clone().next() {
            Some('*') => {
                pattern.next();
                star = Some((pattern.clone(), path.clone()));
            }
            Some(wanted) if wanted == '?' || wanted == character => {
                pattern.next();
                path.next();
            }
            _ => match &mut star {
                Some((after, from)) => {
                    from.next();
                    (pattern, path) = (after.clone(), from.clone());
                }
                None => return false,
            },
        }
    }
    pattern.all(|character| character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_crosses_folders_and_a_question_mark_is_one_character() {
        for (pattern, path, expected) in [
            ("*", "team/u0/a.docx", true),
            ("*.docx", "team/u0/a.docx", true),
            ("team/*/a.*", "team/u0/a.docx", true),
            ("team/u?/*", "team/u0/a.docx", true),
            ("team/u?/*", "team/u10/a.docx", false),
            ("*.tmp", "a.tmp.docx", false),
            ("a*b*c", "a__b__b_c", true),
            ("", "a", false),
            ("ä?", "äö", true),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern:?} on {path:?}");
        }
        assert!(!fits(&"*a".repeat(2_000), &"a".repeat(255)), "and it is not slow");
    }
}
