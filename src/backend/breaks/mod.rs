//! Oplock and lease breaks: how a client receives them, which operations wait meanwhile, and how
//! breaks are answered while an operation is in flight.

use async_trait::async_trait;

use super::OpError;
use crate::protocol::Acknowledgement;

mod blocking;
mod cached_files;
mod channel;
mod holder;
mod holders;
mod lease_keys;

pub use blocking::Waiting;
pub(super) use blocking::{Block, wait_for};
pub use cached_files::CachedFiles;
pub use channel::{BREAK_QUEUE, BreakSender, BreakStream, break_channel};
pub use holder::Holder;
pub use holders::Breaks;
pub(super) use lease_keys::{execute_with_lease, open_with_key};

/// The way to answer breaks, whatever else the connection is doing.
#[async_trait]
pub trait BreakAcknowledger: Send + Sync {
    /// Answers a break. Completes when the server has replied (MS-SMB2 3.3.5.22).
    ///
    /// # Errors
    /// The server refused the answer, or the connection was lost and its opens with it.
    async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError>;
}
