//! The bound on the operations of a run (`--operations`).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// The maximum number of operations of iterations that a run issues, over all clients. Setup,
/// teardown and the closes of handles that the stream left open do not count. An operation counts
/// once even if it is retried, and not at all if it never began.
#[derive(Debug)]
pub struct OperationBound {
    most: u64,
    /// Number of operations that are left, or [`REACHED`] once there was none left.
    left: AtomicU64,
    /// Number of operations that were given back after the bound was reached.
    unsent: AtomicU64,
}

/// The value for a bound that was reached. It is final: an operation given back afterwards lets no
/// client go on.
const REACHED: u64 = u64::MAX;

impl OperationBound {
    /// Creates a bound of at least one operation.
    pub fn new(most: u64) -> OperationBound {
        let most = most.clamp(1, REACHED - 1);
        OperationBound { most, left: AtomicU64::new(most), unsent: AtomicU64::new(0) }
    }

    /// Returns the bound itself.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Takes one operation, and returns whether there was one left.
    pub fn take(&self) -> bool {
        let next = |left| match left {
            REACHED => None,
            1 => Some(REACHED),
            more => Some(more - 1),
        };
        self.left.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    /// Gives back an operation that was taken and never began.
    pub fn give_back(&self) {
        let next = |left| (left != REACHED).then(|| left + 1);
        if self.left.fetch_update(SeqCst, SeqCst, next).is_err() {
            self.unsent.fetch_add(1, SeqCst);
        }
    }

    /// Returns the number of operations by which a run that reached the bound falls short of it,
    /// because their clients lost their connections for good before they were sent.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(SeqCst)
    }

    /// Returns whether all operations were taken.
    pub fn is_reached(&self) -> bool {
        self.left.load(SeqCst) == REACHED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_issued_than_the_bound_and_what_was_given_back_after_it_lets_nobody_go_on() {
        let bound = OperationBound::new(2);
        assert!(bound.take() && !bound.is_reached());
        bound.give_back();
        assert!(bound.take() && bound.take() && bound.is_reached());
        assert_eq!(bound.unsent(), 0);
        bound.give_back();
        assert!(!bound.take() && bound.is_reached());
        assert_eq!(bound.unsent(), 1);
    }
}
