//! The generations of the stream, as the engine of one shard sees them while clients move from one
//! to the next.

use std::collections::HashMap;
use std::sync::Arc;

use super::config::EngineConfig;
use crate::ir::{Operation, Section, SourceError};

/// A generation of the stream, and the shard's clients in it.
#[derive(Clone, Debug)]
pub struct Generation {
    pub number: u32,
    pub config: Arc<EngineConfig>,
    /// The clients of the shard that are in it, and whether their setup runs again when they move.
    pub clients: Vec<(u32, bool)>,
}

/// The times of a generation, in nanoseconds from the run's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationTimes {
    /// The time from which clients move.
    pub begin_ns: u64,
    /// The time at which its arrivals were made to begin. If it begins later, they are later too.
    pub planned_ns: u64,
    /// The time at which clients that have not reached a boundary are cut.
    pub cut_ns: u64,
}

/// A generation whose clients make their first operations. It may be withdrawn.
#[derive(Debug)]
pub(super) struct Prepared {
    pub number: u32,
    pub config: Arc<EngineConfig>,
    /// The clients of the shard that are in it, and whether their setup runs again.
    pub clients: HashMap<u32, bool>,
    /// The number of clients whose first operations have not arrived.
    pub fetching: usize,
    /// The error with which one of its clients broke off.
    pub failed: Option<SourceError>,
}

/// The generation that clients move to.
#[derive(Debug)]
pub(super) struct Arriving {
    pub number: u32,
    pub times: GenerationTimes,
    /// Whether the time to move has come, and whether the time to cut has.
    pub begun: bool,
    pub cut: bool,
    /// The number of clients that have not moved, joined or left.
    pub unsettled: usize,
}

/// The first operations of a client that stays, in a generation that comes.
#[derive(Debug)]
pub(super) struct FirstOperations {
    pub generation: u32,
    /// The section with which the client begins in it.
    pub section: Section,
    /// The operations, and whether the section has no more. None until they have arrived.
    pub fetched: Option<(Vec<Operation>, bool)>,
}

/// The way in which a client goes on at its boundary.
#[derive(Debug)]
pub(super) enum Upcoming {
    /// It goes on in the next generation.
    Move(FirstOperations),
    /// It runs its teardown and leaves.
    Leave,
    /// It was not in the run, or has left. It connects and begins with its setup.
    Join,
}

/// A move that waits until the client's handles are closed.
#[derive(Debug)]
pub(super) enum Moving {
    To(FirstOperations),
    /// To the teardown of its own generation, before it leaves.
    Away,
}

/// The delay of a generation's arrivals against the times in its stream, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArrivalDelay {
    pub generation: u32,
    pub ns: u64,
}
