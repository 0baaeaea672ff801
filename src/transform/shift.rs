//! The stage `shift`: a stream that begins earlier or later.

use std::rc::Rc;

use super::globs::Globs;
use super::per_client::{OperationChange, per_client};
use super::stream::{OperationStream, StagePlace, StreamStage, TransformError};
use crate::ir::{Due, Operation, Section};

/// Moves the iterations in time. If they become later, the last phase is longer by as much.
#[derive(Clone, Debug)]
pub struct ShiftStage {
    /// The distance in nanoseconds. A negative one makes them earlier.
    pub by_ns: i64,
    /// The clients whose iterations are moved. None: all.
    pub clients: Option<Globs>,
}

impl StreamStage for ShiftStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let mut facts = input.facts().clone();
        let header = facts.header.clone();
        if let Some(clients) = &self.clients {
            let named = header.active_clients().any(|it| clients.matches(&header.client_name(it)));
            if !named {
                return Err(place.refuse(format!("no client matches {clients}")));
            }
        }
        match u64::try_from(self.by_ns) {
            Ok(by_ns) => facts.lengthen(by_ns),
            // The clients that stay may be the last.
            Err(_) if self.clients.is_some() => {}
            Err(_) => facts.length_ns = facts.length_ns.saturating_add_signed(self.by_ns),
        }
        let ShiftStage { by_ns, clients } = self.clone();
        Ok(per_client(input, facts, place, move |client| {
            let moves = clients.as_ref().is_none_or(|it| it.matches(&header.client_name(client)));
            Box::new(ClientShift::new(if moves { by_ns } else { 0 }))
        }))
    }
}

/// The shift of one client.
pub(super) struct ClientShift {
    by_ns: i64,
    section: Section,
    /// Whether the next operation is the first of the iterations.
    is_first: bool,
}

impl ClientShift {
    pub fn new(by_ns: i64) -> ClientShift {
        ClientShift { by_ns, section: Section::Setup, is_first: true }
    }
}

impl OperationChange for ClientShift {
    fn enter_section(&mut self, section: Section) {
        self.section = section;
    }

    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        if self.section != Section::Iteration || self.by_ns == 0 {
            return Ok(true);
        }
        let is_first = std::mem::take(&mut self.is_first);
        let ns = match &mut operation.due {
            Due::At(at_ns) | Due::Arrival { at_ns, .. } => at_ns,
            Due::After(after_ns) if is_first => after_ns,
            Due::After(_) => return Ok(true),
        };
        let Some(moved_ns) = ns.checked_add_signed(self.by_ns) else {
            let (due_s, id) = (*ns as f64 / 1e9, operation.op_id());
            return Err(match operation.due {
                Due::After(_) => format!(
                    "operation {id} would be before time zero: it is due {due_s} s after it at the earliest; shift by less"
                ),
                Due::At(_) | Due::Arrival { .. } => format!(
                    "operation {id} would be before time zero: it is due at {due_s} s; shift by less, or drop what is earlier with bench.filter {{ from = … }}"
                ),
            });
        };
        *ns = moved_ns;
        Ok(true)
    }
}
