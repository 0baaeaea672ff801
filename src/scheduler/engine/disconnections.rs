//! The loss and the return of clients' connections, and the time in which they had none during the
//! measured phases.

use super::action::EngineError;
use super::client_queue::ClientState;
use super::state_machine::Engine;
use crate::ir::Event;
use crate::ir::event::Disconnection;
use crate::scheduler::timeline::{PhaseSpan, Stage};

impl Engine {
    /// Takes the operation in flight back: it was not sent, because the connection had ended
    /// while the client was idle. Its permit is released. It is issued again when the
    /// connection is back.
    ///
    /// # Errors
    /// [`EngineError::CompletionMismatch`] if `seq` is not the operation in flight.
    pub fn withheld(&mut self, slot: u32, seq: u32, now_ns: u64) -> Result<(), EngineError> {
        self.take_back(slot, seq, ClientState::Disconnected, now_ns)?;
        self.note_lost(slot, now_ns);
        Ok(())
    }

    /// Records that the client's connection is back.
    pub fn resume(&mut self, slot: u32, now_ns: u64) {
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::Disconnected {
            // It leaves, and its handles are being closed.
            self.report_disconnected(slot, now_ns);
            self.clients[slot as usize].lost_ns = None;
            return;
        }
        client.readiness.reconnected(now_ns);
        client.state = ClientState::Idle;
        if let Some(withheld) = &mut client.in_flight_op {
            withheld.hold_until(now_ns);
            self.schedule_at(slot, now_ns);
        }
        self.report_disconnected(slot, now_ns);
        self.clients[slot as usize].lost_ns = None;
        self.advance(slot);
    }

    /// Records that the client's connection is not coming back. The client ends here.
    pub fn lose(&mut self, slot: u32, now_ns: u64) {
        self.report_disconnected(slot, now_ns);
        self.report_unissued(slot as usize..slot as usize + 1, now_ns, |_| true);
        let client = &mut self.clients[slot as usize];
        let counted = !matches!(client.state, ClientState::Done | ClientState::Gone);
        client.cut();
        client.state = ClientState::Gone;
        // A client that could not connect may try again with the next generation.
        client.has_left = client.joins;
        if counted {
            self.unfinished -= 1;
        }
        self.forget_upcoming(slot);
        self.note_settled(slot);
        // This operation was not sent, or it waits to be tried again.
        self.discard(slot);
        self.settle_iteration(slot);
    }

    /// Records that the client has had no connection since `lost_ns`.
    pub(super) fn note_lost(&mut self, slot: u32, lost_ns: u64) {
        if self.stage == Stage::Measure && !self.cut {
            self.clients[slot as usize].lost_ns.get_or_insert(lost_ns);
        }
    }

    /// Reports, by phase, the time until `now_ns` in which the client had no connection and
    /// which was not reported yet. Time after the last phase does not count.
    pub(super) fn report_disconnected(&mut self, slot: u32, now_ns: u64) {
        let client = &mut self.clients[slot as usize];
        let Some(lost_ns) = client.lost_ns else { return };
        let mut from_ns = client.disconnected_until_ns.max(lost_ns);
        let end_ns = self.by_planned_end(now_ns);
        let client = &mut self.clients[slot as usize];
        client.disconnected_until_ns = end_ns.max(from_ns);
        let (client_idx, origin_ns) = (client.client_idx, self.origin_ns);
        while from_ns < end_ns {
            let phases = &self.config.phases;
            let phase = PhaseSpan::at(phases, Stage::Measure, origin_ns, from_ns);
            let span = phase.and_then(|phase| phases.get(usize::from(phase)));
            let phase_end_ns = span.and_then(|span| span.end_ns);
            let phase_end_ns = phase_end_ns.map_or(end_ns, |ns| origin_ns.saturating_add(ns));
            let to_ns = match phase_end_ns {
                later if later > from_ns => later.min(end_ns),
                _ => end_ns,
            };
            let disconnection = Disconnection { client_idx, phase, lost_ns, from_ns, to_ns };
            self.events.push(Event::Disconnected(disconnection));
            from_ns = to_ns;
        }
    }

    /// Reports the time without a connection that is not reported yet when measuring ends at
    /// `now_ns`.
    pub(super) fn end_disconnections(&mut self, now_ns: u64) {
        if self.stage != Stage::Measure {
            return;
        }
        for slot in 0..self.clients.len() as u32 {
            self.report_disconnected(slot, now_ns);
            self.clients[slot as usize].lost_ns = None;
        }
    }
}
