//! Batches: the next operations of one client.

use crate::ir::{Operation, Section, SourceError};

/// The answer to one request.
#[derive(Debug)]
pub struct Batch {
    pub slot: u32,
    pub section: Section,
    pub operations: Vec<Operation>,
    /// Whether the section has no more operations for this client.
    pub ended: bool,
    /// The error with which the stream broke off after `operations`.
    pub error: Option<SourceError>,
}
