//! What the engine knows of one client.

use std::collections::VecDeque;

use super::timeline::{PhaseSpan, Stage};
use crate::ir::event::{IterationEvent, IterationOutcome};
use crate::ir::{Due, Operation, Section};

/// One client's lookahead, its operation in flight, and its current iteration.
#[derive(Debug)]
pub struct ClientQueue {
    pub client_idx: u32,
    pub pending: VecDeque<Operation>,
    pub in_flight_op: Option<InFlight>,
    pub state: ClientState,
    /// A batch was asked for and has not come.
    pub pulling: bool,
    /// The section has no operation beyond those pending.
    pub section_ended: bool,
    /// Nothing becomes eligible before this: the previous completion, the
    /// start of the section, or the end of a reconnect.
    pub ready_ns: u64,
    iteration: Option<IterationEvent>,
}

/// What a client is up to. Exactly one of the engine's structures holds a
/// client that is `Scheduled` or `Blocked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Has nothing to issue now.
    Idle,
    /// In the heap until its next operation is eligible.
    Scheduled,
    /// Eligible, waits for a permit.
    Blocked,
    InFlight,
    /// Its connection is being made again.
    Held,
    /// The engine closes what it left open.
    Closing,
    /// Finished the stage.
    Done,
    /// Lost its connection for good.
    Gone,
}

/// The operation a client has in flight, with its place in time.
#[derive(Debug)]
pub struct InFlight {
    pub operation: Operation,
    pub due_ns: u64,
    pub eligible_ns: u64,
    /// When it was handed to the client's task.
    pub handed_ns: u64,
    /// When it times out.
    pub deadline_ns: u64,
}

impl InFlight {
    /// The phase it counts for, by when it was due if it has a time of its own,
    /// else by when it was issued. The last one also takes what comes after it.
    pub fn phase(
        &self,
        phases: &[PhaseSpan],
        stage: Stage,
        origin_ns: u64,
        issued_ns: u64,
    ) -> Option<u16> {
        if stage != Stage::Measure {
            return None;
        }
        let at_ns = match self.operation.due {
            Due::At(_) => self.due_ns,
            Due::After(_) => issued_ns,
        };
        let at_ns = at_ns.saturating_sub(origin_ns);
        let after = phases.partition_point(|phase| phase.start_ns <= at_ns);
        u16::try_from(after.saturating_sub(1)).ok()
    }
}

impl ClientQueue {
    pub fn new(client_idx: u32) -> ClientQueue {
        ClientQueue {
            client_idx,
            pending: VecDeque::new(),
            in_flight_op: None,
            state: ClientState::Done,
            pulling: false,
            section_ended: false,
            ready_ns: 0,
            iteration: None,
        }
    }

    /// Begins a section whose time starts at `origin_ns`.
    pub fn begin(&mut self, origin_ns: u64) {
        self.ready_ns = origin_ns;
        self.state = ClientState::Idle;
    }

    /// When the next operation is due and eligible, if one is at hand.
    pub fn next_times(&self, origin_ns: u64) -> Option<(u64, u64)> {
        Some(match self.pending.front()?.due {
            Due::At(ns) => {
                let due_ns = origin_ns.saturating_add(ns);
                (due_ns, due_ns.max(self.ready_ns))
            }
            Due::After(ns) => {
                let due_ns = self.ready_ns.saturating_add(ns);
                (due_ns, due_ns)
            }
        })
    }

    /// Nothing pending, nothing to come, nothing in flight.
    pub fn is_exhausted(&self) -> bool {
        self.section_ended && self.pending.is_empty() && self.in_flight_op.is_none()
    }

    /// An operation was handed out: its iteration begins if it is a new one.
    pub fn note_issue(&mut self, due_ns: u64, phase: Option<u16>) {
        let Some(in_flight) = &self.in_flight_op else { return };
        if in_flight.operation.section != Section::Iteration || self.iteration.is_some() {
            return;
        }
        self.iteration = Some(IterationEvent {
            client_idx: self.client_idx,
            iteration: in_flight.operation.iteration,
            phase,
            due_ns,
            started_ns: u64::MAX,
            ended_ns: 0,
            outcome: IterationOutcome::Finished,
        });
    }

    pub fn note_completion(&mut self, issued_ns: u64, completed_ns: u64) {
        if let Some(iteration) = &mut self.iteration {
            iteration.started_ns = iteration.started_ns.min(issued_ns);
            iteration.ended_ns = completed_ns;
        }
    }

    /// The current iteration, once it is known that no operation of it is left.
    pub fn take_finished_iteration(&mut self) -> Option<IterationEvent> {
        let current = self.iteration.as_ref()?.iteration;
        let over = self.in_flight_op.is_none()
            && match self.pending.front() {
                Some(next) => next.iteration != current,
                None => self.section_ended,
            };
        if over { self.iteration.take() } else { None }
    }

    /// The operation in flight is given up at `now_ns`, and its iteration with it.
    pub fn note_abandoned(&mut self, handed_ns: u64, now_ns: u64) {
        self.note_completion(handed_ns, now_ns);
        if let Some(iteration) = &mut self.iteration {
            iteration.outcome = IterationOutcome::Cut;
        }
    }

    /// Discards the lookahead; the iteration it belonged to counts as cut
    /// unless its last operation is known to have been issued.
    pub fn cut(&mut self) {
        if let Some(iteration) = &mut self.iteration {
            let whole = match self.pending.front() {
                Some(next) => next.iteration != iteration.iteration,
                None => self.section_ended,
            };
            if !whole {
                iteration.outcome = IterationOutcome::Cut;
            }
        }
        self.pending.clear();
        self.section_ended = true;
    }
}
