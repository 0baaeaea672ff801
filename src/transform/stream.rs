//! The streams between stages, and the stages.

use std::rc::Rc;
use std::sync::Arc;

use crate::ir::document::CheckedDocument;
use crate::ir::random::RandomNumbers;
use crate::ir::{Operation, Progress, Section, SourceError, StreamHeader};

/// A stream whose clients can be read any number of times, each reader at its own place.
pub trait OperationStream {
    fn facts(&self) -> &StreamFacts;

    /// Returns a reader at the first operation of a client.
    fn reader(&self, client: u32) -> Box<dyn ClientReader>;

    /// Returns the client of a document whose operations a client does. None: it has operations of
    /// several clients, or of none.
    fn origin(&self, _client: u32) -> Option<Origin> {
        None
    }

    /// Returns the input and the factor, if this stream is another one with all times scaled.
    fn warp(&self) -> Option<(Rc<dyn OperationStream>, f64)> {
        None
    }
}

/// The client of a document that a client of a stream is made of.
#[derive(Clone)]
pub struct Origin {
    pub document: Arc<CheckedDocument>,
    pub client: u32,
    /// The numbers of the clones and of the inputs of merges that the client is in. Clients in the
    /// same ones do together what the clients of the document do.
    pub copy: Vec<u32>,
}

/// The properties of a stream that are known before its first operation.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    pub header: StreamHeader,
    /// The last time that an operation of the iterations names, in nanoseconds from time zero. It
    /// is the length of a capture. An arrival may be later, if a stage dropped the operation that it
    /// began with.
    pub length_ns: u64,
    /// Whether the ids of its document stay unique. If not, every operation gets the id
    /// `<client>-<seq>`.
    pub ids_stay_unique: bool,
    /// The largest number of clients of documents that one client is joined of.
    pub joined: u32,
}

impl StreamFacts {
    /// Makes the stream longer, and its last phase too, so that what is later is still in it.
    pub fn lengthen(&mut self, by_ns: u64) {
        self.length_ns = self.length_ns.saturating_add(by_ns);
        if let Some(last) = self.header.phases.last_mut() {
            last.duration_ns = last.duration_ns.saturating_add(by_ns);
        }
    }
}

/// A reader of the operations of one client, in order.
pub trait ClientReader {
    /// Appends up to `max` (at least one) of the next operations in `section`, as
    /// [`OperationSource::pull`](crate::ir::OperationSource::pull) does for a client.
    ///
    /// # Errors
    /// [`SourceError`] if the operations break off. Those already appended are valid.
    fn read(
        &mut self,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError>;
}

/// Reads past a section, so that the stages before the reader see the handles that it opens.
pub(super) fn skip(reader: &mut dyn ClientReader, section: Section) -> Result<(), SourceError> {
    let mut seen = Vec::new();
    while reader.read(section, 256, &mut seen)? == Progress::More {
        seen.clear();
    }
    Ok(())
}

/// A stage of a transform.
pub trait StreamStage {
    /// Returns the stream that this stage makes of `input`.
    ///
    /// # Errors
    /// [`TransformError`] if the stage cannot be applied to this stream.
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError>;
}

/// The place of a stage in a transform.
#[derive(Clone, Debug)]
pub struct StagePlace {
    /// The beginning of an error, such as `day.lua:12: bench.filter`.
    pub name: Rc<str>,
    pub seed: u64,
    /// The number of the stage among all stages, so that no two draw the same random numbers.
    pub number: u32,
}

impl StagePlace {
    /// Returns a generator of random numbers for one client in this stage.
    pub fn random(&self, client: u32) -> RandomNumbers {
        RandomNumbers::of_stage(self.seed, self.number, client)
    }

    /// Returns the refusal of the stage's input.
    pub fn refuse(&self, reason: impl std::fmt::Display) -> TransformError {
        TransformError(format!("{}: {reason}", self.name))
    }
}

/// The reason why a stage cannot be applied. It says where the stage is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformError(pub String);
