//! Virtual time: a single-threaded executor that, when nothing can run, jumps
//! to the next instant something waits for.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;

use super::clock::{Alarm, DriverClock};
use crate::backend::Clock;

/// A clock that stands still while anything runs. Clones share the time.
#[derive(Clone, Default)]
pub struct VirtualClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Default)]
struct Time {
    now_ns: u64,
    /// The number of the next sleeper. It breaks ties in the order of arrival, so that runs repeat.
    next_id: u64,
    /// The wakers, by time and number.
    sleepers: BTreeMap<(u64, u64), Waker>,
}

/// A deadlock: nothing can run and nothing waits for a time, so the future would hang for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stalled at {now_ns} ns: nothing can run and nothing waits for a later time")]
pub struct Stalled {
    pub now_ns: u64,
}

impl VirtualClock {
    /// Runs `future` to its end, and skips the time in which nothing happens.
    ///
    /// # Errors
    /// [`Stalled`] on a deadlock.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Stalled> {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Release);
            }
        }
        let woken = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return Ok(output);
            }
            while !woken.0.swap(false, Ordering::AcqRel) {
                let Some(sleeper) = self.jump() else {
                    return Err(Stalled { now_ns: self.now_ns() });
                };
                sleeper.wake();
            }
        }
    }

    fn jump(&self) -> Option<Waker> {
        let mut time = self.time();
        let ((at_ns, _), waker) = time.sleepers.pop_first()?;
        time.now_ns = time.now_ns.max(at_ns);
        Some(waker)
    }

    fn poll_until(&self, at_ns: u64, registered: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.time();
        if time.now_ns >= at_ns {
            return Poll::Ready(());
        }
        if !std::mem::replace(registered, true) {
            let id = time.next_id;
            time.next_id += 1;
            time.sleepers.insert((at_ns, id), cx.waker().clone());
        }
        Poll::Pending
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now_ns(&self) -> u64 {
        self.time().now_ns
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        let mut registered = false;
        Box::pin(poll_fn(move |cx| clock.poll_until(deadline_ns, &mut registered, cx)))
    }
}

impl DriverClock for VirtualClock {
    fn alarm(&self) -> Box<dyn Alarm> {
        Box::new(VirtualAlarm { clock: self.clone(), set_ns: None })
    }
}

struct VirtualAlarm {
    clock: VirtualClock,
    set_ns: Option<u64>,
}

impl Alarm for VirtualAlarm {
    fn poll_until(&mut self, deadline_ns: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut registered = self.set_ns == Some(deadline_ns);
        let ended = self.clock.poll_until(deadline_ns, &mut registered, cx);
        self.set_ns = ended.is_pending().then_some(deadline_ns);
        ended
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;

    #[test]
    fn hours_pass_at_once_and_in_order() {
        let clock = VirtualClock::default();
        let hour_ns = 3_600_000_000_000;
        let order = Mutex::new(Vec::new());
        let note = |name: &'static str, at_ns| {
            let (clock, order) = (clock.clone(), &order);
            async move {
                clock.sleep_until(at_ns).await;
                order.lock().unwrap().push((name, clock.now_ns()));
            }
        };
        let both = join(note("late", 2 * hour_ns), note("soon", hour_ns));
        clock.block_on(both).unwrap();
        assert_eq!(*order.lock().unwrap(), [("soon", hour_ns), ("late", 2 * hour_ns)]);
    }

    #[test]
    fn a_deadlock_is_reported_instead_of_hanging() {
        let clock = VirtualClock::default();
        let stalled = clock.block_on(std::future::pending::<()>()).unwrap_err();
        assert_eq!(stalled, Stalled { now_ns: 0 });
    }
}
