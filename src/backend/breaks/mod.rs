//! A server takes back what it granted: how a client hears of it, what waits
//! meanwhile, and how it is answered beside the operation in flight.

use async_trait::async_trait;

use super::OpError;
use crate::protocol::Acknowledgement;

mod blocking;
mod channel;
mod files;
mod holder;
mod holders;
mod keyed;

pub use blocking::Waiting;
pub(super) use blocking::{Block, wait_for};
pub use channel::{BREAK_QUEUE, BreakSender, BreakStream, break_channel};
pub use files::CachedFiles;
pub use holder::Holder;
pub use holders::Breaks;
pub(super) use keyed::{execute_keyed, open_keyed};

/// Answers breaks, whatever else the connection is doing.
#[async_trait]
pub trait BreakAcknowledger: Send + Sync {
    /// Ends when the server has answered (MS-SMB2 3.3.5.22).
    ///
    /// # Errors
    /// The server's refusal, or a lost connection, whose opens are gone.
    async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError>;
}
