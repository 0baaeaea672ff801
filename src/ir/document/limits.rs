//! The limits of documents.

/// Maximum number of bytes of one operation, or of another single part.
pub(super) const MAX_PART: u64 = 4 << 20;
/// Maximum number of bytes of a header, or of version 1's list of clients.
pub(super) const MAX_HEADER: u64 = 64 << 20;
pub(super) const MAX_CLIENTS: u64 = 1_000_000;
pub(super) const MAX_PHASES: usize = 1_000;
/// Maximum number of workloads, as for a script, because each is a part of every report.
pub(super) const MAX_WORKLOADS: usize = 1_000;
/// The most handles that are open at the same time, over all clients.
pub(super) const MAX_OPEN_HANDLES: usize = 1_500_000;
/// The largest due time in nanoseconds, so that sums of times do not overflow.
pub(in crate::ir) const MAX_TIME_NS: u64 = (1 << 62) - 1;
