//! What goes wrong on purpose.

use crate::protocol::NtStatus;

/// Decides, request by request, what goes wrong. A plan that looks at nothing
/// but the request gives the same faults in every run.
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

/// What becomes of a request instead of being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this; a connect fails its login with it.
    Status(NtStatus),
    /// Never answered, not even when cancelled; ends with the connection.
    NoReply,
    /// The connection breaks; a connect is refused.
    ConnectionLost,
}
