//! Iterations that are dropped whole, because they arrived while their client was busy.

use super::client_queue::{ClientQueue, ClientState};
use crate::ir::Operation;
use crate::ir::event::{IterationEvent, IterationOutcome};
use crate::scheduler::timeline::{PhaseSpan, Stage};

impl ClientQueue {
    /// Skips queued iterations that must not run, and the rest of an iteration that is being
    /// skipped. Returns the dropped arrivals that were due before `until_ns`.
    pub fn skip_iterations(
        &mut self,
        phases: &[PhaseSpan],
        origin_ns: u64,
        until_ns: u64,
    ) -> Vec<IterationEvent> {
        let mut dropped = Vec::new();
        while self.state == ClientState::Idle
            && let Some(next) = self.pending.front()
        {
            let (due_ns, eligible_ns) = self.readiness.times(next.due, origin_ns);
            let busy = due_ns < eligible_ns && due_ns < until_ns;
            if self.readiness.drops(next.iteration) {
                self.pending.pop_front();
            } else if self.may_be_dropped(next) && busy {
                let phase = PhaseSpan::at(phases, Stage::Measure, origin_ns, due_ns);
                dropped.push(self.dropped(next.iteration, phase, due_ns, eligible_ns));
                self.readiness.drop_iteration(next.iteration, eligible_ns);
            } else {
                break;
            }
        }
        dropped
    }

    /// Drops, at a cut, the iterations that arrived before it and found the client busy, which
    /// it still is. Returns them.
    pub fn drop_unissued_arrivals(
        &mut self,
        phases: &[PhaseSpan],
        origin_ns: u64,
        cut_ns: u64,
    ) -> Vec<IterationEvent> {
        let busy = self.in_flight_op.is_some() || self.state == ClientState::Disconnected;
        let mut dropped: Vec<IterationEvent> = Vec::new();
        if !busy {
            return dropped;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|next| {
            let (due_ns, _) = self.readiness.times(next.due, origin_ns);
            if self.may_be_dropped(next) && due_ns < cut_ns {
                let phase = PhaseSpan::at(phases, Stage::Measure, origin_ns, due_ns);
                dropped.push(self.dropped(next.iteration, phase, due_ns, cut_ns));
            }
            dropped.last().is_none_or(|last| last.iteration != next.iteration)
        });
        self.pending = pending;
        dropped
    }

    fn dropped(
        &self,
        iteration: u32,
        phase: Option<u16>,
        due_ns: u64,
        busy_until_ns: u64,
    ) -> IterationEvent {
        IterationEvent {
            client_idx: self.client_idx,
            iteration,
            phase,
            due_ns,
            eligible_ns: busy_until_ns,
            started_ns: busy_until_ns,
            ended_ns: busy_until_ns,
            outcome: IterationOutcome::Dropped,
            generation: self.generation,
        }
    }

    fn may_be_dropped(&self, next: &Operation) -> bool {
        next.due.is_dropped_if_late() && self.begins(next)
    }

    /// Returns whether `next` belongs to an iteration that has not begun.
    fn begins(&self, next: &Operation) -> bool {
        self.iteration.as_ref().is_none_or(|begun| begun.iteration != next.iteration)
    }
}
