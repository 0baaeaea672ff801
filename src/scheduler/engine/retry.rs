//! The policy by which an operation that failed is tried again.

use crate::ir::{CompletionStatus, Execution, Failure, OperationType};
use crate::protocol::NtStatus;

/// The most attempts at one operation, the first included.
pub const MOST_ATTEMPTS: u32 = 3;
/// The wait before the second attempt. Each later wait is twice as long as the one before.
const FIRST_BACKOFF_NS: u64 = 100_000_000;

/// The statuses after which an operation is tried again, after a wait, as long
/// as its connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub statuses: Vec<NtStatus>,
}

/// The statuses with which a server says that it did not begin, because it lacked something
/// that may be there a moment later (MS-ERREF 2.3.1).
impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            statuses: vec![
                NtStatus::INSUFFICIENT_RESOURCES,
                NtStatus::INSUFF_SERVER_RESOURCES,
                NtStatus::NETWORK_BUSY,
                NtStatus::REQUEST_NOT_ACCEPTED,
                NtStatus::RETRY,
                NtStatus::FILE_NOT_AVAILABLE,
            ],
        }
    }
}

impl RetryPolicy {
    /// Returns how long to wait before the next attempt, in nanoseconds, if there is to be one
    /// after `retries`. A close is tried once, because its handle is gone either way.
    pub fn backoff_ns(
        &self,
        operation: OperationType,
        execution: &Execution,
        retries: u32,
    ) -> Option<u64> {
        let CompletionStatus::Failed(Failure::Status(status)) = &execution.status else {
            return None;
        };
        let again = operation != OperationType::Close
            && retries + 1 < MOST_ATTEMPTS
            && self.statuses.contains(status);
        again.then_some(FIRST_BACKOFF_NS << retries)
    }
}
