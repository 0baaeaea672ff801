//! A document as a stream that can be read any number of times.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::stream::{ClientReader, OperationStream, Origin, StreamFacts};
use crate::ir::document::{CheckedDocument, DocumentCursor, ReadBuffers};
use crate::ir::{Operation, Progress, Section, SourceError};

/// The beginning of a transform: the operations of a document.
pub struct DocumentStream {
    document: Arc<CheckedDocument>,
    facts: StreamFacts,
    /// Shared by the readers. They are all on one thread.
    buffers: Rc<RefCell<ReadBuffers>>,
}

impl DocumentStream {
    pub fn new(document: Arc<CheckedDocument>) -> DocumentStream {
        let facts = StreamFacts {
            header: document.header().clone(),
            length_ns: document.last_at_ns(),
            ids_stay_unique: document.ids_stay_unique(),
            joined: 1,
        };
        let buffers = Rc::new(RefCell::new(document.buffers()));
        DocumentStream { document, facts, buffers }
    }
}

impl OperationStream for DocumentStream {
    fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        Box::new(DocumentReader {
            document: Arc::clone(&self.document),
            cursor: self.document.cursor(client),
            buffers: Rc::clone(&self.buffers),
        })
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        Some(Origin { document: Arc::clone(&self.document), client, copy: Vec::new() })
    }
}

struct DocumentReader {
    document: Arc<CheckedDocument>,
    cursor: DocumentCursor,
    buffers: Rc<RefCell<ReadBuffers>>,
}

impl ClientReader for DocumentReader {
    fn read(
        &mut self,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let mut buffers = self.buffers.borrow_mut();
        self.document.read(&mut self.cursor, section, max, &mut buffers, into)
    }
}
