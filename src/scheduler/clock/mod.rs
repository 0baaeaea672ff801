//! Real time, in nanoseconds from the run's origin, and the alarm that wakes a driver.

mod alarm;
mod real_clock;
mod timer;
#[cfg(target_os = "linux")]
mod timer_fd;
mod timer_slack;

pub use alarm::{Alarm, DriverClock};
pub use real_clock::{Precision, RealClock};
