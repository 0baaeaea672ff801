//! The scheduler's decisions as a pure state machine: no clock, no I/O, no runtime.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use super::action::{Action, EngineError};
use super::client_queue::{Attempt, ClientQueue, ClientState, InFlight};
use super::config::EngineConfig;
use super::deadlines::Deadlines;
use super::generation::{ArrivalDelay, Arriving, Moving, Prepared};
use super::permit_queue::PermitQueue;
use crate::ir::{CompletionStatus, Event, Operation, Section};
use crate::scheduler::batch::{Batch, BatchRequest};
use crate::scheduler::permits::Permits;
use crate::scheduler::timeline::{PhaseSpan, Stage};

/// The engine of one shard: it decides when the operations of the shard's clients are issued.
///
/// The engine does nothing by itself. Its methods are of three kinds:
///
/// - Inputs report what happened: to a stage ([`enter`](Self::enter), [`cut`](Self::cut),
///   [`abandon`](Self::abandon)), to a client's queue ([`operations`](Self::operations)), to an
///   operation ([`complete`](Self::complete), [`blocked`](Self::blocked),
///   [`unblocked`](Self::unblocked), [`withheld`](Self::withheld)), to a connection
///   ([`joined`](Self::joined), [`resume`](Self::resume), [`lose`](Self::lose)), to a client's
///   handles ([`closed`](Self::closed)), to a break ([`break_ended`](Self::break_ended)) or to
///   the stream ([`prepare`](Self::prepare), [`begin`](Self::begin),
///   [`withdraw`](Self::withdraw)).
/// - Outputs: [`poll`](Self::poll) returns the next action,
///   [`drain_events`](Self::drain_events) returns what to report, and
///   [`next_wake_ns`](Self::next_wake_ns) the time at which to poll again.
/// - Queries, such as [`stage_done`](Self::stage_done), change nothing.
///
/// After its inputs the caller polls until there is no action, takes the events, and waits for
/// the next input or wake. All times are nanoseconds from the run's origin, and `now_ns` never
/// decreases. The caller answers each action: `Pull` with `operations`; `Close` with `closed`;
/// `Connect` with `joined` or `lose`;
/// `Issue` with exactly one of `complete`, `blocked` and `withheld`, unless the run is
/// abandoned before. For a client that does not get its connection back, it calls `lose`
/// instead.
pub struct Engine {
    pub(super) config: Arc<EngineConfig>,
    pub(super) permits: PermitQueue,
    pub(super) clients: Vec<ClientQueue>,
    pub(super) stage: Stage,
    pub(super) origin_ns: u64,
    pub(super) cut: bool,
    /// Whether the stream ended here because the bound on operations was reached.
    pub(super) at_bound: bool,
    /// The number of clients of the stage that are not done.
    pub(super) unfinished: usize,
    /// The time at which each scheduled client's operation is to be issued, with the client's slot.
    pub(super) schedule: BinaryHeap<Reverse<(u64, u32)>>,
    pub(super) deadlines: Deadlines,
    pub(super) wanted: VecDeque<Action>,
    pub(super) events: Vec<Event>,
    pub(super) last_seq: Vec<Option<u32>>,
    /// Whether the shard has reported the end of the stage. Its clients begin nothing more in it.
    pub(super) over: bool,
    /// The generation whose first operations are being made.
    pub(super) prepared: Option<Prepared>,
    /// The generation that clients move to.
    pub(super) arriving: Option<Arriving>,
    /// The number of clients that were cut because they did not move in time, until it was taken.
    pub(super) cut_late: u32,
    /// The delays of the generations after the first that clients may be in.
    pub(super) arrival_delays: Vec<ArrivalDelay>,
}

impl Engine {
    /// Creates an engine for `clients`, given by their numbers in the stream.
    pub fn new(
        config: Arc<EngineConfig>,
        permits: Arc<Permits>,
        shard: usize,
        clients: &[u32],
    ) -> Engine {
        Engine {
            clients: clients.iter().map(|client_idx| ClientQueue::new(*client_idx)).collect(),
            config,
            permits: PermitQueue::new(permits, shard),
            stage: Stage::Connect,
            origin_ns: 0,
            cut: false,
            at_bound: false,
            unfinished: 0,
            schedule: BinaryHeap::new(),
            deadlines: Deadlines::new(clients.len()),
            wanted: VecDeque::new(),
            events: Vec::new(),
            last_seq: vec![None; clients.len()],
            over: false,
            prepared: None,
            arriving: None,
            cut_late: 0,
            arrival_delays: Vec::new(),
        }
    }

    /// Begins a stage. Its `At` times count from `origin_ns`.
    pub fn enter(&mut self, stage: Stage, origin_ns: u64) {
        // A stream that ended by itself was not cut, so these are not reported yet.
        self.end_disconnections(origin_ns);
        let filled = self.stage == Stage::Fill && stage == Stage::Measure;
        // Measuring ends with these closes. Without it, handles that setup left open are closed
        // here, because a file that is deleted while it is open keeps its directory from removal.
        let closes_first = match stage {
            Stage::Teardown => self.stage != Stage::Measure,
            Stage::RunTeardown => true,
            _ => false,
        };
        self.end_reload();
        self.over = false;
        (self.stage, self.origin_ns, self.cut, self.unfinished) = (stage, origin_ns, false, 0);
        self.at_bound = false;
        for slot in 0..self.clients.len() {
            let client = &mut self.clients[slot];
            let takes_part = self.config.takes_part(client.client_idx, stage);
            if !takes_part || client.state == ClientState::Gone {
                continue;
            }
            self.unfinished += 1;
            if !filled {
                client.pending.clear();
                client.section_ended = false;
                client.pulling = false;
            }
            client.begin(origin_ns);
            client.section = stage.section().unwrap_or(client.section);
            if closes_first {
                client.state = ClientState::Closing;
                self.wanted.push_back(Action::Close { slot: slot as u32 });
            } else {
                self.advance(slot as u32);
            }
        }
    }

    /// Takes a batch. If the stream broke off, the iteration in which it leaves the client has
    /// no end. The operations of a section that has ended are ignored.
    ///
    /// # Errors
    /// [`EngineError::OutOfOrder`] if the numbers of the client's operations do not increase.
    pub fn operations(&mut self, batch: Batch, now_ns: u64) -> Result<(), EngineError> {
        if !self.is_of_present_generation(&batch) {
            self.take_other_batch(batch, now_ns);
            return Ok(());
        }
        let Batch { slot, section, generation, operations, ended, error } = batch;
        let client = &mut self.clients[slot as usize];
        if error.is_some() {
            client.broke_off = !self.cut;
        }
        if self.stage.section().is_none() || client.section != section || !client.pulling {
            let goes = client.section == Section::Teardown
                || client.upcoming.is_some()
                || client.moving.is_some();
            let measuring = self.stage == Stage::Measure && !self.cut;
            if goes && measuring && section == Section::Iteration {
                self.note_superseded(generation, operations.len() as u32, 0);
            }
            return Ok(());
        }
        client.pulling = false;
        if !self.goes_on_issuing(slot) || self.clients[slot as usize].state == ClientState::Gone {
            self.advance(slot);
            return Ok(());
        }
        if let Some(error) = error.filter(|_| section != Section::Iteration)
            && self.stage == Stage::Measure
        {
            self.section_broke_off(slot, error.to_string());
            return Ok(());
        }
        let client = &mut self.clients[slot as usize];
        let last_seq = &mut self.last_seq[slot as usize];
        for operation in &operations {
            if let Some(previous) = *last_seq
                && operation.seq <= previous
            {
                return Err(EngineError::OutOfOrder {
                    client_idx: client.client_idx,
                    previous,
                    got: operation.seq,
                });
            }
            *last_seq = Some(operation.seq);
        }
        if client.pending.is_empty() && client.state == ClientState::Idle {
            client.arrived_ns = Some(now_ns);
        }
        let operations = self.in_run_time(slot, section, operations);
        let client = &mut self.clients[slot as usize];
        client.pending.append(operations);
        client.section_ended = ended;
        self.settle_iteration(slot);
        self.advance(slot);
        Ok(())
    }

    /// Returns whether the stream of the run breaks off with the error in a batch. It does not if
    /// nobody waits for the batch, or if it is that of a client that joins or leaves.
    pub fn breaks_off(&self, batch: &Batch) -> bool {
        let alone = self.stage == Stage::Measure && batch.section != Section::Iteration;
        let waits = self.clients[batch.slot as usize].pulling;
        waits && !alone && self.is_of_present_generation(batch)
    }

    /// Returns whether a batch is of the generation that its client is in and stays in.
    fn is_of_present_generation(&self, batch: &Batch) -> bool {
        let client = &self.clients[batch.slot as usize];
        let moves = matches!(client.moving.as_deref(), Some(Moving::To(_)));
        client.generation == batch.generation && !moves
    }

    /// Records that the attempt at the operation in flight has fully ended. The operation ends
    /// with it, unless it is tried again. A client that lost its connection during the attempt
    /// is held until [`Engine::resume`] or [`Engine::lose`].
    ///
    /// # Errors
    /// [`EngineError::CompletionMismatch`] if `seq` is not the operation in flight.
    pub fn complete(
        &mut self,
        slot: u32,
        seq: u32,
        attempt: Attempt,
        connection_lost: bool,
    ) -> Result<(), EngineError> {
        let client = &mut self.clients[slot as usize];
        let mut in_flight = match client.in_flight_op.take() {
            Some(in_flight) if in_flight.operation.seq == seq => in_flight,
            other => {
                return Err(EngineError::CompletionMismatch {
                    client_idx: client.client_idx,
                    expected: other.map(|in_flight| in_flight.operation.seq),
                    got: seq,
                });
            }
        };
        self.release(&in_flight.operation);
        if let Some(reopened) = &attempt.execution.reopened {
            in_flight.add_reopening(reopened);
        }
        let completed_ns = attempt.completed_ns;
        let policy = self.config.retry.as_ref().filter(|_| !self.cut && !connection_lost);
        let again = policy.and_then(|policy| {
            let (operation, retries) = (in_flight.operation.operation_type(), in_flight.retries);
            policy.backoff_ns(operation, &attempt.execution, retries)
        });
        if let Some(backoff_ns) = again {
            self.schedule_at(slot, completed_ns.saturating_add(backoff_ns));
            let client = &mut self.clients[slot as usize];
            client.in_flight_op = Some(in_flight.tried(attempt));
            return Ok(());
        }
        let client = &mut self.clients[slot as usize];
        client.readiness.ended(completed_ns);
        client.state = if connection_lost { ClientState::Disconnected } else { ClientState::Idle };
        if connection_lost {
            self.note_lost(slot, completed_ns);
        }
        let broken_setup = self.stage == Stage::Measure
            && in_flight.operation.section == Section::Setup
            && matches!(attempt.execution.status, CompletionStatus::Failed(_));
        self.report(slot, in_flight, attempt);
        self.settle_iteration(slot);
        if broken_setup && !self.clients[slot as usize].leaves() {
            let reason = "an operation of its setup failed, so it does not go on";
            self.fail_to_join(slot, reason.into());
        }
        self.advance(slot);
        Ok(())
    }

    /// Records that the handles that a client had left open are closed: how many were, and how many
    /// closes failed. Returns whether the engine reports that itself, as a part of a move.
    ///
    /// # Errors
    /// [`EngineError::OutOfTurn`] if the engine did not ask for that.
    pub fn closed(
        &mut self,
        slot: u32,
        now_ns: u64,
        handles: (u32, u32),
    ) -> Result<bool, EngineError> {
        let goes_on = self.goes_on_issuing(slot);
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::Closing {
            let client_idx = client.client_idx;
            return Err(EngineError::OutOfTurn { client_idx, what: "closed handles" });
        }
        let moving = client.moving.take().filter(|_| !self.cut && !self.at_bound);
        if let Some(moving) = moving {
            self.finish_move(slot, *moving, now_ns, handles);
            return Ok(true);
        }
        if client.section == Section::Teardown && self.stage == Stage::Measure {
            self.leave(slot, now_ns);
        } else if client.is_exhausted() || !goes_on {
            client.state = ClientState::Done;
            self.unfinished -= 1;
            self.move_at_once(slot, now_ns);
        } else {
            // These were the closes before a teardown.
            client.state = ClientState::Idle;
            self.advance(slot);
        }
        Ok(false)
    }

    /// Returns the next action at `now_ns`. The caller polls until there is none.
    pub fn poll(&mut self, now_ns: u64) -> Option<Action> {
        if let Some(end_ns) = self.end_ns()
            && now_ns >= end_ns
        {
            self.cut(now_ns);
        }
        self.poll_arriving(now_ns);
        self.permits.collect();
        loop {
            self.end_at_bound(now_ns);
            if let Some(action) = self.wanted.pop_front() {
                return Some(action);
            }
            if let Some(expire) = self.poll_deadline(now_ns) {
                return Some(expire);
            }
            if let Some(slot) = self.permits.first_granted() {
                if self.may_move(slot) {
                    self.permits.pop_granted();
                    self.permits.release();
                    self.start_move(slot, now_ns);
                    continue;
                }
                if !self.takes_from_bound(slot) {
                    // The bound was reached meanwhile: this client ends with the others.
                    continue;
                }
                self.permits.pop_granted();
                let client = &self.clients[slot as usize];
                let waited_ns = now_ns.saturating_sub(client.waiting_since_ns);
                return Some(self.issue(slot, now_ns, waited_ns));
            }
            let &Reverse((at_ns, slot)) = self.schedule.peek()?;
            if at_ns > now_ns {
                return None;
            }
            self.schedule.pop();
            if self.may_move(slot) {
                self.start_move(slot, now_ns);
                continue;
            }
            let client = &mut self.clients[slot as usize];
            let takes_permit = !client.next_waits_for_others();
            if takes_permit && !self.permits.acquire(slot) {
                client.state = ClientState::AwaitingPermit;
                client.waiting_since_ns = now_ns;
                continue;
            }
            if self.takes_from_bound(slot) {
                return Some(self.issue(slot, now_ns, 0));
            }
            if takes_permit {
                self.permits.release();
            }
        }
    }

    /// Returns when to poll again at the latest, if nothing happens before.
    pub fn next_wake_ns(&self) -> Option<u64> {
        let next_due = self.schedule.peek().map(|Reverse((at_ns, _))| *at_ns);
        let lasts = self.config.phases_last && !self.at_bound;
        let end = self.end_ns().filter(|_| self.unfinished > 0 || lasts);
        [next_due, self.deadlines.next_ns(), end, self.next_move_ns()].into_iter().flatten().min()
    }

    /// Reads what issuing the next operation will read and changes nothing, so that it is in
    /// the processor's caches by then. Returns the slot of its client.
    pub fn rehearse(&mut self) -> Option<u32> {
        let next = self.schedule.pop()?;
        let slot = next.0.1;
        let client = &self.clients[slot as usize];
        black_box((client.next_times(), client.is_exhausted()));
        black_box(client.pending.front().cloned());
        self.schedule.push(next);
        Some(slot)
    }

    /// Returns whether every client of the stage is done, none is to go on with a generation that
    /// arrives and, if the phases are to last, their time has passed.
    pub fn stage_done(&self) -> bool {
        let lasts = self.config.phases_last && !self.at_bound && self.end_ns().is_some();
        let there = |client: &ClientQueue| {
            client.state != ClientState::Gone
                && self.config.takes_part(client.client_idx, self.stage)
        };
        self.unfinished == 0 && !self.goes_on() && !(lasts && self.clients.iter().any(there))
    }

    /// Records that the end of the stage was reported. A generation that comes later changes nothing
    /// for this shard's clients, unless the stage is resumed before.
    pub fn end_stage(&mut self) {
        self.over = true;
    }

    /// Takes back that the end of the stage was reported.
    pub fn resume_stage(&mut self) {
        self.over = false;
    }

    /// Returns whether a client has an operation in flight.
    pub fn has_in_flight(&self) -> bool {
        self.clients.iter().any(|client| client.in_flight_op.is_some())
    }

    /// Returns whether the stage was cut, or its phases have ended.
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Returns the number of clients of the stage that are not done.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Takes the events since the last call, in order.
    pub fn drain_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    pub fn client_idx(&self, slot: u32) -> u32 {
        self.clients[slot as usize].client_idx
    }

    /// Returns the phase at `now_ns`, as an index into the run's phases.
    pub fn phase_at(&self, now_ns: u64) -> Option<u16> {
        PhaseSpan::at(&self.config.phases, self.stage, self.origin_ns, now_ns)
    }

    /// Returns the end of the last phase, while it is still to come.
    fn end_ns(&self) -> Option<u64> {
        if self.stage == Stage::Measure && !self.cut { self.planned_end_ns() } else { None }
    }

    fn planned_end_ns(&self) -> Option<u64> {
        self.config.phases.last()?.end_ns.map(|end_ns| self.origin_ns.saturating_add(end_ns))
    }

    /// Returns `now_ns`, or the planned end of the last phase if that came before.
    pub(super) fn by_planned_end(&self, now_ns: u64) -> u64 {
        self.planned_end_ns().map_or(now_ns, |end_ns| end_ns.min(now_ns))
    }

    fn poll_deadline(&mut self, now_ns: u64) -> Option<Action> {
        let clients = &self.clients;
        let in_flight = |slot: u32| {
            let client = &clients[slot as usize];
            client.in_flight_op.as_ref().filter(|_| client.state == ClientState::InFlight)
        };
        let slot = self.deadlines.expired(now_ns, |slot| Some(in_flight(slot)?.deadline_ns))?;
        Some(Action::Expire { slot, seq: in_flight(slot)?.operation.seq })
    }

    /// Schedules the client's operation for `at_ns`.
    pub(super) fn schedule_at(&mut self, slot: u32, at_ns: u64) {
        self.clients[slot as usize].state = ClientState::Scheduled;
        self.schedule.push(Reverse((at_ns, slot)));
    }

    /// Moves an idle client on: schedules its next operation, asks for more,
    /// or ends its part in the stage.
    pub(super) fn advance(&mut self, slot: u32) {
        if self.moves_without_delay(slot) && self.clients[slot as usize].state == ClientState::Idle
        {
            let now_ns = self.clients[slot as usize].readiness.ready_ns();
            return self.start_move(slot, now_ns);
        }
        self.skip_iterations(slot);
        let goes_on = self.goes_on_issuing(slot);
        let client = &mut self.clients[slot as usize];
        let lookahead = self.config.lookahead;
        let low = client.pending.is_low(lookahead, self.config.batch_bytes);
        if low && !client.section_ended && !client.pulling && client.state != ClientState::Gone {
            client.pulling = true;
            if let Some(of_stage) = self.stage.section() {
                let request = BatchRequest {
                    slot,
                    client_idx: client.client_idx,
                    section: client.section,
                    max: lookahead.saturating_sub(client.pending.len()).max(1),
                    generation: client.generation,
                    of_stage,
                };
                self.wanted.push_back(Action::Pull(request));
            }
        }
        if client.state != ClientState::Idle {
            return;
        }
        if self.stage == Stage::Fill {
            if !client.pulling || self.cut {
                client.state = ClientState::Done;
                self.events.push(Event::Prepared { client_idx: client.client_idx });
                self.unfinished -= 1;
            }
            return;
        }
        if let Some((_, eligible_ns)) = client.next_times() {
            self.schedule_at(slot, eligible_ns);
        } else if client.is_exhausted() {
            let sets_up = self.stage == Stage::Measure && client.section == Section::Setup;
            if sets_up && goes_on {
                self.begin_iterating(slot);
            } else if matches!(self.stage, Stage::RunSetup | Stage::Setup) {
                client.state = ClientState::Done;
                self.unfinished -= 1;
            } else {
                client.state = ClientState::Closing;
                self.wanted.push_back(Action::Close { slot });
            }
        }
    }

    fn skip_iterations(&mut self, slot: u32) {
        if self.stage == Stage::Measure && self.clients[slot as usize].section == Section::Iteration
        {
            let until_ns = self.end_ns().unwrap_or(u64::MAX);
            let (client, phases) = (&mut self.clients[slot as usize], &self.config.phases);
            let dropped = client.skip_iterations(phases, self.origin_ns, until_ns);
            self.events.extend(dropped.into_iter().map(Event::Iteration));
        }
    }

    /// Issues the client's next operation, or again the one that was not sent or failed, after
    /// it waited `waited_ns` for a permit.
    fn issue(&mut self, slot: u32, now_ns: u64, waited_ns: u64) -> Action {
        let client = &mut self.clients[slot as usize];
        debug_assert!(
            client.state != ClientState::InFlight,
            "Invariant violation: client busy (client {}, at its dispatch)",
            client.client_idx
        );
        let again = client.in_flight_op.take();
        let next = again.is_none();
        let Some(mut in_flight) = again.or_else(|| client.take_next(now_ns)) else {
            // Scheduled and permitted clients have an operation pending by construction.
            unreachable!("client {} was scheduled with nothing pending", client.client_idx)
        };
        client.state = ClientState::InFlight;
        let deadline_ns = now_ns.saturating_add(self.config.op_timeout_ns);
        self.deadlines.watch(slot, deadline_ns);
        (in_flight.handed_ns, in_flight.deadline_ns) = (now_ns, deadline_ns);
        let first = in_flight.failed.is_none();
        if first {
            in_flight.held_up.by_limit_ns = waited_ns;
        } else {
            in_flight.retries += 1;
        }
        let operation = in_flight.operation.clone();
        let phase = in_flight.phase(&self.config.phases, self.stage, self.origin_ns, now_ns);
        client.in_flight_op = Some(in_flight);
        if first {
            client.note_issue(phase);
        }
        if next {
            self.advance(slot);
        }
        Action::Issue { slot, operation }
    }

    /// Reports the operation's only completion, after its `last` attempt.
    pub(super) fn report(&mut self, slot: u32, in_flight: InFlight, last: Attempt) {
        let issued_ns = in_flight.issued_ns.unwrap_or(last.issued_ns);
        let phases = &self.config.phases;
        let phase = in_flight.phase(phases, self.stage, self.origin_ns, issued_ns);
        let completion = in_flight.complete(last, phase);
        self.clients[slot as usize].note_completion(&completion);
        self.events.push(Event::Completed(completion));
    }

    /// Releases the operation's permit. An operation that may wait for another client takes
    /// none, because it could keep that client from the permit it needs.
    pub(super) fn release(&self, operation: &Operation) {
        if !operation.kind.waits_for_others() {
            self.permits.release();
        }
    }

    pub(super) fn settle_iteration(&mut self, slot: u32) {
        if let Some(iteration) = self.clients[slot as usize].take_finished_iteration() {
            self.events.push(Event::Iteration(iteration));
        }
    }
}
