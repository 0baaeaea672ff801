//! The move of clients to another generation of the stream, while they iterate.
//!
//! A reload has two parts. [`Engine::prepare`] asks for the first operations of every client that
//! stays. When all of them have arrived ([`Engine::fetched`]), [`Engine::begin`] lets each client
//! move at its next boundary: between two iterations, when nothing of it is in flight.

use std::collections::HashMap;
use std::sync::Arc;

use super::action::Action;
use super::client_queue::{ClientQueue, ClientState};
use super::config::EngineConfig;
use super::state_machine::Engine;
use crate::ir::event::MoveEvent;
use crate::ir::{Due, Event, Operation, Section, SourceError};
use crate::scheduler::batch::{Batch, BatchRequest};
use crate::scheduler::timeline::Stage;

/// Maximum number of operations that are asked for ahead of the moves of all clients, and of one.
/// There are few, because all clients are asked at once and the acceptance of a generation waits
/// for them.
const FIRST_OPERATIONS: usize = 2_048;
const FIRST_OF_A_CLIENT: usize = 8;

/// A generation of the stream, as the engine of one shard sees it.
#[derive(Clone, Debug)]
pub struct Generation {
    pub number: u32,
    pub config: Arc<EngineConfig>,
    /// The clients of the shard that are in it, and whether their setup runs again when they move.
    pub clients: Vec<(u32, bool)>,
}

/// The times of a generation, in nanoseconds from the run's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationTimes {
    /// The time from which clients move.
    pub begin_ns: u64,
    /// The time at which its arrivals were made to begin. If it begins later, they are later too.
    pub planned_ns: u64,
    /// The time at which clients that have not reached a boundary are cut.
    pub cut_ns: u64,
}

/// The generation that clients are to move to.
#[derive(Debug)]
pub(super) struct Arriving {
    number: u32,
    config: Arc<EngineConfig>,
    /// The number of clients whose first operations have not arrived.
    fetching: usize,
    failed: Option<SourceError>,
    times: Option<GenerationTimes>,
    /// Whether the time to move has come, and whether the time to cut has.
    begun: bool,
    cut: bool,
}

/// The next thing that becomes of a client, at its boundary.
#[derive(Debug)]
pub(super) enum Upcoming {
    /// It goes on with its first operations of the next generation, once they have arrived.
    Move { section: Section, first: Option<FirstOperations> },
    /// It runs its teardown and leaves.
    Leave,
    /// It was not in the run, or has left. It connects and begins with its setup.
    Join,
}

#[derive(Debug)]
pub(super) struct FirstOperations {
    operations: Vec<Operation>,
    ended: bool,
}

/// A move that waits until the client's handles are closed.
#[derive(Debug)]
pub(super) enum Moving {
    To {
        generation: u32,
        section: Section,
        first: FirstOperations,
    },
    /// To the teardown of its own generation, before it leaves.
    Away,
}

/// The difference between the times of a generation's stream and those of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeShift {
    generation: u32,
    at_ns: u64,
    arrival_ns: u64,
}

impl Engine {
    /// Asks for the first operations of the clients that stay. Clients that the shard does not know
    /// are added to it: [`Engine::client_idx`] returns them. If another generation was arriving,
    /// the clients that have not moved to it move to this one.
    pub fn prepare(&mut self, generation: Generation) {
        if self.stage != Stage::Measure || self.cut {
            return;
        }
        self.discard_upcoming();
        let Generation { number, config, clients } = generation;
        let clients = if self.over { Vec::new() } else { clients };
        let max = (FIRST_OPERATIONS / clients.len().max(1)).clamp(2, FIRST_OF_A_CLIENT);
        let mut wanted: HashMap<u32, bool> = clients.iter().copied().collect();
        for slot in 0..self.clients.len() as u32 {
            let client = &mut self.clients[slot as usize];
            let wanted = wanted.remove(&client.client_idx);
            if Some(client.client_idx) == config.run_client || self.over {
                continue;
            }
            client.upcoming = match wanted {
                Some(_) if client.has_left => Some(Upcoming::Join),
                _ if client.state == ClientState::Gone => None,
                Some(_) if client.section == Section::Teardown => Some(Upcoming::Join),
                Some(set_up_again) => {
                    let section = if set_up_again { Section::Setup } else { Section::Iteration };
                    Some(Upcoming::Move { section, first: None })
                }
                None if client.section == Section::Teardown => None,
                None => Some(Upcoming::Leave),
            };
            if let Some(Upcoming::Move { section, .. }) = client.upcoming {
                let client_idx = client.client_idx;
                self.wanted.push_back(Action::Pull(BatchRequest {
                    slot,
                    client_idx,
                    section,
                    max,
                    generation: number,
                    of_stage: Section::Iteration,
                }));
            }
        }
        let new = clients.iter().filter(|(client, _)| wanted.contains_key(client));
        for (client_idx, _) in new.filter(|(client, _)| Some(*client) != config.run_client) {
            let mut client = ClientQueue::new(*client_idx);
            (client.state, client.has_left) = (ClientState::Gone, true);
            client.upcoming = Some(Upcoming::Join);
            self.clients.push(client);
            self.last_seq.push(None);
        }
        self.deadlines.grow(self.clients.len());
        let moves = |client: &&ClientQueue| matches!(client.upcoming, Some(Upcoming::Move { .. }));
        self.arriving = Some(Arriving {
            number,
            config,
            fetching: self.clients.iter().filter(moves).count(),
            failed: None,
            times: None,
            begun: false,
            cut: false,
        });
    }

    /// Returns whether the first operations of the generation that was prepared have arrived, or
    /// the error with which one of its clients broke off. None while they are being made.
    pub fn fetched(&self) -> Option<Result<(), SourceError>> {
        let arriving = self.arriving.as_ref().filter(|arriving| arriving.times.is_none())?;
        match &arriving.failed {
            Some(error) => Some(Err(error.clone())),
            None => (arriving.fetching == 0).then_some(Ok(())),
        }
    }

    /// Lets the clients move to the generation that was prepared.
    pub fn begin(&mut self, generation: u32, times: GenerationTimes) {
        let Some(arriving) = self.arriving.as_mut().filter(|it| it.number == generation) else {
            return;
        };
        arriving.times = Some(times);
        let zero_ns = self.origin_ns;
        self.shifts.push(TimeShift {
            generation,
            at_ns: times.begin_ns.saturating_sub(zero_ns),
            arrival_ns: times.begin_ns.saturating_sub(times.planned_ns),
        });
        self.config = Arc::clone(&arriving.config);
        self.events.push(Event::Reloaded { generation });
    }

    /// Forgets the generation that was prepared. It does not come.
    pub fn withdraw(&mut self, generation: u32) {
        if self.arriving.as_ref().is_some_and(|arriving| arriving.number == generation) {
            self.arriving = None;
            for client in &mut self.clients {
                client.upcoming = None;
            }
        }
    }

    /// Returns whether every client has moved to the generation, left or failed.
    pub fn has_settled(&self, generation: u32) -> bool {
        let arriving = self.arriving.as_ref().filter(|arriving| arriving.number == generation);
        if !arriving.is_some_and(|arriving| arriving.begun || self.over) {
            return false;
        }
        let settled = |client: &ClientQueue| {
            let there = client.generation == generation && client.section != Section::Teardown;
            let run_client = Some(client.client_idx) == self.config.run_client;
            client.state == ClientState::Gone
                || run_client
                || (there && client.state != ClientState::Joining)
        };
        self.over || self.clients.iter().all(settled)
    }

    /// Returns the time at which the engine must be polled for the generation that arrives.
    pub(super) fn next_move_ns(&self) -> Option<u64> {
        let arriving = self.arriving.as_ref().filter(|_| self.clients_move())?;
        let times = arriving.times?;
        match (arriving.begun, arriving.cut) {
            (false, _) => Some(times.begin_ns),
            (true, false) => Some(times.cut_ns),
            (true, true) => None,
        }
    }

    /// Returns whether the stage is one in which clients move, and has not ended.
    fn clients_move(&self) -> bool {
        self.stage == Stage::Measure && !self.cut && !self.at_bound && !self.over
    }

    /// Begins the moves when their time has come, and cuts the clients that are left when that
    /// time has.
    pub(super) fn poll_arriving(&mut self, now_ns: u64) {
        if !self.clients_move() {
            return;
        }
        let Some(arriving) = &mut self.arriving else { return };
        let Some(times) = arriving.times else { return };
        if !arriving.begun && now_ns >= times.begin_ns {
            arriving.begun = true;
            self.begin_moves(now_ns);
        }
        let Some(arriving) = &mut self.arriving else { return };
        if arriving.begun && !arriving.cut && now_ns >= times.cut_ns {
            arriving.cut = true;
            self.cut_those_left(now_ns);
        }
    }

    fn begin_moves(&mut self, now_ns: u64) {
        let Some(generation) = self.arriving.as_ref().map(|arriving| arriving.number) else {
            return;
        };
        for slot in 0..self.clients.len() as u32 {
            let client = &mut self.clients[slot as usize];
            if Some(client.client_idx) == self.config.run_client {
                client.generation = generation;
            } else if matches!(client.upcoming, Some(Upcoming::Join)) && client.has_left {
                self.join(slot, generation);
            } else if client.state == ClientState::Done {
                if self.may_move(slot) {
                    self.unfinished += 1;
                    self.start_move(slot, now_ns);
                }
            } else if self.moves_without_delay(slot) {
                self.start_move(slot, now_ns);
            }
        }
        self.drop_moved_from_schedule();
    }

    /// Removes the clients that have begun to move from the schedule.
    fn drop_moved_from_schedule(&mut self) {
        let clients = &self.clients;
        self.schedule.retain(|next| clients[next.0.1 as usize].state == ClientState::Scheduled);
    }

    fn join(&mut self, slot: u32, generation: u32) {
        let client = &mut self.clients[slot as usize];
        client.upcoming = None;
        (client.generation, client.section) = (generation, Section::Setup);
        (client.state, client.has_left) = (ClientState::Joining, false);
        client.joins = true;
        client.pending.clear();
        (client.section_ended, client.pulling) = (false, false);
        self.unfinished += 1;
        self.wanted.push_back(Action::Connect { slot });
    }

    /// Records that a client that joins has connected. Its setup begins.
    pub fn joined(&mut self, slot: u32, now_ns: u64) {
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::Joining {
            return;
        }
        client.begin(now_ns);
        (client.section_ended, client.pulling) = (false, false);
        self.last_seq[slot as usize] = None;
        self.advance(slot);
    }

    /// Begins the iterations of a client whose setup has ended while the others iterate.
    pub(super) fn begin_iterating(&mut self, slot: u32) {
        let zero_ns = self.origin_ns;
        let client = &mut self.clients[slot as usize];
        let at_ns = client.readiness.ready_ns();
        client.section = Section::Iteration;
        client.begin(at_ns);
        client.origin_ns = zero_ns;
        (client.section_ended, client.pulling) = (false, false);
        if client.joins {
            client.joins = false;
            self.events.push(Event::Moved(MoveEvent {
                client_idx: client.client_idx,
                from: None,
                to: Some(client.generation),
                at_ns,
                closed: 0,
                failed: 0,
            }));
        }
        self.advance(slot);
    }

    /// Returns whether the client is at a boundary, and something is to become of it there.
    pub(super) fn may_move(&self, slot: u32) -> bool {
        let begun = self.arriving.as_ref().is_some_and(|arriving| arriving.begun);
        let begun = begun && self.clients_move();
        let client = &self.clients[slot as usize];
        begun
            && client.is_at_boundary()
            && match &client.upcoming {
                Some(Upcoming::Move { first, .. }) => first.is_some(),
                Some(Upcoming::Leave) => true,
                Some(Upcoming::Join) | None => false,
            }
    }

    /// Returns whether the client moves at once. A client of a closed loop that waits for the end
    /// of its think time does not: it moves when its next operation would have been eligible, so
    /// that clients do not all begin at the same moment.
    pub(super) fn moves_without_delay(&self, slot: u32) -> bool {
        let client = &self.clients[slot as usize];
        if !self.may_move(slot)
            || !matches!(client.state, ClientState::Idle | ClientState::Scheduled)
        {
            return false;
        }
        let follows = |operation: &Operation| matches!(operation.due, Due::After(_));
        let waits = client.pending.front().is_some_and(follows);
        let next_follows = match &client.upcoming {
            Some(Upcoming::Move { section: Section::Iteration, first: Some(first) }) => {
                first.operations.first().is_some_and(follows)
            }
            Some(Upcoming::Move { .. }) => true,
            _ => false,
        };
        !(waits && next_follows)
    }

    /// Discards what the client has fetched, and closes its handles. It goes on when they are
    /// closed. The client must be in none of the engine's queues.
    pub(super) fn start_move(&mut self, slot: u32, now_ns: u64) {
        self.supersede(slot, now_ns);
        let Some(number) = self.arriving.as_ref().map(|arriving| arriving.number) else { return };
        let client = &mut self.clients[slot as usize];
        client.moving = match client.upcoming.take() {
            Some(Upcoming::Move { section, first: Some(first) }) => {
                Some(Moving::To { generation: number, section, first })
            }
            _ => Some(Moving::Away),
        };
        client.state = ClientState::Closing;
        self.wanted.push_back(Action::Close { slot });
    }

    /// Discards the client's lookahead, and counts it.
    fn supersede(&mut self, slot: u32, now_ns: u64) {
        let client = &mut self.clients[slot as usize];
        let operations = client.pending.len() as u32;
        let due = |operation: &&Operation| {
            let due_ns = client.readiness.times(operation.due, client.origin_ns).0;
            operation.due.at_ns().is_some() && due_ns < now_ns
        };
        let overdue = client.pending.iter().filter(due).count() as u32;
        client.pending.clear();
        (client.section_ended, client.broke_off, client.pulling) = (false, false, false);
        client.arrived_ns = None;
        let generation = client.generation;
        self.note_superseded(generation, operations, overdue);
    }

    pub(super) fn note_superseded(&mut self, generation: u32, operations: u32, overdue: u32) {
        if operations > 0 {
            self.events.push(Event::Superseded { generation, operations, overdue });
        }
    }

    /// Goes on after the handles of a client that moves are closed: in the other generation, or
    /// with the teardown of a client that leaves.
    pub(super) fn finish_move(
        &mut self,
        slot: u32,
        moving: Moving,
        now_ns: u64,
        (closed, failed): (u32, u32),
    ) {
        let zero_ns = self.origin_ns;
        let client = &mut self.clients[slot as usize];
        let (from, client_idx) = (client.generation, client.client_idx);
        client.begin(now_ns);
        match moving {
            Moving::To { generation, section, first } => {
                let moved = MoveEvent {
                    client_idx,
                    from: Some(from),
                    to: Some(generation),
                    at_ns: now_ns,
                    closed,
                    failed,
                };
                self.events.push(Event::Moved(moved));
                (client.generation, client.section) = (generation, section);
                if section == Section::Iteration {
                    client.origin_ns = zero_ns;
                }
                client.section_ended = first.ended;
                self.last_seq[slot as usize] = first.operations.last().map(|last| last.seq);
                let operations = self.shifted(generation, section, first.operations);
                self.clients[slot as usize].pending.append(operations);
            }
            Moving::Away => {
                client.closed_leaving = (closed, failed);
                client.section = Section::Teardown;
                (client.section_ended, client.pulling) = (false, false);
            }
        }
        self.advance(slot);
    }

    /// Ends a client of whose setup an operation failed while the others iterate. It runs its
    /// teardown and leaves.
    pub(super) fn fail_to_join(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        client.pending.clear();
        (client.section_ended, client.upcoming) = (true, None);
        client.moving = Some(Moving::Away);
        client.state = ClientState::Closing;
        let client_idx = client.client_idx;
        self.wanted.push_back(Action::Close { slot });
        let reason = "an operation of its setup failed, so it did not begin to iterate".into();
        self.events.push(Event::ClientFailed { client_idx, measuring: !self.cut, reason });
    }

    /// Ends a client that has run its teardown while the others go on. Its connection ends, too.
    pub(super) fn leave(&mut self, slot: u32, now_ns: u64) {
        let client = &mut self.clients[slot as usize];
        (client.state, client.has_left) = (ClientState::Gone, true);
        let (closed, failed) = std::mem::take(&mut client.closed_leaving);
        let (client_idx, from) = (client.client_idx, Some(client.generation));
        self.unfinished -= 1;
        // A client whose setup failed has not joined, so it does not leave either.
        if std::mem::take(&mut client.joins) {
            if closed + failed > 0 {
                self.events.push(Event::Cleanup { client_idx, closed, failed });
            }
        } else {
            self.events.push(Event::Moved(MoveEvent {
                client_idx,
                from,
                to: None,
                at_ns: now_ns,
                closed,
                failed,
            }));
        }
        self.wanted.push_back(Action::Disconnect { slot });
        let arriving = self.arriving.as_ref();
        let arriving = arriving.filter(|arriving| arriving.begun && self.clients_move());
        if let (Some(arriving), Some(Upcoming::Join)) =
            (arriving, &self.clients[slot as usize].upcoming)
        {
            self.join(slot, arriving.number);
        }
    }

    /// Takes a batch that is not of the client's present generation: its first operations of the
    /// next one, or operations that it no longer wants.
    pub(super) fn take_other_batch(&mut self, batch: Batch) {
        let Batch { slot, section, generation, operations, ended, error } = batch;
        let client = &mut self.clients[slot as usize];
        let arriving = self.arriving.as_mut().filter(|arriving| arriving.number == generation);
        if let (Some(arriving), Some(Upcoming::Move { section: asked, first })) =
            (arriving, &mut client.upcoming)
            && *asked == section
            && first.is_none()
        {
            arriving.fetching -= 1;
            if let Some(error) = error {
                arriving.failed.get_or_insert(error);
            }
            *first = Some(FirstOperations { operations, ended });
        } else if generation <= client.generation
            && section == Section::Iteration
            && self.stage == Stage::Measure
            && !self.cut
        {
            self.note_superseded(generation, operations.len() as u32, 0);
        }
    }

    /// Counts the first operations of a generation that another one replaces before its clients
    /// have moved to it.
    fn discard_upcoming(&mut self) {
        let Some(arriving) = self.arriving.take() else { return };
        for slot in 0..self.clients.len() {
            if let Some(Upcoming::Move { section: Section::Iteration, first: Some(first) }) =
                self.clients[slot].upcoming.take()
                && arriving.times.is_some()
            {
                self.note_superseded(arriving.number, first.operations.len() as u32, 0);
            }
        }
    }

    /// Cuts the iterations of the clients that have not reached a boundary in time.
    fn cut_those_left(&mut self, now_ns: u64) {
        let left: Vec<u32> = (0..self.clients.len() as u32)
            .filter(|slot| {
                let client = &self.clients[*slot as usize];
                client.section == Section::Iteration
                    && client.upcoming.is_some()
                    && !client.is_finished()
            })
            .collect();
        for &slot in &left {
            self.supersede(slot, now_ns);
            self.clients[slot as usize].cut();
        }
        let clients = &self.clients;
        let is_left =
            |slot: u32| left.binary_search(&slot).is_ok() && clients[slot as usize].waits();
        self.schedule.retain(|next| !is_left(next.0.1));
        self.permits.retain(|slot| !is_left(slot));
        for slot in left {
            let client = &self.clients[slot as usize];
            if client.waits() || client.state == ClientState::Idle {
                self.discard_waiting(slot);
            }
        }
    }

    /// Returns operations of a generation with the times that they have in the run.
    pub(super) fn shifted(
        &self,
        generation: u32,
        section: Section,
        mut operations: Vec<Operation>,
    ) -> Vec<Operation> {
        let shift = self.shifts.iter().find(|shift| shift.generation == generation);
        if let Some(shift) = shift.filter(|_| section == Section::Iteration) {
            for operation in &mut operations {
                match &mut operation.due {
                    Due::At(at_ns) => *at_ns = at_ns.saturating_add(shift.at_ns),
                    Due::Arrival { at_ns, .. } => {
                        *at_ns = at_ns.saturating_add(shift.arrival_ns);
                    }
                    Due::After(_) => {}
                }
            }
        }
        operations
    }

    /// Forgets the times of generations before this one, which no client is in any more.
    pub fn forget_before(&mut self, generation: u32) {
        self.shifts.retain(|shift| shift.generation >= generation);
    }

    /// Ends the reload when the stage ends: whoever has not moved stays where it is.
    pub(super) fn end_reload(&mut self) {
        self.arriving = None;
        for client in &mut self.clients {
            (client.upcoming, client.moving) = (None, None);
        }
    }
}
