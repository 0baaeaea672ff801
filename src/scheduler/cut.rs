//! The ways in which an engine's work ends before its stream does: the cut, and giving up.

use super::action::Action;
use super::client_queue::{Attempt, ClientQueue, ClientState};
use super::engine::Engine;
use super::timeline::Stage;
use crate::backend::Execution;
use crate::ir::event::Unissued;
use crate::ir::{CompletionStatus, Event};

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
            if client.state == ClientState::Held {
                self.discard(slot as u32);
            } else if client.waits() {
                client.state = ClientState::Idle;
                self.discard(slot as u32);
            }
            self.settle_iteration(slot as u32);
            self.advance(slot as u32);
        }
    }

    /// Reports what these clients were to issue until `now_ns` and did not, of those `of` chooses.
    pub(super) fn report_unissued(
        &mut self,
        slots: std::ops::Range<usize>,
        now_ns: u64,
        of: impl Fn(&ClientQueue) -> bool,
    ) {
        let Stage::Measure = self.stage else { return };
        let cut_ns = self.planned_end_ns().map_or(now_ns, |end_ns| end_ns.min(now_ns));
        let mut unissued = Unissued::default();
        for client in self.clients[slots].iter_mut().filter(|client| of(client)) {
            let phases = &self.config.phases;
            let late = client.drop_unissued_arrivals(phases, self.origin_ns, cut_ns);
            self.events.extend(late.into_iter().map(Event::Iteration));
            client.count_unissued(self.origin_ns, cut_ns, &mut unissued);
        }
        if unissued != Unissued::default() {
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
                if let (Stage::Measure, Some(bound)) = (self.stage, self.permits.operations()) {
                    bound.give_back();
                }
            }
        }
    }

    /// Gives up: everything in flight completes as cut, nothing else is issued.
    pub fn abandon(&mut self, now_ns: u64) {
        self.cut(now_ns);
        self.wanted.clear();
        for slot in 0..self.clients.len() {
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
