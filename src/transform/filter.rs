//! The stage `filter`: keeps the operations that meet conditions.

use std::rc::Rc;

use super::globs::Globs;
use super::nominal_time::NominalTime;
use super::open_handles::{HandleUse, OpenHandles, handle_use};
use super::per_client::{OperationChange, per_client};
use super::selected_clients::selected_clients;
use super::stream::{OperationStream, StagePlace, StreamStage, TransformError};
use crate::ir::{Operation, OperationType, Section};

/// Keeps the operations that meet every condition given.
///
/// An operation on a handle has the path of the handle's open. If the open is dropped, so is all
/// that is done on its handle; if it is kept, so is its close. The time of an operation that
/// remains does not change, except that a close before `from_ns` or after `to_ns` moves to that time.
#[derive(Clone, Debug, Default)]
pub struct FilterStage {
    pub operations: Option<Vec<OperationType>>,
    /// A rename has the path of its source.
    pub path: Option<Globs>,
    pub clients: Option<Globs>,
    /// The nominal time from which operations are kept, in nanoseconds from time zero. It holds
    /// for iterations alone, and so does `to_ns`.
    pub from_ns: Option<u64>,
    /// The nominal time from which operations are dropped.
    pub to_ns: Option<u64>,
}

impl FilterStage {
    /// Returns whether it has no condition.
    pub fn is_empty(&self) -> bool {
        self.operations.is_none()
            && self.path.is_none()
            && self.clients.is_none()
            && self.from_ns.is_none()
            && self.to_ns.is_none()
    }
}

impl StreamStage for FilterStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let input = match &self.clients {
            None => input,
            Some(clients) => {
                let header = &input.facts().header;
                let first = header.client_name(0);
                let selected = selected_clients(Rc::clone(&input), |name| clients.matches(name));
                if selected.facts().header.workload_clients() == 0 {
                    return Err(place.refuse(format!(
                        "no client matches {clients}; the first is named {first:?}"
                    )));
                }
                selected
            }
        };
        let mut facts = input.facts().clone();
        facts.length_ns = self.moved_into_window(facts.length_ns);
        let filter = Rc::new(self.clone());
        Ok(per_client(input, facts, place, move |_| {
            Box::new(ClientFilter {
                filter: Rc::clone(&filter),
                section: Section::Setup,
                handles: OpenHandles::default(),
                time: NominalTime::default(),
                past_end: false,
            })
        }))
    }
}

impl FilterStage {
    /// Returns the time nearest to `nominal_ns` that is not before `from_ns` nor after `to_ns`.
    fn moved_into_window(&self, nominal_ns: u64) -> u64 {
        nominal_ns.max(self.from_ns.unwrap_or(0)).min(self.to_ns.unwrap_or(u64::MAX))
    }
}

struct ClientFilter {
    filter: Rc<FilterStage>,
    section: Section,
    /// The open handles whose open was kept.
    handles: OpenHandles<()>,
    time: NominalTime,
    /// Whether the nominal time is past the last that is kept.
    past_end: bool,
}

impl ClientFilter {
    fn meets(&self, operation: &Operation, nominal_ns: u64) -> bool {
        let filter = &self.filter;
        let in_time = self.section != Section::Iteration
            || (filter.from_ns.is_none_or(|from_ns| from_ns <= nominal_ns)
                && filter.to_ns.is_none_or(|to_ns| nominal_ns < to_ns));
        let of_type = filter.operations.as_ref();
        in_time && of_type.is_none_or(|types| types.contains(&operation.operation_type()))
    }

    fn keeps(&mut self, operation: &Operation, nominal_ns: u64) -> bool {
        let path = |operation: &Operation| match (&self.filter.path, operation.kind.path()) {
            (Some(globs), Some(path)) => globs.matches(path.as_str()),
            _ => true,
        };
        match handle_use(operation) {
            HandleUse::Open(handle) => {
                let kept = self.meets(operation, nominal_ns) && path(operation);
                if kept {
                    self.handles.open(handle, ());
                }
                kept
            }
            HandleUse::On(handle) => {
                self.handles.get(handle).is_some() && self.meets(operation, nominal_ns)
            }
            HandleUse::Close(handle) => self.handles.close(handle).is_some(),
            HandleUse::None => self.meets(operation, nominal_ns) && path(operation),
        }
    }
}

impl OperationChange for ClientFilter {
    fn enter_section(&mut self, section: Section) {
        self.section = section;
        self.time = NominalTime::default();
        self.past_end = false;
    }

    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        let nominal_ns = self.time.see(operation);
        self.past_end = self.section == Section::Iteration
            && self.filter.to_ns.is_some_and(|to_ns| to_ns <= nominal_ns);
        let kept = self.keeps(operation, nominal_ns);
        // Only a close is kept although it is not in the window.
        let moved_ns = self.filter.moved_into_window(nominal_ns);
        if !kept {
            self.time.skip(operation);
        } else if self.section == Section::Iteration && moved_ns != nominal_ns {
            self.time.keep_at(moved_ns, operation);
        } else {
            self.time.keep(operation);
        }
        Ok(kept)
    }

    fn drops_the_rest(&self) -> bool {
        self.past_end && self.handles.is_empty()
    }
}
