//! Real time, in nanoseconds from the run's origin, and the alarm that wakes a driver.

mod lead;
#[cfg(target_os = "linux")]
mod timer_fd;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::time::{Duration, Instant, sleep_until};

use self::lead::Lead;
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

/// One timer, set anew at every wait.
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

/// The way in which an alarm spends the last stretch before a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Sleeping as long as possible: 19 wakes in 20 are some microseconds early, and the alarm
    /// yields for these. This costs a tenth of a core at 1,000 wakes a second, and a third at
    /// 10,000.
    #[default]
    Sleep,
    /// Yielding to the runtime, which serves its sockets meanwhile. The alarm is awake before
    /// 998 deadlines in 1,000. This costs a core per shard if two deadlines are less than
    /// about 100 µs apart, or less than the timer's lateness on this host.
    Yield,
}

/// The monotonic clock. Its origin is the instant it was made.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    origin: Instant,
    precision: Precision,
}

impl RealClock {
    pub fn start(precision: Precision) -> Arc<RealClock> {
        Arc::new(RealClock { origin: Instant::now(), precision })
    }

    fn instant(&self, at_ns: u64) -> Instant {
        self.origin + Duration::from_nanos(at_ns)
    }
}

impl Clock for RealClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        Box::pin(sleep_until(self.instant(deadline_ns)))
    }
}

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
    match timer_fd::TimerFd::new(clock) {
        Ok(timer) => return Box::new(timer),
        Err(error) => tracing::warn!("no timerfd ({error}): waking a millisecond coarse"),
    }
    Box::new(TokioTimer { clock, sleep: None })
}

/// A timer that wakes a task at a given time or somewhat later.
trait Timer {
    fn set(&mut self, at_ns: u64) -> io::Result<()>;

    /// Returns ready once the time last set has come. The timer must then be set anew.
    fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// An alarm that sets its timer ahead of the deadline by the timer's lateness, and yields to
/// the runtime if the timer rang too early. A yield takes about 0.7 µs.
struct RealAlarm {
    clock: RealClock,
    timer: Box<dyn Timer>,
    lead: Lead,
    set: Option<Set>,
}

struct Set {
    deadline_ns: u64,
    at_ns: u64,
    rung: bool,
}

impl RealAlarm {
    fn new(clock: RealClock, timer: Box<dyn Timer>) -> RealAlarm {
        RealAlarm { clock, timer, lead: Lead::new(clock.precision), set: None }
    }
}

impl Alarm for RealAlarm {
    fn poll_until(&mut self, deadline_ns: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut now_ns = self.clock.now_ns();
        let set = match &mut self.set {
            Some(set) if set.deadline_ns == deadline_ns => set,
            _ if now_ns >= deadline_ns => return Poll::Ready(()),
            other => {
                let at_ns = deadline_ns.saturating_sub(self.lead.ns());
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
                self.lead.observe(now_ns.saturating_sub(set.at_ns));
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

/// tokio's timer wheel, with a resolution of one millisecond (p50 1.0 ms, p99 1.9 ms late).
struct TokioTimer {
    clock: RealClock,
    sleep: Option<BoxFuture<'static, ()>>,
}

impl Timer for TokioTimer {
    fn set(&mut self, at_ns: u64) -> io::Result<()> {
        self.sleep = Some(self.clock.sleep_until(at_ns));
        Ok(())
    }

    fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(Ok(())) };
        let ended = sleep.as_mut().poll(cx);
        if ended.is_ready() {
            self.sleep = None;
        }
        ended.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn an_alarm_never_rings_early_even_when_it_was_set_for_another_time_before() {
        for precision in [Precision::Sleep, Precision::Yield] {
            let clock = RealClock::start(precision);
            let tokio_timer = TokioTimer { clock: *clock, sleep: None };
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
