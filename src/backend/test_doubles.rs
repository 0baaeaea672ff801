//! Test doubles that the tests of several backends use.

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::{BreakAcknowledger, Clock, OpError};
use crate::protocol::Acknowledgement;

/// A clock that stands at 0. Nothing that sleeps on it wakes.
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ns(&self) -> u64 {
        0
    }

    fn sleep_until(&self, _deadline_ns: u64) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// An acknowledger whose answers to breaks go nowhere.
pub struct NoAcknowledger;

#[async_trait]
impl BreakAcknowledger for NoAcknowledger {
    async fn acknowledge(&self, _answer: Acknowledgement) -> Result<(), OpError> {
        Ok(())
    }
}
