//! The scheduler's decisions, as a pure state machine: no clock, no I/O, no
//! runtime. It is told the time and what happened, and answers what to do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use super::client_queue::{ClientQueue, ClientState, InFlight};
use super::permits::Permits;
use super::timeline::{PhaseSpan, Stage};
use crate::backend::Execution;
use crate::ir::{CompletionEvent, CompletionStatus, Event, Operation, Section};

/// What the engine wants done. Clients are named by their slot in the shard.
#[derive(Debug)]
pub enum Action {
    /// Send the operation now.
    Issue { slot: u32, operation: Operation },
    /// Fetch up to `max` further operations of the client.
    Pull { slot: u32, client_idx: u32, section: Section, max: usize },
    /// The operation in flight has taken longer than the operation time-out.
    Expire { slot: u32, seq: u32 },
    /// Close whatever handles the client has open.
    Close { slot: u32 },
}

/// A completion or a batch that does not belong: a defect, never ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("client {client_idx} completed operation {got}, but {expected:?} was in flight")]
    CompletionMismatch { client_idx: u32, expected: Option<u32>, got: u32 },
    #[error("client {client_idx} was given operation {got} after operation {previous}")]
    OutOfOrder { client_idx: u32, previous: u32, got: u32 },
    #[error("client {client_idx} reported {what} out of turn")]
    OutOfTurn { client_idx: u32, what: &'static str },
}

/// What is the same for every shard.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub phases: Vec<PhaseSpan>,
    /// The number of the run-wide client, if the stream has one.
    pub run_client: Option<u32>,
    /// The most operations queued for one client.
    pub lookahead: usize,
    pub op_timeout_ns: u64,
}

/// The engine of one shard.
pub struct Engine {
    config: Arc<EngineConfig>,
    permits: Arc<Permits>,
    shard: usize,
    clients: Vec<ClientQueue>,
    stage: Stage,
    origin_ns: u64,
    cut: bool,
    /// Clients of the stage that are not done.
    unfinished: usize,
    /// When each scheduled client's next operation is eligible.
    schedule: BinaryHeap<Reverse<(u64, u32)>>,
    /// Clients that wait for a permit, in the order they asked.
    blocked: VecDeque<u32>,
    /// Clients that hold a permit and are to be issued now.
    permitted: VecDeque<u32>,
    /// When to look at a client's operation in flight again. At most one entry
    /// a client, so an entry may be early: then it is put back for later.
    deadlines: BinaryHeap<Reverse<(u64, u32)>>,
    has_deadline: Vec<bool>,
    wanted: VecDeque<Action>,
    events: Vec<Event>,
    last_seq: Vec<Option<u32>>,
}

impl Engine {
    /// An engine for `clients`, given by their numbers in the stream.
    pub fn new(
        config: Arc<EngineConfig>,
        permits: Arc<Permits>,
        shard: usize,
        clients: &[u32],
    ) -> Engine {
        Engine {
            config,
            permits,
            shard,
            clients: clients.iter().map(|client_idx| ClientQueue::new(*client_idx)).collect(),
            stage: Stage::Connect,
            origin_ns: 0,
            cut: false,
            unfinished: 0,
            schedule: BinaryHeap::new(),
            blocked: VecDeque::new(),
            permitted: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            has_deadline: vec![false; clients.len()],
            wanted: VecDeque::new(),
            events: Vec::new(),
            last_seq: vec![None; clients.len()],
        }
    }

    /// Begins a stage; `origin_ns` is what its `At` times count from.
    pub fn enter(&mut self, stage: Stage, origin_ns: u64) {
        let filled = self.stage == Stage::Fill && stage == Stage::Measure;
        self.stage = stage;
        self.origin_ns = origin_ns;
        self.cut = false;
        self.unfinished = 0;
        for slot in 0..self.clients.len() {
            let client = &mut self.clients[slot];
            let runs_now = (Some(client.client_idx) == self.config.run_client)
                == stage.is_run_wide()
                && stage.section().is_some();
            if !runs_now || client.state == ClientState::Gone {
                continue;
            }
            self.unfinished += 1;
            if !filled {
                client.pending.clear();
                client.section_ended = false;
                client.pulling = false;
            }
            client.begin(origin_ns);
            self.advance(slot as u32);
        }
    }

    /// Discards what is not issued. What is in flight still completes.
    pub fn cut(&mut self) {
        if self.cut {
            return;
        }
        self.cut = true;
        self.schedule.clear();
        self.blocked.clear();
        self.permits.withdraw(self.shard);
        for _ in self.permitted.drain(..) {
            self.permits.release(self.shard);
        }
        self.wanted.retain(|action| !matches!(action, Action::Pull { .. }));
        for slot in 0..self.clients.len() {
            let client = &mut self.clients[slot];
            if matches!(client.state, ClientState::Done | ClientState::Gone | ClientState::Closing)
            {
                continue;
            }
            client.cut();
            if matches!(client.state, ClientState::Scheduled | ClientState::Blocked) {
                client.state = ClientState::Idle;
            }
            self.settle_iteration(slot as u32);
            self.advance(slot as u32);
        }
    }

    /// A batch arrived: the client's next operations in `section`, and whether
    /// these are the last. A batch of a section that is over is superseded.
    ///
    /// # Errors
    /// [`EngineError::OutOfOrder`] when the client's operations do not count up.
    pub fn operations(
        &mut self,
        slot: u32,
        section: Section,
        batch: Vec<Operation>,
        ended: bool,
    ) -> Result<(), EngineError> {
        let client = &mut self.clients[slot as usize];
        if self.stage.section() != Some(section) || !client.pulling {
            return Ok(());
        }
        client.pulling = false;
        if self.cut {
            self.advance(slot);
            return Ok(());
        }
        let last_seq = &mut self.last_seq[slot as usize];
        for operation in &batch {
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
        if client.pending.is_empty() {
            client.pending = batch.into();
        } else {
            client.pending.extend(batch);
        }
        client.section_ended = ended;
        self.settle_iteration(slot);
        self.advance(slot);
        Ok(())
    }

    /// The operation in flight has fully ended. A client that lost its
    /// connection over it is held until [`Engine::resume`] or [`Engine::lose`].
    ///
    /// # Errors
    /// [`EngineError::CompletionMismatch`] when it is not the one in flight.
    pub fn complete(
        &mut self,
        slot: u32,
        seq: u32,
        issued_ns: u64,
        completed_ns: u64,
        execution: Execution,
        connection_lost: bool,
    ) -> Result<(), EngineError> {
        let client = &mut self.clients[slot as usize];
        let in_flight = match client.in_flight_op.take() {
            Some(in_flight) if in_flight.operation.seq == seq => in_flight,
            other => {
                return Err(EngineError::CompletionMismatch {
                    client_idx: client.client_idx,
                    expected: other.map(|in_flight| in_flight.operation.seq),
                    got: seq,
                });
            }
        };
        self.permits.release(self.shard);
        let client = &mut self.clients[slot as usize];
        client.ready_ns = completed_ns;
        client.state = if connection_lost { ClientState::Held } else { ClientState::Idle };
        client.note_completion(issued_ns, completed_ns);
        self.report(in_flight, issued_ns, completed_ns, execution);
        self.settle_iteration(slot);
        self.advance(slot);
        Ok(())
    }

    /// The connection is back.
    pub fn resume(&mut self, slot: u32, now_ns: u64) {
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::Held {
            return;
        }
        client.ready_ns = client.ready_ns.max(now_ns);
        client.state = ClientState::Idle;
        self.advance(slot);
    }

    /// The connection is not coming back: the client ends here.
    pub fn lose(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        let counted = !matches!(client.state, ClientState::Done | ClientState::Gone);
        client.cut();
        client.state = ClientState::Gone;
        if counted {
            self.unfinished -= 1;
        }
        self.settle_iteration(slot);
    }

    /// The handles a client had left open are closed.
    ///
    /// # Errors
    /// [`EngineError::OutOfTurn`] when that was not asked for.
    pub fn closed(&mut self, slot: u32) -> Result<(), EngineError> {
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::Closing {
            let client_idx = client.client_idx;
            return Err(EngineError::OutOfTurn { client_idx, what: "closed handles" });
        }
        client.state = ClientState::Done;
        self.unfinished -= 1;
        Ok(())
    }

    /// Gives up: everything in flight completes as cut, nothing else is issued.
    pub fn abandon(&mut self, now_ns: u64) {
        self.cut();
        self.wanted.clear();
        for slot in 0..self.clients.len() {
            let client = &mut self.clients[slot];
            let Some(in_flight) = client.in_flight_op.take() else { continue };
            let handed_ns = in_flight.handed_ns;
            client.note_abandoned(handed_ns, now_ns);
            self.permits.release(self.shard);
            let execution = Execution {
                status: CompletionStatus::Cut,
                bytes: 0,
                short_read: false,
                degraded: false,
            };
            self.report(in_flight, handed_ns, now_ns, execution);
            self.settle_iteration(slot as u32);
        }
        for client in &mut self.clients {
            client.state = ClientState::Gone;
        }
        self.unfinished = 0;
    }

    /// The next thing to do at `now_ns`; asked until there is none.
    pub fn poll(&mut self, now_ns: u64) -> Option<Action> {
        if let Some(end_ns) = self.end_ns()
            && now_ns >= end_ns
        {
            self.cut();
        }
        for _ in 0..self.permits.take_granted(self.shard) {
            match self.blocked.pop_front() {
                Some(slot) => self.permitted.push_back(slot),
                None => self.permits.release(self.shard),
            }
        }
        loop {
            if let Some(action) = self.wanted.pop_front() {
                return Some(action);
            }
            if let Some(expired) = self.poll_deadline(now_ns) {
                return Some(expired);
            }
            if let Some(slot) = self.permitted.pop_front() {
                return Some(self.issue(slot, now_ns));
            }
            let &Reverse((eligible_ns, slot)) = self.schedule.peek()?;
            if eligible_ns > now_ns {
                return None;
            }
            self.schedule.pop();
            if self.permits.acquire(self.shard) {
                return Some(self.issue(slot, now_ns));
            }
            self.clients[slot as usize].state = ClientState::Blocked;
            self.blocked.push_back(slot);
        }
    }

    /// When to poll again at the latest, if nothing happens before.
    pub fn next_wake_ns(&self) -> Option<u64> {
        let next_due = self.schedule.peek().map(|Reverse((eligible_ns, _))| *eligible_ns);
        let deadline = self.deadlines.peek().map(|Reverse((deadline_ns, _))| *deadline_ns);
        let end = self.end_ns().filter(|_| self.unfinished > 0);
        [next_due, deadline, end].into_iter().flatten().min()
    }

    /// Goes through what issuing the next operation will read and changes nothing,
    /// so that it is in the processor's caches by then. The slot of its client.
    pub fn rehearse(&mut self) -> Option<u32> {
        let next = self.schedule.pop()?;
        let slot = next.0.1;
        let client = &self.clients[slot as usize];
        black_box((client.next_times(self.origin_ns), client.is_exhausted()));
        black_box(client.pending.front().cloned());
        self.schedule.push(next);
        Some(slot)
    }

    /// Every client of the stage is done.
    pub fn stage_done(&self) -> bool {
        self.unfinished == 0
    }

    /// How many clients of the stage are not done.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// What happened since the last call, in order.
    pub fn drain_events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    pub fn client_idx(&self, slot: u32) -> u32 {
        self.clients[slot as usize].client_idx
    }

    /// The end of the last phase, while it is still to come.
    fn end_ns(&self) -> Option<u64> {
        if self.stage != Stage::Measure || self.cut {
            return None;
        }
        let end_ns = self.config.phases.last()?.end_ns?;
        Some(self.origin_ns.saturating_add(end_ns))
    }

    fn poll_deadline(&mut self, now_ns: u64) -> Option<Action> {
        while let Some(&Reverse((at_ns, slot))) = self.deadlines.peek()
            && at_ns <= now_ns
        {
            self.deadlines.pop();
            match &self.clients[slot as usize].in_flight_op {
                Some(in_flight) if in_flight.deadline_ns <= now_ns => {
                    self.has_deadline[slot as usize] = false;
                    return Some(Action::Expire { slot, seq: in_flight.operation.seq });
                }
                Some(in_flight) => self.deadlines.push(Reverse((in_flight.deadline_ns, slot))),
                None => self.has_deadline[slot as usize] = false,
            }
        }
        None
    }

    /// Moves an idle client on: schedules its next operation, asks for more,
    /// or ends its part in the stage.
    fn advance(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        let lookahead = self.config.lookahead;
        let low = client.pending.len() <= lookahead / 2;
        if low && !client.section_ended && !client.pulling && client.state != ClientState::Gone {
            client.pulling = true;
            if let Some(section) = self.stage.section() {
                let max = lookahead - client.pending.len();
                let client_idx = client.client_idx;
                self.wanted.push_back(Action::Pull { slot, client_idx, section, max });
            }
        }
        if client.state != ClientState::Idle {
            return;
        }
        if self.stage == Stage::Fill {
            if !client.pulling || self.cut {
                client.state = ClientState::Done;
                self.unfinished -= 1;
            }
            return;
        }
        if let Some((_, eligible_ns)) = client.next_times(self.origin_ns) {
            client.state = ClientState::Scheduled;
            self.schedule.push(Reverse((eligible_ns, slot)));
        } else if client.is_exhausted() {
            if matches!(self.stage, Stage::RunSetup | Stage::Setup) {
                client.state = ClientState::Done;
                self.unfinished -= 1;
            } else {
                client.state = ClientState::Closing;
                self.wanted.push_back(Action::Close { slot });
            }
        }
    }

    fn issue(&mut self, slot: u32, now_ns: u64) -> Action {
        let client = &mut self.clients[slot as usize];
        let (due_ns, eligible_ns) = client.next_times(self.origin_ns).unwrap_or((now_ns, now_ns));
        // Scheduled and permitted clients have an operation pending by construction.
        let Some(operation) = client.pending.pop_front() else {
            unreachable!("client {} was scheduled with nothing pending", client.client_idx)
        };
        client.state = ClientState::InFlight;
        let deadline_ns = now_ns.saturating_add(self.config.op_timeout_ns);
        if !std::mem::replace(&mut self.has_deadline[slot as usize], true) {
            self.deadlines.push(Reverse((deadline_ns, slot)));
        }
        let in_flight = InFlight {
            operation: operation.clone(),
            due_ns,
            eligible_ns,
            handed_ns: now_ns,
            deadline_ns,
        };
        let phase = in_flight.phase(&self.config.phases, self.stage, self.origin_ns, now_ns);
        client.in_flight_op = Some(in_flight);
        client.note_issue(due_ns, phase);
        self.advance(slot);
        Action::Issue { slot, operation }
    }

    fn report(
        &mut self,
        in_flight: InFlight,
        issued_ns: u64,
        completed_ns: u64,
        execution: Execution,
    ) {
        let phases = &self.config.phases;
        let phase = in_flight.phase(phases, self.stage, self.origin_ns, issued_ns);
        let InFlight { operation, due_ns, eligible_ns, .. } = in_flight;
        self.events.push(Event::Completed(CompletionEvent {
            operation,
            status: execution.status,
            phase,
            due_ns,
            eligible_ns,
            issued_ns,
            completed_ns,
            bytes: execution.bytes,
            short_read: execution.short_read,
            degraded: execution.degraded,
        }));
    }

    fn settle_iteration(&mut self, slot: u32) {
        if let Some(iteration) = self.clients[slot as usize].take_finished_iteration() {
            self.events.push(Event::Iteration(iteration));
        }
    }
}
