//! The state that the engine keeps of one client.

use std::rc::Rc;

use super::generation::{FirstOperations, Moving, Upcoming};
use super::lookahead::Lookahead;
use crate::ir::event::{
    FIRST_GENERATION, HeldUp, IterationEvent, IterationOutcome, Reopened, Unissued,
};
use crate::ir::{
    CompletionEvent, CompletionStatus, Execution, Operation, OperationTimes, Readiness, Section,
};
use crate::scheduler::timeline::{PhaseSpan, Stage};

/// One client's lookahead, its operation in flight, and its current iteration.
#[derive(Debug, Default)]
pub struct ClientQueue {
    pub client_idx: u32,
    /// The generation of the stream that its operations belong to.
    pub generation: u32,
    /// The section that it is in. While the others iterate, it may be in the setup with which it
    /// joins or in the teardown before it leaves.
    pub section: Section,
    /// The time from which the `At` times of its section count.
    pub origin_ns: u64,
    pub pending: Lookahead,
    pub in_flight_op: Option<InFlight>,
    pub state: ClientState,
    /// Whether a batch was requested and has not arrived.
    pub pulling: bool,
    /// Whether the section has no operations beyond the pending ones.
    pub section_ended: bool,
    /// Whether the section ends because the stream broke off.
    pub broke_off: bool,
    pub readiness: Readiness,
    /// The time since which the client has had no connection, while the shard measures.
    pub lost_ns: Option<u64>,
    /// The time up to which the lack of a connection has been reported.
    pub disconnected_until_ns: u64,
    /// The time at which the next operation was fetched, if the client was idle until then.
    pub arrived_ns: Option<u64>,
    /// The time since which the client has been `AwaitingPermit`.
    pub waiting_since_ns: u64,
    /// Its first operations of the generation that is prepared. This is boxed, like the next two,
    /// because there are many clients and few reloads.
    pub(super) first: Option<Box<FirstOperations>>,
    /// The move, or the end, that comes at its boundary.
    pub(super) upcoming: Option<Box<Upcoming>>,
    /// The move that waits until its handles are closed.
    pub(super) moving: Option<Box<Moving>>,
    /// Whether it has not yet moved, joined or left with the generation that arrives.
    pub(super) unsettled: bool,
    /// The time at which it began to iterate in its generation, if that is not the first one.
    pub(super) moved_ns: u64,
    /// Whether it is `Gone` because it left, or was never there, so that it may join.
    pub has_left: bool,
    /// Whether its setup is that with which it joins.
    pub joins: bool,
    /// The handles that were closed, and those whose close failed, when it began to leave.
    pub closed_leaving: (u32, u32),
    pub(super) iteration: Option<IterationEvent>,
    /// Whether an operation of the iteration was sent.
    iteration_sent: bool,
}

/// The state of a client. A client that is `Scheduled` or `AwaitingPermit` is in exactly one
/// of the engine's queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientState {
    /// A client that has nothing to issue now.
    Idle,
    /// A client in the schedule, until its next operation is eligible or is tried again.
    Scheduled,
    /// A client with an eligible operation that waits for a permit.
    AwaitingPermit,
    /// A client whose operation waits for the end of a break.
    Blocked,
    InFlight,
    /// A client that waits until its connection is made again.
    Disconnected,
    /// A client whose first connection is being made while the others iterate.
    Joining,
    /// A client whose handles that were left open are being closed.
    Closing,
    /// A client that has finished the stage, or has not begun one.
    #[default]
    Done,
    /// A client that lost its connection for good, or has left.
    Gone,
}

/// The operation that a client has in flight, with its times. It stays in flight while it
/// waits for the end of a break, for a connection, or to be tried again.
#[derive(Debug)]
pub struct InFlight {
    /// The operation, shared with the client's task until it completes.
    pub operation: Rc<Operation>,
    pub due_ns: u64,
    pub eligible_ns: u64,
    /// The time at which it was last handed to the client's task.
    pub handed_ns: u64,
    /// The time at which the current attempt times out.
    pub deadline_ns: u64,
    pub retries: u32,
    pub held_up: HeldUp,
    /// The time it waited for breaks, for a connection or for its handle to be opened again,
    /// before it was issued.
    pub blocked_ns: u64,
    /// The time of the first attempt, once that has failed.
    pub issued_ns: Option<u64>,
    /// The previous attempt, which failed.
    pub failed: Option<Box<Attempt>>,
    /// The reopening of its handle before an attempt, if there was one.
    pub reopened: Option<Reopened>,
    pub generation: u32,
}

/// One finished attempt at an operation.
#[derive(Debug)]
pub struct Attempt {
    pub issued_ns: u64,
    pub completed_ns: u64,
    pub execution: Execution,
}

impl InFlight {
    /// Returns the phase that the operation counts for: the phase in which it was due if it
    /// has a time of its own, else the phase in which it was issued.
    pub fn phase(
        &self,
        phases: &[PhaseSpan],
        stage: Stage,
        origin_ns: u64,
        issued_ns: u64,
    ) -> Option<u16> {
        if self.operation.section != Section::Iteration {
            return None;
        }
        let at_ns = match self.operation.due.at_ns() {
            Some(_) => self.due_ns,
            None => issued_ns,
        };
        PhaseSpan::at(phases, stage, origin_ns, at_ns)
    }

    /// Moves `eligible_ns` to `ended_ns`, the end of what kept the operation from being sent.
    /// The wait counts as the server's.
    pub fn hold_until(&mut self, ended_ns: u64) {
        if self.issued_ns.is_none() && self.eligible_ns < ended_ns {
            self.blocked_ns += ended_ns - self.eligible_ns;
            self.eligible_ns = ended_ns;
            self.held_up.by_generation_ns = 0;
        }
    }

    /// Adds the time that it took to open the handle again. It counts as the server's.
    pub fn add_reopening(&mut self, reopened: &Reopened) {
        if self.issued_ns.is_none() {
            self.eligible_ns = self.eligible_ns.saturating_add(reopened.took_ns);
            self.blocked_ns = self.blocked_ns.saturating_add(reopened.took_ns);
        }
        self.reopened = Some(*reopened);
    }

    /// Records the failed attempt. The operation then waits to be tried again.
    pub fn tried(mut self, failed: Attempt) -> InFlight {
        self.issued_ns.get_or_insert(failed.issued_ns);
        self.failed = Some(Box::new(failed));
        self
    }

    /// Returns the operation's only completion, after its `last` attempt.
    pub fn complete(self, last: Attempt, phase: Option<u16>) -> CompletionEvent {
        CompletionEvent {
            operation: Rc::unwrap_or_clone(self.operation),
            execution: Execution { reopened: self.reopened, ..last.execution },
            times: OperationTimes {
                due_ns: self.due_ns,
                eligible_ns: self.eligible_ns,
                issued_ns: self.issued_ns.unwrap_or(last.issued_ns),
                attempted_ns: last.issued_ns,
                completed_ns: last.completed_ns,
                blocked_ns: self.blocked_ns,
            },
            held_up: self.held_up,
            phase,
            retries: self.retries,
            generation: self.generation,
        }
    }
}

impl ClientQueue {
    pub fn new(client_idx: u32) -> ClientQueue {
        ClientQueue { client_idx, generation: FIRST_GENERATION, ..ClientQueue::default() }
    }

    /// Begins a section whose time starts at `origin_ns`.
    pub fn begin(&mut self, origin_ns: u64) {
        self.readiness = Readiness::starting_at(origin_ns);
        self.origin_ns = origin_ns;
        (self.state, self.broke_off, self.arrived_ns) = (ClientState::Idle, false, None);
    }

    /// Returns when the next operation is due and when it is eligible, if one is pending.
    pub fn next_times(&self) -> Option<(u64, u64)> {
        Some(self.readiness.times(self.pending.front()?.due, self.origin_ns))
    }

    /// Returns whether it leaves the run while the others go on.
    pub fn leaves(&self) -> bool {
        self.section == Section::Teardown || matches!(self.moving.as_deref(), Some(Moving::Away))
    }

    /// Returns whether it is between two iterations, or before its first one.
    pub fn is_at_boundary(&self) -> bool {
        self.section == Section::Iteration
            && self.in_flight_op.is_none()
            && self.iteration.is_none()
            && matches!(
                self.state,
                ClientState::Idle
                    | ClientState::Scheduled
                    | ClientState::AwaitingPermit
                    | ClientState::Done
            )
    }

    /// Returns whether the client's part in the stage has ended, except for closing its handles.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, ClientState::Done | ClientState::Gone | ClientState::Closing)
    }

    /// Returns whether an operation of the client waits to be issued.
    pub fn waits(&self) -> bool {
        use ClientState::{AwaitingPermit, Blocked, Scheduled};
        matches!(self.state, Scheduled | AwaitingPermit | Blocked)
    }

    /// Returns whether the operation issued next may have to wait for another client.
    pub fn next_waits_for_others(&self) -> bool {
        let again = self.in_flight_op.as_ref().map(|in_flight| &*in_flight.operation);
        again.or(self.pending.front()).is_some_and(|next| next.kind.waits_for_others())
    }

    /// Takes the next pending operation, if there is one, to issue it at `now_ns`.
    pub fn take_next(&mut self, now_ns: u64) -> Option<InFlight> {
        let (due_ns, eligible_ns) = self.next_times()?;
        let operation = self.pending.pop_front()?;
        self.readiness.issued();
        let by_generation_ns =
            self.arrived_ns.take().map_or(0, |arrived_ns| arrived_ns.saturating_sub(eligible_ns));
        Some(InFlight {
            operation: Rc::new(operation),
            due_ns,
            eligible_ns,
            handed_ns: now_ns,
            deadline_ns: u64::MAX,
            retries: 0,
            held_up: HeldUp { by_generation_ns, by_limit_ns: 0 },
            blocked_ns: 0,
            issued_ns: None,
            failed: None,
            reopened: None,
            generation: self.generation,
        })
    }

    /// Returns whether nothing is pending, nothing is to come and nothing is in flight.
    pub fn is_exhausted(&self) -> bool {
        self.section_ended && self.pending.is_empty() && self.in_flight_op.is_none()
    }

    /// Records that the operation in flight was handed out. This begins its iteration if that
    /// is new.
    pub fn note_issue(&mut self, phase: Option<u16>) {
        let Some(in_flight) = &self.in_flight_op else { return };
        if in_flight.operation.section != Section::Iteration || self.iteration.is_some() {
            return;
        }
        self.iteration_sent = false;
        self.iteration = Some(IterationEvent {
            client_idx: self.client_idx,
            iteration: in_flight.operation.iteration,
            phase,
            due_ns: in_flight.due_ns,
            eligible_ns: in_flight.eligible_ns,
            started_ns: u64::MAX,
            ended_ns: 0,
            outcome: IterationOutcome::Finished,
            generation: self.generation,
        });
    }

    /// Records that the operation was not sent after all. An iteration that it began is withdrawn.
    pub fn withdraw_issue(&mut self) {
        let tried = self.in_flight_op.as_ref().is_some_and(|op| op.issued_ns.is_some());
        if !tried && self.iteration.as_ref().is_some_and(|begun| begun.started_ns == u64::MAX) {
            self.iteration = None;
        }
    }

    pub fn note_completion(&mut self, completion: &CompletionEvent) {
        self.iteration_sent |=
            !matches!(completion.execution.status, CompletionStatus::Skipped { .. });
        let Some(iteration) = &mut self.iteration else { return };
        if iteration.started_ns == u64::MAX {
            // It was not known at the issue: a handle may have been opened again first.
            iteration.eligible_ns = completion.times.eligible_ns;
        }
        iteration.started_ns = iteration.started_ns.min(completion.times.issued_ns);
        iteration.ended_ns = completion.times.completed_ns;
    }

    /// Takes the current iteration, once it is certain that none of its operations is left.
    pub fn take_finished_iteration(&mut self) -> Option<IterationEvent> {
        let current = self.iteration.as_ref()?.iteration;
        let over = self.in_flight_op.is_none()
            && match self.pending.front() {
                Some(next) => next.iteration != current,
                None => self.section_ended,
            };
        if over && self.broke_off && self.pending.is_empty() {
            self.note_abandoned();
        }
        let mut ended = self.iteration.take_if(|_| over)?;
        if ended.outcome == IterationOutcome::Finished && !self.iteration_sent {
            ended.outcome = IterationOutcome::Skipped;
        }
        Some(ended)
    }

    /// Marks the current iteration as cut: it will not come to its end.
    pub fn note_abandoned(&mut self) {
        if let Some(iteration) = &mut self.iteration {
            iteration.outcome = IterationOutcome::Cut;
        }
    }

    /// Returns whether operations that wait here are due at times of their own, such as arrivals.
    pub fn has_own_times(&self) -> bool {
        let withheld = self.in_flight_op.iter().map(|in_flight| &*in_flight.operation);
        self.pending.iter().chain(withheld).any(|operation| operation.due.at_ns().is_some())
    }

    /// Counts the operations that were due before a cut at `cut_ns` and will not be issued.
    pub fn count_unissued(&self, origin_ns: u64, cut_ns: u64, into: &mut Unissued) {
        if self.section != Section::Iteration || self.moving.is_some() {
            return;
        }
        let due = |operation: &Operation| self.readiness.times(operation.due, origin_ns).0;
        let timed = |from: usize, before_ns: u64| {
            let pending = self.pending.iter().skip(from);
            let timed = pending.filter(|operation| operation.due.at_ns().is_some()).map(due);
            timed.filter(move |due_ns| *due_ns < before_ns)
        };
        // An operation that follows the previous one can be due only once that one has ended.
        let eligible_ns = self.next_times().map_or(u64::MAX, |(_, eligible)| eligible);
        let next = eligible_ns < cut_ns;
        let starving =
            self.pulling && self.pending.is_empty() && self.readiness.ready_ns() < cut_ns;
        let late_since = |since_ns: u64, into: &mut Unissued| {
            into.late_ns = into.late_ns.max(cut_ns.saturating_sub(since_ns));
        };
        // This operation was handed out before and not sent, because of a break or a lost
        // connection. It may not have been issued since.
        let withheld = self.state == ClientState::Disconnected;
        let again = self.in_flight_op.as_ref();
        let again = again.filter(|op| (self.waits() || withheld) && op.failed.is_none());
        if let Some(again) = again {
            match self.state {
                ClientState::Blocked | ClientState::Disconnected => {
                    self.count_withheld(cut_ns, into)
                }
                _ if again.eligible_ns >= cut_ns => self.count_withheld(cut_ns, into),
                ClientState::AwaitingPermit => {
                    late_since(again.eligible_ns, into);
                    into.by_limit += 1;
                }
                _ => {
                    late_since(again.eligible_ns, into);
                    into.by_driver += 1;
                }
            }
        }
        // The number of operations behind a busy client, and the due time of the oldest.
        let (behind, since_ns) = match self.state {
            ClientState::Idle if starving => {
                late_since(self.readiness.ready_ns(), into);
                into.by_generation += 1;
                return;
            }
            ClientState::AwaitingPermit if self.in_flight_op.is_none() => {
                late_since(eligible_ns, into);
                into.by_limit += (timed(0, cut_ns).count() as u64).max(u64::from(next));
                return;
            }
            ClientState::Scheduled if self.in_flight_op.is_none() && next => {
                late_since(eligible_ns, into);
                let since = timed(1, cut_ns).filter(|due_ns| *due_ns >= eligible_ns);
                into.by_driver += 1 + since.count() as u64;
                (timed(1, eligible_ns).count(), timed(1, eligible_ns).min())
            }
            _ if self.is_finished() || self.state == ClientState::Idle => return,
            _ => (timed(0, cut_ns).count(), timed(0, cut_ns).min()),
        };
        let (mut behind, mut since_ns) = (behind as u64, since_ns);
        // Without a connection, an operation that follows the previous one is due all the same.
        let untimed = self.pending.front().filter(|next| next.due.at_ns().is_none());
        if let Some(next) = untimed.filter(|_| withheld && self.in_flight_op.is_none())
            && due(next) < cut_ns
        {
            behind += 1;
            since_ns = since_ns.into_iter().chain([due(next)]).min();
        }
        into.by_backlog += behind;
        let behind_ns = since_ns.map_or(0, |since_ns| cut_ns.saturating_sub(since_ns));
        into.backlog_ns = into.backlog_ns.max(behind_ns);
    }

    /// Counts the operation that waits for the end of a break or for a connection.
    pub fn count_withheld(&self, cut_ns: u64, into: &mut Unissued) {
        let withheld = self.in_flight_op.as_ref().filter(|op| op.failed.is_none());
        let withheld = withheld.filter(|op| op.operation.section == Section::Iteration);
        if let Some(withheld) = withheld.filter(|withheld| withheld.due_ns < cut_ns) {
            into.by_backlog += 1;
            into.backlog_ns = into.backlog_ns.max(cut_ns - withheld.due_ns);
        }
    }

    /// Discards the lookahead. The current iteration counts as cut, unless its last operation
    /// is known to have been issued.
    pub fn cut(&mut self) {
        if let Some(iteration) = &mut self.iteration {
            let whole = match self.pending.front() {
                Some(next) => next.iteration != iteration.iteration,
                None => self.section_ended && !self.broke_off,
            };
            if !whole {
                iteration.outcome = IterationOutcome::Cut;
            }
        }
        self.pending.clear();
        (self.section_ended, self.broke_off) = (true, false);
    }
}
