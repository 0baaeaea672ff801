//! Batches: the next operations of one client.

use crate::ir::{Operation, Section, SourceError};

/// A request for up to `max` of a client's next operations.
#[derive(Clone, Copy, Debug)]
pub struct BatchRequest {
    pub slot: u32,
    pub client_idx: u32,
    pub section: Section,
    pub max: usize,
    /// The generation that is asked.
    pub generation: u32,
    /// The section that the shard's stage issues. It is another than `section` for a client that
    /// joins or leaves while the others iterate.
    pub of_stage: Section,
}

/// The answer to one request.
#[derive(Debug)]
pub struct Batch {
    pub slot: u32,
    pub section: Section,
    pub generation: u32,
    pub operations: Vec<Operation>,
    /// Whether the section has no more operations for this client.
    pub ended: bool,
    /// The error with which the stream broke off after `operations`.
    pub error: Option<SourceError>,
}
