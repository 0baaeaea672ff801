//! The kernel's high-resolution timer as a [`Timer`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::real_clock::RealClock;
use super::timer::Timer;
use crate::backend::Clock;

/// A timerfd. On an idle core of a virtual machine it rings 30 to 50 µs late at p50 and 75 to
/// 100 µs at p99 (`benches/lateness.rs`): the interrupt takes 20 µs, waking the core the rest.
pub struct TimerFd {
    fd: AsyncFd<OwnedFd>,
    /// The run's origin on the kernel's monotonic clock.
    origin_ns: u64,
}

impl TimerFd {
    pub fn new(clock: RealClock) -> io::Result<TimerFd> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // The descriptor of an `OwnedFd` stays the same as long as `AsyncFd` has it. That is
        // all that `register` asks its caller to promise; this crate has no unsafe code.
        #[expect(deprecated)]
        let fd = AsyncFd::new(fd)?;
        // Both read the same clock, one after the other. The smallest of three differences is
        // the one with the least time between the two readings.
        let origin_ns = (0..3)
            .map(|_| {
                let now_ns = clock.now_ns();
                monotonic_ns().saturating_sub(now_ns)
            })
            .min()
            .unwrap_or(0);
        Ok(TimerFd { fd, origin_ns })
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Timer for TimerFd {
    /// Sets the timer to an absolute time, so that being preempted on the way to the kernel
    /// delays nothing.
    fn set(&mut self, at_ns: u64) -> io::Result<()> {
        // Zero would disarm the timer.
        let at_ns = self.origin_ns.saturating_add(at_ns).max(1);
        let it_value = Timespec {
            tv_sec: i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (at_ns % 1_000_000_000) as _,
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval, it_value };
        timerfd_settime(self.fd.get_ref().as_fd(), TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            let mut expirations = [0_u8; 8];
            let read = rustix::io::read(self.fd.get_ref(), &mut expirations);
            ready.clear_ready();
            // There is nothing to read if the timer rang for a time that was set before.
            if !matches!(read, Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)) {
                return Poll::Ready(read.map(drop).map_err(io::Error::from));
            }
        }
    }
}
