//! Faults that happen on drawn.

use std::time::Duration;

use super::random::{Purpose, RequestId, RequestRandom};
use crate::protocol::NtStatus;

/// A decision, made when a request is sent, about its fault. A plan that looks at nothing but the
/// request gives the same faults in every run.
pub type FaultPlan = Box<dyn Fn(RequestId) -> Option<Fault> + Send + Sync>;

/// The fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is answered with this status and not carried out. A connect fails its login with
    /// it.
    Status(NtStatus),
    /// The request is carried out and answered this much later than its latency alone requires.
    /// Until then it is pending (MS-SMB2 3.3.4.2), and a cancel ends it without carrying it out.
    Delay(Duration),
    /// The request is never answered, not even when it is canceled. It ends with the connection.
    NoReply,
    /// The connection breaks; a connect is refused.
    ConnectionLost,
}

/// Returns a plan in which each status fails its share (0 to 1) of the operations, those of setup
/// and teardown included. Connects do not fail, because a first one that fails ends the run.
pub(super) fn shares(seed: u64, failures: Vec<(NtStatus, f64)>) -> FaultPlan {
    Box::new(move |request| {
        request.operation?;
        let mut left = RequestRandom::new(seed, request, Purpose::Fault).float();
        let drawn = failures.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        drawn.map(|(status, _)| Fault::Status(*status))
    })
}
