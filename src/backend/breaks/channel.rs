//! How a connection's breaks reach whoever answers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::BreakAcknowledger;
use crate::protocol::Break;

/// How many breaks of one connection may wait to be taken: more than it has
/// opens in any sane workload, so what is dropped is counted and was ignored.
pub const BREAK_QUEUE: usize = 1_024;

/// The breaks of one connection, in the order they came. It is apart from the
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

/// The two ends of a connection's breaks.
pub fn break_channel(acknowledger: Arc<dyn BreakAcknowledger>) -> (BreakSender, BreakStream) {
    let (sender, breaks) = mpsc::channel(BREAK_QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let sender = BreakSender { breaks: sender, dropped: dropped.clone() };
    (sender, BreakStream { breaks, dropped, acknowledger })
}

impl BreakSender {
    /// Never waits: a break that finds the queue full is dropped and counted.
    pub fn send(&self, what: Break) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.breaks.try_send(what) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl BreakStream {
    /// None when the connection is over.
    pub async fn next(&mut self) -> Option<Break> {
        self.breaks.recv().await
    }

    /// Breaks that were lost because nobody took those before them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// To answer with, as often as needed and from anywhere.
    pub fn acknowledger(&self) -> Arc<dyn BreakAcknowledger> {
        self.acknowledger.clone()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt;

    use super::super::OpError;
    use super::*;
    use crate::protocol::create::OplockLevel;
    use crate::protocol::{Acknowledgement, FileId, OplockBreak};

    struct Nobody;

    #[async_trait]
    impl BreakAcknowledger for Nobody {
        async fn acknowledge(&self, _answer: Acknowledgement) -> Result<(), OpError> {
            Ok(())
        }
    }

    fn numbered(number: u64) -> Break {
        let file_id = FileId { persistent: number, volatile: number };
        Break::Oplock(OplockBreak { file_id, level: OplockLevel::None })
    }

    #[test]
    fn breaks_nobody_takes_are_kept_up_to_a_bound_and_counted_beyond() {
        let (sender, mut stream) = break_channel(Arc::new(Nobody));
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
