//! The alarm that wakes a driver.

use std::task::{Context, Poll};

use super::real_clock::RealClock;
use super::timer::{Timer, TokioTimer};
#[cfg(target_os = "linux")]
use super::timer_fd::TimerFd;
use super::timer_slack::TimerSlack;
use crate::backend::Clock;

/// A clock that a driver can run on. It also makes the timer that wakes the driver.
pub trait DriverClock: Clock {
    fn alarm(&self) -> Box<dyn Alarm>;

    /// Makes the timer of a driver's heartbeats. Returns none for a clock that stands still
    /// while the driver works, because nothing is late on it.
    fn heartbeat_alarm(&self) -> Option<Box<dyn Alarm>> {
        None
    }
}

/// One timer, set again at every wait.
pub trait Alarm {
    /// Returns ready at `deadline_ns` or as soon after it as the timer allows, never before.
    fn poll_until(&mut self, deadline_ns: u64, cx: &mut Context<'_>) -> Poll<()>;

    /// Returns whether the alarm is awake and yields until the deadline it was last polled for.
    fn is_near(&self) -> bool {
        false
    }
}

/// The last stretch before a deadline, shorter than a yield. It is spent reading the clock.
const SPIN_NS: u64 = 1_000;

impl DriverClock for RealClock {
    fn alarm(&self) -> Box<dyn Alarm> {
        Box::new(RealAlarm::new(*self, timer(*self)))
    }

    fn heartbeat_alarm(&self) -> Option<Box<dyn Alarm>> {
        Some(self.alarm())
    }
}

fn timer(clock: RealClock) -> Box<dyn Timer> {
    #[cfg(target_os = "linux")]
    match TimerFd::new(clock) {
        Ok(timer) => return Box::new(timer),
        Err(error) => tracing::warn!("no timerfd ({error}): waking a millisecond coarse"),
    }
    Box::new(TokioTimer::new(clock))
}

/// An alarm that sets its timer ahead of the deadline by the timer's lateness, and yields to
/// the runtime if the timer rang too early. A yield takes about 0.7 µs.
struct RealAlarm {
    clock: RealClock,
    timer: Box<dyn Timer>,
    slack: TimerSlack,
    set: Option<Set>,
}

struct Set {
    deadline_ns: u64,
    at_ns: u64,
    rung: bool,
}

impl RealAlarm {
    fn new(clock: RealClock, timer: Box<dyn Timer>) -> RealAlarm {
        RealAlarm { clock, timer, slack: TimerSlack::new(clock.precision), set: None }
    }
}

impl Alarm for RealAlarm {
    fn poll_until(&mut self, deadline_ns: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut now_ns = self.clock.now_ns();
        let set = match &mut self.set {
            Some(set) if set.deadline_ns == deadline_ns => set,
            _ if now_ns >= deadline_ns => return Poll::Ready(()),
            other => {
                let at_ns = deadline_ns.saturating_sub(self.slack.ns());
                // If the timer cannot be set, the driver keeps polling, which delays nothing.
                let rung = at_ns <= now_ns || self.timer.set(at_ns).is_err();
                other.insert(Set { deadline_ns, at_ns, rung })
            }
        };
        if !set.rung
            && let Poll::Ready(rung) = self.timer.poll_rung(cx)
        {
            set.rung = true;
            if rung.is_ok() {
                self.slack.observe(now_ns.saturating_sub(set.at_ns));
            }
        }
        while set.rung && now_ns < deadline_ns && deadline_ns - now_ns <= SPIN_NS {
            now_ns = self.clock.now_ns();
        }
        if now_ns >= deadline_ns {
            self.set = None;
            return Poll::Ready(());
        }
        if set.rung {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn is_near(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.rung)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::super::real_clock::Precision;
    use super::*;

    #[tokio::test]
    async fn an_alarm_never_rings_early_even_when_it_was_set_for_another_time_before() {
        for precision in [Precision::Sleep, Precision::Yield] {
            let clock = RealClock::start(precision);
            let tokio_timer = TokioTimer::new(*clock);
            for timer in [timer(*clock), Box::new(tokio_timer)] {
                let mut alarm = RealAlarm::new(*clock, timer);
                let later_ns = clock.now_ns() + 3_600_000_000_000;
                poll_fn(|cx| {
                    assert!(alarm.poll_until(later_ns, cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                for _ in 0..10 {
                    let soon_ns = clock.now_ns() + 2_000_000;
                    poll_fn(|cx| alarm.poll_until(soon_ns, cx)).await;
                    assert!(clock.now_ns() >= soon_ns);
                }
            }
        }
    }
}
