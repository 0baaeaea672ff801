//! How a client answers when a server takes back what it granted.

use serde::{Deserialize, Serialize};

/// What a client does with a break. It stays blocked until the break is over:
/// acknowledged, closed, lost, or given up by the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BreakPolicy {
    pub answer: BreakAnswer,
    /// From the notice to the answer.
    pub delay_ns: u64,
    /// A FLUSH goes before the answer where the client could cache writes
    /// (an exclusive or a batch oplock, a lease with W).
    pub flush: bool,
}

impl BreakPolicy {
    /// The answer at once, and no flush before it.
    pub fn is_default(&self) -> bool {
        *self == BreakPolicy::default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakAnswer {
    /// Keeps what the server leaves (MS-SMB2 3.2.5.19).
    #[default]
    Acknowledge,
    /// None: the server gives up on it after [`SERVER_BREAK_TIMEOUT_NS`].
    Ignore,
}

/// How long a server waits for an acknowledgement before it takes back what it
/// granted all the same: 35 s, MS-SMB2 3.3.2.1 (note 200) and 3.3.2.5.
pub const SERVER_BREAK_TIMEOUT_NS: u64 = 35_000_000_000;
