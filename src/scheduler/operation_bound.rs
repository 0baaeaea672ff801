//! The bound on the operations of a run (`--operations`), and how an engine ends at it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::client_queue::{ClientQueue, ClientState};
use super::engine::Engine;
use super::timeline::Stage;

/// The maximum number of operations of iterations that a run issues, over all clients. Setup,
/// teardown and the closes of handles that the stream left open do not count. An operation counts
/// once even if it is retried, and not at all if it never began.
#[derive(Debug)]
pub struct OperationBound {
    most: u64,
    /// Number of operations that are left, or [`REACHED`] once there was none left.
    left: AtomicU64,
    /// Number of operations that were given back after the bound was reached.
    unsent: AtomicU64,
}

/// The value for a bound that was reached. It is final: an operation given back afterwards lets no
/// client go on.
const REACHED: u64 = u64::MAX;

impl OperationBound {
    /// Creates a bound of at least one operation.
    pub fn new(most: u64) -> OperationBound {
        let most = most.clamp(1, REACHED - 1);
        OperationBound { most, left: AtomicU64::new(most), unsent: AtomicU64::new(0) }
    }

    /// Returns the bound itself.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Takes one operation, and returns whether there was one left.
    pub fn take(&self) -> bool {
        let next = |left| match left {
            REACHED => None,
            1 => Some(REACHED),
            more => Some(more - 1),
        };
        self.left.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    /// Gives back an operation that was taken and never began.
    pub fn give_back(&self) {
        let next = |left| (left != REACHED).then(|| left + 1);
        if self.left.fetch_update(SeqCst, SeqCst, next).is_err() {
            self.unsent.fetch_add(1, SeqCst);
        }
    }

    /// Returns the number of operations by which a run that reached the bound falls short of it,
    /// because their clients lost their connections for good before they were sent.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(SeqCst)
    }

    /// Returns whether all operations were taken.
    pub fn is_reached(&self) -> bool {
        self.left.load(SeqCst) == REACHED
    }
}

impl Engine {
    /// Ends the stream of every client of this engine once the bound is reached. Operations that
    /// were issued before run to completion, and the stage ends as it does when a stream ends by
    /// itself. Operations with a time of their own that had passed by then are reported as
    /// unissued: they show a server or a generator that was behind.
    pub(super) fn heed_bound(&mut self, now_ns: u64) {
        let reached = self.permits.operations().is_some_and(OperationBound::is_reached);
        if !reached || self.at_bound || self.cut || self.stage != Stage::Measure {
            return;
        }
        self.at_bound = true;
        self.report_unissued(0..self.clients.len(), now_ns, ClientQueue::has_own_times);
        self.schedule.retain(|next| self.clients[next.0.1 as usize].in_flight_op.is_some());
        for slot in std::mem::take(&mut self.permitted) {
            match self.clients[slot as usize].in_flight_op.is_some() {
                true => self.permitted.push_back(slot),
                false => self.permits.release(self.shard),
            }
        }
        self.permits.withdraw(self.shard);
        for slot in std::mem::take(&mut self.blocked) {
            if self.clients[slot as usize].in_flight_op.is_none() {
                continue;
            }
            match self.permits.acquire(self.shard) {
                true => self.permitted.push_back(slot),
                false => self.blocked.push_back(slot),
            }
        }
        for slot in 0..self.clients.len() {
            let client = &mut self.clients[slot];
            if matches!(client.state, ClientState::Done | ClientState::Gone | ClientState::Closing)
            {
                continue;
            }
            client.cut();
            if client.waits() && client.in_flight_op.is_none() {
                client.state = ClientState::Idle;
            }
            self.settle_iteration(slot as u32);
            self.advance(slot as u32);
        }
    }

    /// Takes the client's next operation from the bound. An operation that was taken before and
    /// waits to be issued again is not taken twice.
    pub(super) fn takes_from_bound(&self, slot: u32) -> bool {
        let taken = self.clients[slot as usize].in_flight_op.is_some();
        match self.permits.operations() {
            Some(bound) if self.stage == Stage::Measure && !taken => {
                let took = bound.take();
                if bound.is_reached() {
                    self.permits.wake_all();
                }
                took
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::action::Action;
    use super::super::engine_tests::{ZERO_NS, config, done, issues, stat};
    use super::super::permits::Permits;
    use super::*;
    use crate::ir::event::IterationOutcome;
    use crate::ir::{Due, Event, Section};

    /// Returns an engine with two clients, each with three operations in each of two iterations.
    fn bounded(most: u64, limit: Option<u32>) -> Engine {
        let permits = Permits::new(limit, 1).with_operations(Some(most));
        let mut engine = Engine::new(Arc::new(config()), Arc::new(permits), 0, &[0, 1]);
        engine.enter(Stage::Measure, ZERO_NS);
        for slot in 0..2 {
            let all = (0..6).map(|seq| stat(slot, seq, seq / 3, Due::After(0))).collect();
            engine.operations(slot, Section::Iteration, all, true, ZERO_NS).unwrap();
        }
        engine
    }

    #[test]
    fn no_more_is_issued_than_the_bound_and_what_was_given_back_after_it_lets_nobody_go_on() {
        let bound = OperationBound::new(2);
        assert!(bound.take() && !bound.is_reached());
        bound.give_back();
        assert!(bound.take() && bound.take() && bound.is_reached());
        assert_eq!(bound.unsent(), 0);
        bound.give_back();
        assert!(!bound.take() && bound.is_reached());
        assert_eq!(bound.unsent(), 1);
    }

    #[test]
    fn arrivals_that_were_due_before_the_bound_was_reached_are_reported_as_unissued() {
        let permits = Permits::new(None, 1).with_operations(Some(1));
        let mut engine = Engine::new(Arc::new(config()), Arc::new(permits), 0, &[0, 1]);
        engine.enter(Stage::Measure, ZERO_NS);
        for slot in 0..2 {
            let at = |seq| stat(slot, seq, seq, Due::At(10 * u64::from(seq)));
            engine
                .operations(slot, Section::Iteration, (0..6).map(at).collect(), true, ZERO_NS)
                .unwrap();
        }
        assert_eq!(issues(&mut engine, ZERO_NS + 25).len(), 1);
        let unissued = engine.drain_events().find_map(|event| match event {
            Event::Unissued(unissued) => Some(unissued),
            _ => None,
        });
        let unissued = unissued.expect("five operations were due by then and were not issued");
        assert_eq!(unissued.by_driver + unissued.by_backlog, 5, "{unissued:?}");
        assert_eq!(unissued.late_ns, 25);
    }

    #[test]
    fn an_engine_ends_at_the_bound_as_at_the_end_of_its_stream() {
        for limit in [None, Some(1), Some(2)] {
            let mut engine = bounded(3, limit);
            let (mut issued, mut at_ns) = (0, ZERO_NS);
            let mut closing = Vec::new();
            let mut in_flight = Vec::new();
            while !engine.stage_done() {
                at_ns += 10;
                while let Some(action) = engine.poll(at_ns) {
                    match action {
                        Action::Issue { slot, operation } => {
                            issued += 1;
                            in_flight.push((slot, operation.seq));
                        }
                        Action::Close { slot } => closing.push(slot),
                        _ => {}
                    }
                }
                for (slot, seq) in in_flight.drain(..) {
                    engine.complete(slot, seq, at_ns, at_ns + 1, done(), false).unwrap();
                }
                closing.drain(..).for_each(|slot| engine.closed(slot).unwrap());
                assert!(at_ns < ZERO_NS + 100, "it ends before its phases do");
            }
            assert_eq!(issued, 3, "limit {limit:?}");
            let events: Vec<Event> = engine.drain_events().collect();
            let completed = events.iter().filter(|event| matches!(event, Event::Completed(_)));
            assert_eq!(completed.count(), 3);
            assert!(!events.iter().any(|event| matches!(event, Event::Unissued(_))));
            let cut = |event: &&Event| {
                matches!(event, Event::Iteration(iteration)
                    if iteration.outcome == IterationOutcome::Cut)
            };
            let whole = limit == Some(1);
            assert!(whole || events.iter().any(|event| cut(&event)), "{events:?}");
            if let Some(limit) = limit {
                let free = (0..=limit).take_while(|_| engine.permits.acquire(0)).count();
                assert_eq!(free as u32, limit, "every permit is free again");
            }
        }
    }

    #[test]
    fn an_operation_that_never_began_is_given_back_to_the_others() {
        let mut engine = bounded(2, None);
        assert_eq!(issues(&mut engine, ZERO_NS).len(), 2);
        let mut engine = bounded(3, None);
        assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0), (1, 0)]);
        engine.withheld(1, 0, ZERO_NS + 1).unwrap();
        engine.lose(1, ZERO_NS + 2);
        for seq in 0..2 {
            engine.complete(0, seq, ZERO_NS + 3, ZERO_NS + 4, done(), false).unwrap();
            assert_eq!(issues(&mut engine, ZERO_NS + 5), [(0, seq + 1)]);
        }
    }
}
