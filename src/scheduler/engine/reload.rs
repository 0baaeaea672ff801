//! The move of clients to another generation of the stream, while they iterate.
//!
//! A reload has two parts. [`Engine::prepare`] asks for the first operations of every client that
//! stays. When all of them have arrived ([`Engine::fetched`]), [`Engine::begin`] lets each client
//! move at its next boundary: between two iterations, when nothing of it is in flight. A generation
//! that is only prepared changes nothing for clients that still move to the one before.

use std::collections::HashSet;
use std::sync::Arc;

use super::action::Action;
use super::client_queue::{ClientQueue, ClientState};
use super::generation::{
    ArrivalDelay, Arriving, FirstOperations, Generation, GenerationTimes, Moving, Prepared,
    Upcoming,
};
use super::state_machine::Engine;
use crate::ir::event::{FIRST_GENERATION, MoveEvent};
use crate::ir::{Due, Event, Operation, Section, SourceError};
use crate::scheduler::batch::{Batch, BatchRequest};
use crate::scheduler::timeline::Stage;

/// Maximum number of operations that are asked for ahead of the moves of all clients, and of one.
/// There are few, because all clients are asked at once and the acceptance of a generation waits
/// for them.
const FIRST_OPERATIONS: usize = 2_048;
const FIRST_OF_A_CLIENT: usize = 8;

impl Engine {
    /// Asks for the first operations of the clients that stay. Clients that the shard does not know
    /// are added to it: [`Engine::client_idx`] returns them.
    pub fn prepare(&mut self, generation: Generation) {
        if self.stage != Stage::Measure || self.cut || self.over {
            return;
        }
        let Generation { number, config, clients } = generation;
        self.prepared = Some(Prepared {
            number,
            clients: clients.iter().copied().collect(),
            config,
            fetching: 0,
            failed: None,
        });
        for slot in 0..self.clients.len() as u32 {
            self.clients[slot as usize].first = None;
            if let Some(again) = self.stays(slot) {
                self.fetch_first(slot, again);
            }
        }
        let known: HashSet<u32> = self.clients.iter().map(|client| client.client_idx).collect();
        for (client_idx, _) in clients {
            if known.contains(&client_idx) {
                continue;
            }
            let mut client = ClientQueue::new(client_idx);
            (client.state, client.has_left) = (ClientState::Gone, true);
            self.clients.push(client);
            self.last_seq.push(None);
        }
        self.deadlines.grow(self.clients.len());
    }

    /// Returns whether the setup of a client that stays in the prepared generation runs again; none
    /// if the client does not stay.
    fn stays(&self, slot: u32) -> Option<bool> {
        let prepared = self.prepared.as_ref()?;
        let client = &self.clients[slot as usize];
        let again = prepared.clients.get(&client.client_idx).copied()?;
        // A client that is to leave may have left before the generation begins, and joins then: its
        // stream must still be at its setup.
        let is_to_leave = matches!(client.upcoming.as_deref(), Some(Upcoming::Leave));
        let stays = client.state != ClientState::Gone
            && !client.leaves()
            && !is_to_leave
            && Some(client.client_idx) != prepared.config.run_client;
        stays.then_some(again)
    }

    fn fetch_first(&mut self, slot: u32, set_up_again: bool) {
        let Some(prepared) = &mut self.prepared else { return };
        prepared.fetching += 1;
        let generation = prepared.number;
        let first = self.ask_for_first(slot, generation, set_up_again);
        self.clients[slot as usize].first = Some(Box::new(first));
    }

    fn ask_for_first(&mut self, slot: u32, generation: u32, set_up_again: bool) -> FirstOperations {
        let section = if set_up_again { Section::Setup } else { Section::Iteration };
        self.wanted.push_back(Action::Pull(BatchRequest {
            slot,
            client_idx: self.clients[slot as usize].client_idx,
            section,
            max: (FIRST_OPERATIONS / self.clients.len().max(1)).clamp(2, FIRST_OF_A_CLIENT),
            generation,
            of_stage: Section::Iteration,
        }));
        FirstOperations { generation, section, fetched: None }
    }

    /// Returns whether the first operations of the generation that was prepared have arrived, or
    /// the error with which one of its clients broke off. None while they are being made.
    pub fn fetched(&self) -> Option<Result<(), SourceError>> {
        let prepared = self.prepared.as_ref()?;
        match &prepared.failed {
            Some(error) => Some(Err(error.clone())),
            None => (prepared.fetching == 0).then_some(Ok(())),
        }
    }

    /// Lets the clients move to the generation that was prepared. Those that have not moved to the
    /// one before move to this one.
    pub fn begin(&mut self, generation: u32, times: GenerationTimes) {
        let Some(prepared) = self.prepared.take_if(|it| it.number == generation) else { return };
        for slot in 0..self.clients.len() {
            let run_client = prepared.config.run_client;
            let client = &mut self.clients[slot];
            client.unsettled = false;
            let wanted = prepared.clients.get(&client.client_idx).copied();
            let before = client.upcoming.take().map(|before| *before);
            let mut first = client.first.take();
            let upcoming = match wanted {
                _ if Some(client.client_idx) == run_client => None,
                Some(_) if first.is_none() && (client.has_left || client.leaves()) => {
                    Some(Upcoming::Join)
                }
                // One that failed in the meantime may join with a later generation.
                _ if client.state == ClientState::Gone || client.leaves() => None,
                Some(again) => Some(Upcoming::Move(match first.take() {
                    Some(first) => *first,
                    // It joined since the generation was prepared, or was to leave.
                    None => self.ask_for_first(slot as u32, generation, again),
                })),
                None => Some(Upcoming::Leave),
            };
            self.clients[slot].upcoming = upcoming.map(Box::new);
            first.into_iter().for_each(|first| self.note_unused(*first));
            if let Some(Upcoming::Move(first)) = before {
                self.note_unused(first);
            }
        }
        self.arriving =
            Some(Arriving { number: generation, times, begun: false, cut: false, unsettled: 0 });
        let ns = times.begin_ns.saturating_sub(times.planned_ns);
        self.arrival_delays.push(ArrivalDelay { generation, ns });
        self.config = Arc::clone(&prepared.config);
        self.events.push(Event::Reloaded { generation });
    }

    /// Counts first operations of a generation that their client does not go on with.
    fn note_unused(&mut self, first: FirstOperations) {
        if let (Section::Iteration, Some((operations, _))) = (first.section, first.fetched) {
            self.note_superseded(first.generation, operations.len() as u32, 0);
        }
    }

    /// Forgets the generation that was prepared. It does not come.
    pub fn withdraw(&mut self, generation: u32) {
        if self.prepared.take_if(|prepared| prepared.number == generation).is_some() {
            for client in &mut self.clients {
                client.first = None;
            }
        }
    }

    /// Returns whether every client has moved to the generation, left or failed.
    pub fn has_settled(&self, generation: u32) -> bool {
        let arriving = self.arriving.as_ref().filter(|arriving| arriving.number == generation);
        arriving.is_some_and(|arriving| arriving.begun && arriving.unsettled == 0)
    }

    /// Ends a reload that has settled. No client is in a generation before this one any more.
    pub fn settle(&mut self, generation: u32) {
        self.arriving = None;
        self.arrival_delays.retain(|delay| delay.generation >= generation);
    }

    /// Counts the client as settled: it has moved, joined, left or failed.
    pub(super) fn note_settled(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        if std::mem::take(&mut client.unsettled)
            && let Some(arriving) = &mut self.arriving
        {
            arriving.unsettled -= 1;
        }
    }

    /// Cancels the move of a client that is lost or fails.
    pub(super) fn forget_upcoming(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        let (upcoming, moving) = (client.upcoming.take(), client.moving.take());
        // That they were asked for is kept: the stream is past the client's setup.
        let first = client.first.as_deref_mut().filter(|first| first.fetched.is_none());
        let waits = first.map(|first| first.fetched = Some((Vec::new(), true))).is_some();
        if let Some(Upcoming::Move(first)) = upcoming.map(|upcoming| *upcoming) {
            self.note_unused(first);
        }
        if let Some(Moving::To(first)) = moving.map(|moving| *moving) {
            self.note_unused(first);
        }
        if let Some(prepared) = self.prepared.as_mut().filter(|_| waits) {
            prepared.fetching -= 1;
        }
    }

    /// Returns the time at which the engine must be polled for the generation that arrives.
    pub(super) fn next_move_ns(&self) -> Option<u64> {
        let arriving = self.arriving.as_ref().filter(|_| self.clients_move())?;
        match (arriving.begun, arriving.cut) {
            (false, _) => Some(arriving.times.begin_ns),
            (true, false) => Some(arriving.times.cut_ns),
            (true, true) => None,
        }
    }

    /// Returns whether clients that are done, or are not there yet, may have something to do with a
    /// generation that comes.
    pub(super) fn goes_on(&self) -> bool {
        let comes = self.arriving.as_ref().is_some_and(|arriving| !arriving.begun);
        self.clients_move() && (comes || self.prepared.is_some())
    }

    /// Returns whether the stage is one in which clients move, and has not ended.
    fn clients_move(&self) -> bool {
        self.stage == Stage::Measure && !self.cut && !self.at_bound && !self.over
    }

    /// Returns whether the client may go on issuing operations: after a cut or the bound on
    /// operations, only in the teardown with which it leaves.
    pub(super) fn goes_on_issuing(&self, slot: u32) -> bool {
        let leaves = self.stage == Stage::Measure
            && self.clients[slot as usize].section == Section::Teardown;
        leaves || !(self.cut || self.at_bound)
    }

    /// Begins the moves when their time has come, and cuts the clients that are left when that
    /// time has.
    pub(super) fn poll_arriving(&mut self, now_ns: u64) {
        if !self.clients_move() {
            return;
        }
        let Some(arriving) = &mut self.arriving else { return };
        if !arriving.begun && now_ns >= arriving.times.begin_ns {
            arriving.begun = true;
            self.begin_moves(now_ns);
        }
        let Some(arriving) = &mut self.arriving else { return };
        if arriving.begun && !arriving.cut && now_ns >= arriving.times.cut_ns {
            arriving.cut = true;
            self.cut_unmoved(now_ns);
        }
    }

    fn begin_moves(&mut self, now_ns: u64) {
        let Some(arriving) = &mut self.arriving else { return };
        let generation = arriving.number;
        arriving.unsettled = 0;
        for client in &mut self.clients {
            client.unsettled = client.upcoming.is_some()
                || client.leaves()
                || client.state == ClientState::Joining;
            arriving.unsettled += usize::from(client.unsettled);
        }
        for slot in 0..self.clients.len() as u32 {
            let client = &mut self.clients[slot as usize];
            if Some(client.client_idx) == self.config.run_client {
                client.generation = generation;
                self.last_seq[slot as usize] = None;
            } else if matches!(client.upcoming.as_deref(), Some(Upcoming::Join)) && client.has_left
            {
                self.join(slot, generation);
            } else {
                self.move_at_once(slot, now_ns);
            }
        }
        self.unschedule_moved();
    }

    /// Takes the clients that have begun to move out of the schedule.
    fn unschedule_moved(&mut self) {
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
        if client.upcoming.is_none() {
            self.note_settled(slot);
        }
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
        client.moved_ns = at_ns;
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

    /// Returns whether the client is at a boundary, and is to move or to leave there.
    pub(super) fn may_move(&self, slot: u32) -> bool {
        let begun = self.arriving.as_ref().is_some_and(|arriving| arriving.begun);
        let begun = begun && self.clients_move();
        let client = &self.clients[slot as usize];
        begun
            && client.is_at_boundary()
            && match client.upcoming.as_deref() {
                Some(Upcoming::Move(first)) => first.fetched.is_some(),
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
        let next_follows = match client.upcoming.as_deref() {
            Some(Upcoming::Move(first)) if first.section == Section::Iteration => {
                let fetched = first.fetched.as_ref();
                fetched.and_then(|(operations, _)| operations.first()).is_some_and(follows)
            }
            Some(Upcoming::Move(_)) => true,
            _ => false,
        };
        !(waits && next_follows)
    }

    /// Begins the move of a client that waits for nothing, if there is one. One that had ended its
    /// stream begins anew. The caller takes a client that moves out of the schedule.
    pub(super) fn move_at_once(&mut self, slot: u32, now_ns: u64) {
        let is_done = self.clients[slot as usize].state == ClientState::Done;
        if is_done && self.may_move(slot) {
            self.unfinished += 1;
            self.start_move(slot, now_ns);
        } else if self.moves_without_delay(slot) {
            self.start_move(slot, now_ns);
        }
    }

    /// Discards what the client has fetched, and closes its handles. It goes on when they are
    /// closed. The client must be in none of the engine's queues.
    pub(super) fn start_move(&mut self, slot: u32, now_ns: u64) {
        self.supersede(slot, now_ns);
        let client = &mut self.clients[slot as usize];
        client.moving = Some(Box::new(match client.upcoming.take().map(|upcoming| *upcoming) {
            Some(Upcoming::Move(first)) => Moving::To(first),
            _ => Moving::Away,
        }));
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
            Moving::To(FirstOperations { generation, section, fetched }) => {
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
                client.moved_ns = now_ns;
                if section == Section::Iteration {
                    client.origin_ns = zero_ns;
                }
                let (operations, ended) = fetched.unwrap_or_default();
                client.section_ended = ended;
                self.last_seq[slot as usize] = operations.last().map(|last| last.seq);
                let operations = self.in_run_time(slot, section, operations);
                self.clients[slot as usize].pending.append(operations);
                if self.arriving.as_ref().is_some_and(|it| it.number == generation) {
                    self.note_settled(slot);
                }
            }
            Moving::Away => {
                client.closed_leaving = (closed, failed);
                client.section = Section::Teardown;
                client.pending.clear();
                (client.section_ended, client.pulling) = (false, false);
            }
        }
        self.advance(slot);
    }

    /// Ends a client whose setup failed or broke off while the others iterate. It runs its teardown
    /// and leaves.
    pub(super) fn fail_to_join(&mut self, slot: u32, reason: String) {
        self.forget_upcoming(slot);
        let client = &mut self.clients[slot as usize];
        client.pending.clear();
        (client.section_ended, client.pulling) = (true, false);
        client.moving = Some(Box::new(Moving::Away));
        client.state = ClientState::Closing;
        let client_idx = client.client_idx;
        self.wanted.push_back(Action::Close { slot });
        self.events.push(Event::ClientFailed { client_idx, measuring: !self.cut, reason });
    }

    /// Ends the setup or the teardown of a client whose stream broke off in it, while the others
    /// iterate. Their stream goes on.
    pub(super) fn section_broke_off(&mut self, slot: u32, reason: String) {
        let client = &mut self.clients[slot as usize];
        if client.section == Section::Setup {
            return self.fail_to_join(slot, reason);
        }
        client.section_ended = true;
        let client_idx = client.client_idx;
        self.events.push(Event::ClientFailed { client_idx, measuring: !self.cut, reason });
        self.advance(slot);
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
        match (arriving, self.clients[slot as usize].upcoming.as_deref()) {
            (Some(arriving), Some(Upcoming::Join)) => self.join(slot, arriving.number),
            _ => self.note_settled(slot),
        }
    }

    /// Takes a batch that is not of the client's present generation: its first operations of the
    /// next one, or operations that it no longer wants.
    pub(super) fn take_other_batch(&mut self, batch: Batch, now_ns: u64) {
        let Batch { slot, section, generation, operations, ended, error } = batch;
        let client = &mut self.clients[slot as usize];
        let prepared = self.prepared.as_mut().filter(|prepared| prepared.number == generation);
        if let (Some(prepared), Some(first)) = (prepared, client.first.as_deref_mut())
            && first.section == section
            && first.fetched.is_none()
        {
            prepared.fetching -= 1;
            if let Some(error) = error {
                prepared.failed.get_or_insert(error);
            }
            first.fetched = Some((operations, ended));
        } else if let Some(Upcoming::Move(first)) = client.upcoming.as_deref_mut()
            && (first.generation, first.section) == (generation, section)
            && first.fetched.is_none()
        {
            first.fetched = Some((operations, ended));
            if let Some(error) = error {
                // The generation was accepted without this client, which leaves.
                client.upcoming = Some(Box::new(Upcoming::Leave));
                let (client_idx, reason) = (client.client_idx, error.to_string());
                self.events.push(Event::ClientFailed { client_idx, measuring: true, reason });
            }
            self.move_at_once(slot, now_ns);
            self.unschedule_moved();
        } else if generation <= client.generation
            && section == Section::Iteration
            && self.stage == Stage::Measure
            && !self.cut
        {
            self.note_superseded(generation, operations.len() as u32, 0);
        }
    }

    /// Returns the number of clients that were cut because they did not move in time, since the last
    /// call.
    pub fn take_cut_late(&mut self) -> u32 {
        std::mem::take(&mut self.cut_late)
    }

    /// Cuts the iterations of the clients that have not reached a boundary in time.
    fn cut_unmoved(&mut self, now_ns: u64) {
        let left: Vec<u32> = (0..self.clients.len() as u32)
            .filter(|slot| {
                let client = &self.clients[*slot as usize];
                client.section == Section::Iteration
                    && client.upcoming.is_some()
                    && !client.is_finished()
            })
            .collect();
        self.cut_late += left.len() as u32;
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

    /// Returns operations of the client's generation with the times that they have in the run.
    /// Arrivals go on with the run's time. Times that the stream names count from the client's move.
    pub(super) fn in_run_time(
        &self,
        slot: u32,
        section: Section,
        mut operations: Vec<Operation>,
    ) -> Vec<Operation> {
        let client = &self.clients[slot as usize];
        if client.generation == FIRST_GENERATION || section != Section::Iteration {
            return operations;
        }
        let delay = self.arrival_delays.iter().find(|it| it.generation == client.generation);
        let delay_ns = delay.map_or(0, |delay| delay.ns);
        let moved_ns = client.moved_ns.saturating_sub(self.origin_ns);
        for operation in &mut operations {
            match &mut operation.due {
                Due::At(at_ns) => *at_ns = at_ns.saturating_add(moved_ns),
                Due::Arrival { at_ns, .. } => *at_ns = at_ns.saturating_add(delay_ns),
                Due::After(_) => {}
            }
        }
        operations
    }

    /// Ends the reload when the stage ends: whoever has not moved stays where it is.
    pub(super) fn end_reload(&mut self) {
        (self.arriving, self.prepared) = (None, None);
        for client in &mut self.clients {
            (client.upcoming, client.moving, client.first) = (None, None, None);
            client.unsettled = false;
        }
    }
}
