//! The priority of threads that are not on the timed path.

/// Lowers the priority of this thread, so that shards come first where processors are scarce. What
/// this thread misses is counted, while a late shard distorts every figure.
pub fn lower_priority() {
    // On other systems a priority applies to the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 5) {
        tracing::debug!("a thread that should give way runs at the priority of all: {error}");
    }
}
