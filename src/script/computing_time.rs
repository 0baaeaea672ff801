//! The clock of computing time, which counts against the limits of scripts and tests.

use std::time::Duration;

/// Returns the CPU time of this thread. On a busy host, a script that waits for a processor does
/// not compute. This is a system call.
#[cfg(target_os = "linux")]
pub(super) fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn computed() -> Duration {
    static BEGAN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    BEGAN.elapsed()
}
