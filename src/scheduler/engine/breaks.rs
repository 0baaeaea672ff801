//! Operations that were issued and not sent, because they wait for the end of a break or for a
//! connection; and the breaks themselves.

use std::cmp::Reverse;

use super::action::EngineError;
use super::client_queue::ClientState;
use super::state_machine::Engine;
use crate::ir::Event;
use crate::ir::event::{BreakEvent, Unissued};
use crate::scheduler::timeline::{PhaseSpan, Stage};

impl Engine {
    /// Takes the operation in flight back: it was not sent, because it has to wait for the end
    /// of a break. Its permit is released.
    ///
    /// # Errors
    /// [`EngineError::CompletionMismatch`] if `seq` is not the operation in flight.
    pub fn blocked(&mut self, slot: u32, seq: u32, now_ns: u64) -> Result<(), EngineError> {
        self.take_back(slot, seq)?;
        self.clients[slot as usize].state = ClientState::BreakPending;
        if self.cut {
            self.note_unissued(slot, now_ns);
            self.clients[slot as usize].state = ClientState::Idle;
            self.discard(slot);
            self.settle_iteration(slot);
            self.advance(slot);
        }
        Ok(())
    }

    /// Takes the operation in flight back: it was not sent, because the connection had ended
    /// while the client was idle. Its permit is released. It is issued anew when the
    /// connection is back.
    ///
    /// # Errors
    /// [`EngineError::CompletionMismatch`] if `seq` is not the operation in flight.
    pub fn withheld(&mut self, slot: u32, seq: u32, now_ns: u64) -> Result<(), EngineError> {
        self.take_back(slot, seq)?;
        self.clients[slot as usize].state = ClientState::Held;
        if self.cut {
            self.note_unissued(slot, now_ns);
            self.discard(slot);
            self.settle_iteration(slot);
        } else {
            self.note_lost(slot, now_ns);
        }
        Ok(())
    }

    /// Undoes the issue of the operation in flight and releases its permit.
    fn take_back(&mut self, slot: u32, seq: u32) -> Result<(), EngineError> {
        let client = &mut self.clients[slot as usize];
        let in_flight = match &mut client.in_flight_op {
            Some(in_flight)
                if in_flight.operation.seq == seq && client.state == ClientState::InFlight =>
            {
                in_flight
            }
            other => {
                let expected = other.as_ref().map(|in_flight| in_flight.operation.seq);
                let client_idx = client.client_idx;
                return Err(EngineError::CompletionMismatch { client_idx, expected, got: seq });
            }
        };
        if in_flight.failed.is_some() {
            in_flight.retries -= 1;
        }
        let operation = in_flight.operation.clone();
        self.release(&operation);
        self.clients[slot as usize].withdraw_issue();
        Ok(())
    }

    /// Schedules operation `seq` again, because the break it waited for ended at `ended_ns`.
    /// Does nothing if the run was cut meanwhile.
    pub fn unblocked(&mut self, slot: u32, seq: u32, ended_ns: u64) {
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::BreakPending {
            return;
        }
        let Some(in_flight) = client.in_flight_op.as_mut().filter(|op| op.operation.seq == seq)
        else {
            return;
        };
        in_flight.hold_until(ended_ns);
        client.state = ClientState::Scheduled;
        self.schedule.push(Reverse((ended_ns, slot)));
    }

    /// Reports a break that has ended, with the phase in which it was noticed.
    pub fn broken(&mut self, mut event: Box<BreakEvent>) {
        if event.noticed_ns >= self.origin_ns {
            let phases = &self.config.phases;
            event.phase = PhaseSpan::at(phases, self.stage, self.origin_ns, event.noticed_ns);
        }
        self.events.push(Event::Break(event));
    }

    /// Counts an operation as unissued if the cut came after its issue and before the report
    /// that it was not sent. It counts as if it had waited at the cut.
    fn note_unissued(&mut self, slot: u32, now_ns: u64) {
        let Stage::Measure = self.stage else { return };
        let cut_ns = self.planned_end_ns().map_or(now_ns, |end_ns| end_ns.min(now_ns));
        let mut unissued = Unissued::default();
        self.clients[slot as usize].count_blocked(cut_ns, &mut unissued);
        if unissued != Unissued::default() {
            self.events.push(Event::Unissued(unissued));
        }
    }
}
