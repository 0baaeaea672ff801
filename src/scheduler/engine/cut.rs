//! The ways in which an engine's work ends before its stream does: the cut, the bound on
//! operations, and giving up.

use super::action::Action;
use super::client_queue::{Attempt, ClientQueue, ClientState};
use super::state_machine::Engine;
use crate::ir::event::Unissued;
use crate::ir::{CompletionStatus, Event, Execution, Section};
use crate::scheduler::operation_bound::OperationBound;
use crate::scheduler::timeline::Stage;

impl Engine {
    /// Discards the operations that are not issued. An operation in flight still completes.
    /// One that waits to be tried again completes with the attempt that failed.
    pub fn cut(&mut self, now_ns: u64) {
        if self.cut {
            return;
        }
        self.cut = true;
        self.report_unissued(0..self.clients.len(), now_ns, |_| true);
        self.end_disconnections(now_ns);
        self.end_streams();
    }

    /// Discards the lookahead of every client and the operations that are not issued. At the
    /// bound on operations, those that were issued before and wait to be issued again are kept,
    /// because they are counted already.
    fn end_streams(&mut self) {
        let (clients, cut, stage) = (&self.clients, self.cut, self.stage);
        // A client that leaves runs its teardown to its end.
        let leaves = |slot: u32| {
            stage == Stage::Measure && clients[slot as usize].section == Section::Teardown
        };
        let keep =
            |slot: u32| leaves(slot) || (!cut && clients[slot as usize].in_flight_op.is_some());
        self.schedule.retain(|next| keep(next.0.1));
        self.permits.retain(keep);
        self.wanted.retain(|action| match action {
            Action::Pull(request) => leaves(request.slot),
            _ => true,
        });
        for slot in 0..self.clients.len() as u32 {
            let client = &mut self.clients[slot as usize];
            let leaves = stage == Stage::Measure && client.section == Section::Teardown;
            if client.is_finished() || leaves {
                continue;
            }
            if client.state == ClientState::Joining {
                (client.state, client.has_left) = (ClientState::Gone, true);
                self.unfinished -= 1;
                self.wanted.push_back(Action::Disconnect { slot });
                continue;
            }
            client.cut();
            let issued = client.state == ClientState::InFlight;
            if !issued && (cut || client.in_flight_op.is_none()) {
                self.discard_waiting(slot);
            }
        }
    }

    /// Discards the client's operation that waits to be issued, and moves the client on.
    pub(super) fn discard_waiting(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        if client.waits() {
            client.state = ClientState::Idle;
        }
        self.discard(slot);
        self.settle_iteration(slot);
        self.advance(slot);
    }

    /// Reports what these clients were to issue until `now_ns` and did not, of those `of` chooses.
    pub(super) fn report_unissued(
        &mut self,
        slots: std::ops::Range<usize>,
        now_ns: u64,
        of: impl Fn(&ClientQueue) -> bool,
    ) {
        let Stage::Measure = self.stage else { return };
        let cut_ns = self.by_planned_end(now_ns);
        let mut unissued = Unissued::default();
        for client in self.clients[slots].iter_mut().filter(|client| of(client)) {
            let phases = &self.config.phases;
            let late = client.drop_unissued_arrivals(phases, self.origin_ns, cut_ns);
            self.events.extend(late.into_iter().map(Event::Iteration));
            client.count_unissued(self.origin_ns, cut_ns, &mut unissued);
        }
        self.push_unissued(unissued);
    }

    pub(super) fn push_unissued(&mut self, unissued: Unissued) {
        if self.stage == Stage::Measure && unissued != Unissued::default() {
            self.events.push(Event::Unissued(unissued));
        }
    }

    /// Drops the client's operation that waits to be issued. If it was tried before, it
    /// completes with that attempt; otherwise it was never issued, and another may be instead.
    pub(super) fn discard(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        let Some(mut in_flight) = client.in_flight_op.take() else { return };
        match in_flight.failed.take() {
            Some(failed) => self.report(slot, in_flight, *failed),
            None => {
                client.note_abandoned();
                let counted = in_flight.operation.section == Section::Iteration;
                if let (Stage::Measure, true, Some(bound)) =
                    (self.stage, counted, self.permits.shared.operations())
                {
                    bound.give_back();
                }
            }
        }
    }

    /// Ends the stream of every client of this engine once the bound is reached. Operations that
    /// were issued before run to completion, and the stage ends as it does when a stream ends by
    /// itself. Operations with a time of their own that had passed by then are reported as
    /// unissued: they show a server or a generator that was behind.
    pub(super) fn end_at_bound(&mut self, now_ns: u64) {
        let bound = self.permits.shared.operations();
        let reached = bound.is_some_and(OperationBound::is_reached);
        if !reached || self.at_bound || self.cut || self.stage != Stage::Measure {
            return;
        }
        self.at_bound = true;
        self.report_unissued(0..self.clients.len(), now_ns, ClientQueue::has_own_times);
        self.end_streams();
    }

    /// Counts the client's next operation against the bound (`--operations`), and returns whether
    /// it may be issued. An operation that was counted and waits to be issued again is not counted
    /// twice.
    pub(super) fn takes_from_bound(&self, slot: u32) -> bool {
        let client = &self.clients[slot as usize];
        let counts = self.stage == Stage::Measure && client.section == Section::Iteration;
        let taken = client.in_flight_op.is_some();
        !counts || taken || self.permits.shared.take_operation()
    }

    /// Gives up: everything in flight completes as cut, nothing else is issued.
    pub fn abandon(&mut self, now_ns: u64) {
        self.cut(now_ns);
        self.wanted.clear();
        // Clients that leave are not cut, so their operations may still wait to be issued.
        self.permits.retain(|_| false);
        self.schedule.clear();
        for slot in 0..self.clients.len() {
            if self.clients[slot].state != ClientState::InFlight {
                self.discard(slot as u32);
            }
            let client = &mut self.clients[slot];
            let Some(in_flight) = client.in_flight_op.take() else { continue };
            let issued_ns = in_flight.handed_ns;
            client.note_abandoned();
            self.release(&in_flight.operation);
            let execution = Execution::of(CompletionStatus::Cut);
            let last = Attempt { issued_ns, completed_ns: now_ns, execution };
            self.report(slot as u32, in_flight, last);
            self.settle_iteration(slot as u32);
        }
        for client in &mut self.clients {
            client.state = ClientState::Gone;
        }
        self.unfinished = 0;
    }
}
