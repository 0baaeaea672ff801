//! The channel that carries a connection's breaks to the task that answers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::BreakAcknowledger;
use crate::protocol::Break;

/// Maximum number of breaks of one connection that wait to be taken: more than it has opens in any
/// sane workload. Further breaks are dropped and counted, because nobody takes them.
pub const BREAK_QUEUE: usize = 1_024;

/// The breaks of one connection, in the order in which they came. The stream is separate from the
/// connection, so that a break never waits for the operation in flight.
pub struct BreakStream {
    breaks: mpsc::Receiver<Break>,
    dropped: Arc<AtomicU64>,
    acknowledger: Arc<dyn BreakAcknowledger>,
}

/// A backend's end of a [`BreakStream`].
#[derive(Clone, Debug)]
pub struct BreakSender {
    breaks: mpsc::Sender<Break>,
    dropped: Arc<AtomicU64>,
}

/// Makes both ends of the channel for a connection's breaks.
pub fn break_channel(acknowledger: Arc<dyn BreakAcknowledger>) -> (BreakSender, BreakStream) {
    let (sender, breaks) = mpsc::channel(BREAK_QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let sender = BreakSender { breaks: sender, dropped: dropped.clone() };
    (sender, BreakStream { breaks, dropped, acknowledger })
}

impl BreakSender {
    /// Sends a break without waiting. If the queue is full, the break is dropped and counted.
    pub fn send(&self, what: Break) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.breaks.try_send(what) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl BreakStream {
    /// Returns the next break, or None when the connection has ended.
    pub async fn next(&mut self) -> Option<Break> {
        self.breaks.recv().await
    }

    /// Returns the number of breaks that were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns the acknowledger for these breaks. It can be used any number of times, from any
    /// thread.
    pub fn acknowledger(&self) -> Arc<dyn BreakAcknowledger> {
        self.acknowledger.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::backend::test_doubles::NoAcknowledger;
    use crate::protocol::create::OplockLevel;
    use crate::protocol::{FileId, OplockBreak};

    fn numbered(number: u64) -> Break {
        let file_id = FileId { persistent: number, volatile: number };
        Break::Oplock(OplockBreak { file_id, level: OplockLevel::None })
    }

    #[test]
    fn breaks_nobody_takes_are_kept_up_to_a_bound_and_counted_beyond() {
        let (sender, mut stream) = break_channel(Arc::new(NoAcknowledger));
        let more = 3;
        for number in 0..BREAK_QUEUE as u64 + more {
            sender.send(numbered(number));
        }
        assert_eq!(stream.dropped(), more);
        drop(sender);
        let taken = std::iter::from_fn(|| stream.next().now_or_never().flatten());
        let expected: Vec<Break> = (0..BREAK_QUEUE as u64).map(numbered).collect();
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }
}
