//! Operations that were issued and not sent, because they wait for the end of a break; and the
//! breaks themselves.

use super::action::EngineError;
use super::client_queue::ClientState;
use super::state_machine::Engine;
use crate::ir::Event;
use crate::ir::event::{BreakEvent, Unissued};
use crate::scheduler::timeline::PhaseSpan;

impl Engine {
    /// Takes the operation in flight back: it was not sent, because it has to wait for the end
    /// of a break. Its permit is released.
    ///
    /// # Errors
    /// [`EngineError::CompletionMismatch`] if `seq` is not the operation in flight.
    pub fn blocked(&mut self, slot: u32, seq: u32, now_ns: u64) -> Result<(), EngineError> {
        self.take_back(slot, seq, ClientState::Blocked, now_ns)
    }

    /// Undoes the issue of the operation in flight and releases its permit. The client is in
    /// the state `waits` afterwards. If the stage was cut meanwhile, the operation is discarded.
    pub(super) fn take_back(
        &mut self,
        slot: u32,
        seq: u32,
        waits: ClientState,
        now_ns: u64,
    ) -> Result<(), EngineError> {
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
        let client = &mut self.clients[slot as usize];
        client.withdraw_issue();
        client.state = waits;
        if self.cut {
            self.note_unissued(slot, now_ns);
            self.discard_waiting(slot);
        }
        Ok(())
    }

    /// Schedules operation `seq` again, because the break it waited for ended at `ended_ns`.
    /// Does nothing if the run was cut meanwhile.
    pub fn unblocked(&mut self, slot: u32, seq: u32, ended_ns: u64) {
        let client = &mut self.clients[slot as usize];
        if client.state != ClientState::Blocked {
            return;
        }
        let Some(in_flight) = client.in_flight_op.as_mut().filter(|op| op.operation.seq == seq)
        else {
            return;
        };
        in_flight.hold_until(ended_ns);
        self.schedule_at(slot, ended_ns);
    }

    /// Reports a break that has ended, with the phase in which it was noticed.
    pub fn break_ended(&mut self, mut event: Box<BreakEvent>) {
        if event.noticed_ns >= self.origin_ns {
            let phases = &self.config.phases;
            event.phase = PhaseSpan::at(phases, self.stage, self.origin_ns, event.noticed_ns);
        }
        self.events.push(Event::Break(event));
    }

    /// Counts an operation as unissued if the cut came after its issue and before the report
    /// that it was not sent. It counts as if it had waited at the cut.
    fn note_unissued(&mut self, slot: u32, now_ns: u64) {
        let mut unissued = Unissued::default();
        self.clients[slot as usize].count_withheld(self.by_planned_end(now_ns), &mut unissued);
        self.push_unissued(unissued);
    }
}
