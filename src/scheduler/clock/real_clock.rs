//! The monotonic clock of a run.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::{Duration, Instant, sleep_until};

use crate::backend::Clock;
use crate::ir::units::nanoseconds;

/// The way in which an alarm spends the last stretch before a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// The alarm sleeps as long as possible. It wakes some microseconds early for 19 of 20
    /// deadlines, and then yields to the runtime until the deadline. This costs a tenth of a core
    /// at 1,000 wakes a second, and a third at 10,000.
    #[default]
    Sleep,
    /// The alarm yields to the runtime, which serves its sockets meanwhile. It is awake before 998
    /// deadlines in 1,000. This costs a core per shard if two deadlines are less than about 100 µs
    /// apart, or less than the timer's lateness on this host.
    Yield,
}

/// The monotonic clock. Its origin is the instant it was made.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    origin: Instant,
    pub(super) precision: Precision,
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
        nanoseconds(self.origin.elapsed())
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        Box::pin(sleep_until(self.instant(deadline_ns)))
    }
}
