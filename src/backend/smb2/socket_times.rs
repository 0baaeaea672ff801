//! The times of one connection's socket that belong to the operation in flight.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::socket_reader::Arrival;
use crate::ir::event::SocketTimes;

/// The [`SocketTimes`] since they were last taken.
#[derive(Debug, Default)]
pub(super) struct SocketWatch(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    times: SocketTimes,
    /// Time at which the newest frame that nobody has looked at arrived in the kernel.
    unseen_ns: Option<u64>,
    /// Time at which an answer was last looked at.
    seen_ns: u64,
}

impl SocketWatch {
    /// Notes that a request is about to be written.
    pub(super) fn write_begins(&self, now_ns: u64) {
        self.lock().times.first_write_ns.get_or_insert(now_ns);
    }

    /// Notes that a frame was read.
    pub(super) fn frame_read(&self, arrival: Arrival) {
        let mut watched = self.lock();
        match arrival {
            Arrival::At(at_ns) => watched.unseen_ns = Some(at_ns),
            Arrival::Unknown => {}
            Arrival::ClockStepped => {
                watched.unseen_ns = None;
                watched.times.clock_stepped = true;
            }
        }
    }

    /// Notes that the client's task sees an answer. If an operation takes several requests, the
    /// waits of their answers are added up, and time in which two waited counts once.
    pub(super) fn answer_seen(&self, now_ns: u64) {
        let mut watched = self.lock();
        if let Some(arrived_ns) = watched.unseen_ns.take() {
            let waited_ns = now_ns.saturating_sub(arrived_ns.max(watched.seen_ns));
            *watched.times.pickup_ns.get_or_insert(0) += waited_ns;
        }
        watched.seen_ns = now_ns;
    }

    /// Returns what was noted since the last call.
    pub(super) fn take(&self) -> SocketTimes {
        let mut watched = self.lock();
        let times = std::mem::take(&mut watched.times);
        // An interim answer, or one that came too late, does not belong to the next operation.
        watched.unseen_ns = None;
        match times.clock_stepped {
            // The waits of the other answers are not the whole pickup.
            true => SocketTimes { pickup_ns: None, ..times },
            false => times,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_several_answers_add_up_and_no_time_counts_twice() {
        let watch = SocketWatch::default();
        watch.write_begins(100);
        watch.write_begins(150);
        watch.frame_read(Arrival::At(200));
        watch.answer_seen(230);
        // This answer came while the one before it waited.
        watch.frame_read(Arrival::At(220));
        watch.answer_seen(250);
        let times = watch.take();
        assert_eq!((times.first_write_ns, times.pickup_ns), (Some(100), Some(50)));
        assert_eq!(watch.take(), SocketTimes::default());
    }

    #[test]
    fn an_interim_answer_is_no_arrival_of_the_final_one() {
        let watch = SocketWatch::default();
        watch.frame_read(Arrival::At(200));
        watch.frame_read(Arrival::At(9_000));
        watch.answer_seen(9_010);
        assert_eq!(watch.take().pickup_ns, Some(10));
    }

    #[test]
    fn an_answer_that_nobody_waited_for_is_none_of_the_next_operation_s() {
        let watch = SocketWatch::default();
        watch.frame_read(Arrival::At(200));
        assert_eq!(watch.take(), SocketTimes::default());
        watch.answer_seen(9_000);
        assert_eq!(watch.take(), SocketTimes::default());
    }

    #[test]
    fn an_operation_across_a_step_of_the_clock_has_no_pickup() {
        let watch = SocketWatch::default();
        watch.frame_read(Arrival::At(200));
        watch.answer_seen(230);
        watch.frame_read(Arrival::ClockStepped);
        watch.answer_seen(300);
        let times = watch.take();
        assert_eq!((times.pickup_ns, times.clock_stepped), (None, true));
    }

    #[test]
    fn without_timestamps_there_is_no_pickup() {
        let watch = SocketWatch::default();
        watch.frame_read(Arrival::Unknown);
        watch.answer_seen(230);
        assert_eq!(watch.take(), SocketTimes::default());
    }
}
