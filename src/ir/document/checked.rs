//! A document that has been checked: its operations can be read any number of times.

use std::sync::Arc;

use super::warnings::Warning;
use crate::ir::blobs::{BLOB_BUDGET, BlobCache, BlobDirectories};
use crate::ir::operation::{Operation, Section};
use crate::ir::source::{Progress, SourceError, StreamHeader};
use crate::ir::spool::{Cursor, Spool};

/// A document after [`load`](super::load). It does not change, so that sources on several threads
/// share it.
pub struct CheckedDocument {
    pub(super) header: StreamHeader,
    pub(super) warnings: Vec<Warning>,
    pub(super) operations: u64,
    pub(super) spool: Spool,
    pub(super) directories: Arc<BlobDirectories>,
    /// Whether it is of version 1 and has metadata, which nothing but a conversion keeps.
    pub(super) has_metadata: bool,
    /// Whether one of its ids has the form of an implied one, such as `3-17`.
    pub(super) ids_like_implied: bool,
    /// The last time that an operation of the iterations names, in nanoseconds from time zero.
    pub(super) last_at_ns: u64,
}

/// The place of a reader in the operations of one client.
pub struct DocumentCursor(Cursor);

/// The memory that all readers on one thread share: a buffer, and the bytes of the blobs that
/// their operations write.
pub struct ReadBuffers {
    buffer: Vec<u8>,
    blobs: BlobCache,
}

impl CheckedDocument {
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Returns the oddities that do not keep the document from being run.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns whether the ids in the document stay unique when its operations get new numbers.
    pub fn ids_stay_unique(&self) -> bool {
        !self.ids_like_implied
    }

    /// Returns the last time that an operation of the iterations names, in nanoseconds from time
    /// zero.
    pub fn last_at_ns(&self) -> u64 {
        self.last_at_ns
    }

    /// Returns a cursor at the first operation of a client.
    pub fn cursor(&self, client: u32) -> DocumentCursor {
        DocumentCursor(self.spool.cursor(client))
    }

    pub fn buffers(&self) -> ReadBuffers {
        let blobs = BlobCache::new(Arc::clone(&self.directories), BLOB_BUDGET);
        ReadBuffers { buffer: Vec::new(), blobs }
    }

    /// Appends up to `max` (at least one) operations of the cursor's client, as
    /// [`OperationSource::pull`](crate::ir::OperationSource::pull) does.
    ///
    /// # Errors
    /// [`SourceError`] if the spool cannot be read.
    pub fn read(
        &self,
        cursor: &mut DocumentCursor,
        section: Section,
        max: usize,
        buffers: &mut ReadBuffers,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let before = into.len();
        let progress = self.spool.read(&mut cursor.0, section, max, &mut buffers.buffer, into);
        for (blob, length) in into[before..].iter().filter_map(Operation::blob) {
            buffers.blobs.fill(blob, length);
        }
        progress.map_err(|error| SourceError {
            message: format!("the temporary file of the document's operations failed: {error}"),
            client: Some(self.header.client_name(cursor.0.client())),
        })
    }
}
