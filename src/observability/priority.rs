//! Threads that only look on.

/// Where processors are scarce, this thread gets the lesser share: what it
/// misses for it is counted, while what a shard is late by colours every figure.
pub fn give_way() {
    // Elsewhere a priority is one of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 5) {
        tracing::debug!("a thread that should give way runs at the priority of all: {error}");
    }
}
