//! The end of a chain of stages: a source of operations.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::stream::{ClientReader, OperationStream};
use crate::ir::phases::{self, PhaseScalingError};
use crate::ir::{Operation, OperationSource, Progress, Section, SourceError, StreamHeader};

/// A stream as a source. It numbers the operations of each client in their order.
pub struct TransformedSource {
    stream: Rc<dyn OperationStream>,
    header: StreamHeader,
    ids_stay_unique: bool,
    clients: FxHashMap<u32, TransformedClient>,
}

struct TransformedClient {
    /// The reader. None: the last section has ended.
    reader: Option<Box<dyn ClientReader>>,
    next_seq: u32,
    section: Section,
    /// The error at which the operations broke off.
    failed: Option<Box<SourceError>>,
}

impl TransformedSource {
    pub fn new(stream: Rc<dyn OperationStream>) -> TransformedSource {
        let facts = stream.facts();
        let (header, ids_stay_unique) = (facts.header.clone(), facts.ids_stay_unique);
        TransformedSource { stream, header, ids_stay_unique, clients: FxHashMap::default() }
    }

    /// Returns the stream that the operations are read from.
    pub fn stream(&self) -> &dyn OperationStream {
        &*self.stream
    }

    /// Sets the name of the stream in results.
    pub fn set_ir_hash(&mut self, ir_hash: String) {
        self.header.ir_hash = ir_hash;
    }

    /// Scales the phases, if there are any: see [`phases::scaled`].
    ///
    /// # Errors
    /// The errors of [`phases::scaled`].
    pub fn scale_phases(&mut self, recorded_ns: u64) -> Result<(), PhaseScalingError> {
        if !self.header.phases.is_empty() {
            self.header.phases = phases::scaled(&self.header.phases, recorded_ns)?;
        }
        Ok(())
    }
}

impl OperationSource for TransformedSource {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        if client >= self.header.clients() {
            return Ok(Progress::End);
        }
        let state = self.clients.entry(client).or_insert_with(|| TransformedClient {
            reader: Some(self.stream.reader(client)),
            next_seq: 0,
            section: Section::Setup,
            failed: None,
        });
        if section < state.section {
            return Ok(Progress::End);
        }
        if section > state.section {
            (state.section, state.failed) = (section, None);
        }
        if let Some(failed) = &state.failed {
            return Err(SourceError::clone(failed));
        }
        let Some(reader) = &mut state.reader else { return Ok(Progress::End) };
        let first = into.len();
        let mut progress = reader.read(section, max, into);
        for at in first..into.len() {
            let operation = &mut into[at];
            operation.client_idx = client;
            operation.section = section;
            operation.seq = state.next_seq;
            if !self.ids_stay_unique {
                operation.id = None;
            }
            match state.next_seq.checked_add(1) {
                Some(next) => state.next_seq = next,
                None => {
                    into.truncate(at);
                    progress = Err(SourceError {
                        message: "a client has more than 2^32 operations".into(),
                        client: None,
                    });
                    break;
                }
            }
        }
        match progress {
            Ok(Progress::End) if section == Section::Teardown => state.reader = None,
            Ok(_) => {}
            Err(error) => {
                let client = Some(self.header.client_name(client));
                let error = SourceError { client, ..error };
                state.failed = Some(Box::new(error.clone()));
                return Err(error);
            }
        }
        progress
    }
}
