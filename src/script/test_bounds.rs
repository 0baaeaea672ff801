//! The bounds that a test sets for the scripts that it loads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::computing_time::computed;
use super::error::ScriptError;

/// The bounds of a script that a test loads, in addition to its own limits.
#[derive(Clone, Debug)]
pub struct TestBounds {
    /// Set from outside when all tests are to end.
    pub interrupted: Arc<AtomicBool>,
    pub ends: TestEnd,
}

/// The time at which the time limit of a test has passed.
#[derive(Clone, Copy, Debug)]
pub enum TestEnd {
    /// A computing time of the thread that runs the test. The script runs on that thread too.
    Computed(Duration),
    /// A time of the clock, for a script that runs on other threads.
    At(Instant),
}

impl TestBounds {
    /// Returns the time that is left of the test.
    pub fn time_left(&self) -> Duration {
        match self.ends {
            TestEnd::Computed(end) => end.saturating_sub(computed()),
            TestEnd::At(end) => end.saturating_duration_since(Instant::now()),
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Checks that the test goes on.
    ///
    /// # Errors
    /// The time of the test is up, or the tests were interrupted.
    pub fn check(&self) -> Result<(), ScriptError> {
        let problem = match () {
            () if self.is_interrupted() => "the tests were interrupted",
            () if self.time_left().is_zero() => "the time limit of the test (--timeout) has passed",
            () => return Ok(()),
        };
        Err(ScriptError::Script(problem.into()))
    }
}
