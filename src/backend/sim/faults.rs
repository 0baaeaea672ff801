//! What goes wrong on purpose.

use std::time::Duration;

use super::random::{Drawn, Random};
use crate::protocol::NtStatus;

/// Decides, when a request is sent, what goes wrong with it. A plan that looks
/// at nothing but the request gives the same faults in every run.
pub type FaultPlan = Box<dyn Fn(Request) -> Option<Fault> + Send + Sync>;

/// The request a fault is decided for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub client_idx: u32,
    /// Counts the client's connects from 0.
    pub connect: u32,
    /// Counts the connection's operations from 0; none for the connect itself.
    pub operation: Option<u64>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this and not carried out; a connect fails its login with it.
    Status(NtStatus),
    /// Carried out and answered this much later than its latency says. Until
    /// then it is pending (MS-SMB2 3.3.4.2): a cancel ends it, not carried out.
    Delay(Duration),
    /// Never answered, not even when cancelled; ends with the connection.
    NoReply,
    /// The connection breaks; a connect is refused.
    ConnectionLost,
}

/// Each status fails its share (0 to 1) of the operations, setup and teardown
/// included. Connects are spared: a first one that fails ends the run.
pub(super) fn shares(seed: u64, failures: Vec<(NtStatus, f64)>) -> FaultPlan {
    Box::new(move |request| {
        request.operation?;
        let mut left = Random::new(seed, request, Drawn::Fault).float();
        let drawn = failures.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        drawn.map(|(status, _)| Fault::Status(*status))
    })
}
