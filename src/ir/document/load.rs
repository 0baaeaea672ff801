//! The loading of a document, which is read once, checked completely and spooled per client.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checked::{CheckedDocument, DocumentCursor, ReadBuffers};
use super::duplicate_ids::{DuplicateId, DuplicateSearch, hash_id};
use super::error::{DocumentError, Position, Problem};
use super::format::{Format, format_of};
use super::header::Header;
use super::line::DocumentLine;
use super::sink::LineSink;
use super::v2_writer::V2Writer;
use super::validate::Validator;
use super::warnings::{Warning, Warnings, shortened};
use super::{v1_reader, v2_reader};
use crate::ir::blobs::{BlobChecks, BlobDirectories};
use crate::ir::directory::{directory_of, regular_file};
use crate::ir::feature::{Feature, Need};
use crate::ir::operation::{Operation, OperationType, Section};
use crate::ir::phases::{self, PhaseScalingError};
use crate::ir::source::{OperationSource, Progress, SourceError, StreamHeader};
use crate::ir::spool::{MEMORY, SpoolWriter};

#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Whether warnings are errors, except those for handles that are never closed and for
    /// clients without operations.
    pub strict: bool,
    /// Directories that blobs may come from, beside the document's own.
    pub blob_directories: Vec<PathBuf>,
}

/// A document as a source of operations.
pub struct Document {
    checked: Arc<CheckedDocument>,
    header: StreamHeader,
    /// The place in each client's operations.
    cursors: Vec<DocumentCursor>,
    buffers: ReadBuffers,
}

/// Loads a document of either version.
///
/// # Errors
/// [`DocumentError`] for the first thing that is wrong.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Document, DocumentError> {
    let at_file = |problem| DocumentError::new(path, problem);
    let opened = regular_file(path).map_err(|error| at_file(Problem::from(error)))?;
    load_opened(opened, path, options).map(Document::new)
}

/// Loads a document whose file is open, together with its size in bytes. Errors name it by `path`,
/// and its blobs are in that directory.
///
/// # Errors
/// [`DocumentError`] for the first thing that is wrong, also if the file changes meanwhile.
pub fn load_opened(
    (mut file, size): (File, u64),
    path: &Path,
    options: &LoadOptions,
) -> Result<CheckedDocument, DocumentError> {
    let at_file = |problem| DocumentError::new(path, problem);
    let unreadable = |error| at_file(Problem::Unreadable(error));
    let same = file.try_clone().map_err(unreadable)?;
    let modified = |file: &File| file.metadata().and_then(|metadata| metadata.modified());
    let modified_before = modified(&same).map_err(unreadable)?;
    let format = format_of(&mut file, size, path)?;
    let directory = directory_of(path);
    let directories = BlobDirectories::open(directory, &options.blob_directories)
        .map_err(|(directory, error)| at_file(Problem::BlobDirectory { directory, error }))?;
    let base = directory.canonicalize().ok().filter(|_| format == Format::V2);
    let start = Box::new(|header: Header| Ok(Loading::new(header, directories, base)));
    let (loading, stated_hash) = match format {
        Format::V2 => v2_reader::read(path, file, start)?,
        Format::V1 => {
            let (mut loading, head) = v1_reader::read(path, &mut file, start)?;
            check_counts(&head, &mut loading.validator);
            (loading, None)
        }
    };
    let document = loading.finish(path, options.strict, stated_hash)?;
    let changed = modified(&same).map_err(unreadable)? != modified_before;
    if changed || same.metadata().map_err(unreadable)?.len() != size {
        return Err(at_file(Problem::Changed));
    }
    Ok(document)
}

fn check_counts(head: &v1_reader::Head, validator: &mut Validator) {
    let listed = head.names.len() as u64;
    match head.metadata.get("client_count").and_then(serde_json::Value::as_u64) {
        Some(stated) if stated != listed => {
            validator.warnings.add(Warning::ClientCount { stated, listed });
        }
        _ => {}
    }
    let counts = head.counts.iter().enumerate();
    let mut wrong = counts
        .map(|(client, stated)| (client, *stated, validator.operations_of(client)))
        .filter(|(_, stated, found)| stated != found);
    if let Some((first, stated, found)) = wrong.next() {
        let clients = 1 + wrong.count() as u64;
        let first = head.names[first].to_string();
        validator.warnings.add(Warning::OperationCount { clients, first, stated, found });
    }
}

/// A sink that checks lines and spools their operations.
struct Loading {
    header: StreamHeader,
    directories: Arc<BlobDirectories>,
    validator: Validator,
    spool: SpoolWriter,
    ids: DuplicateSearch,
    /// Whether an id has the form of an implied one, so that it may be another operation's.
    ids_like_implied: bool,
    implied_ids: bool,
    /// The lines of the operations, for their hash.
    lines: V2Writer<io::Sink>,
    has_metadata: bool,
    last_at_ns: u64,
    position: Option<Position>,
}

impl Loading {
    /// Relative paths of blobs start from `base`. If it is None, they are refused.
    fn new(header: Header, directories: Arc<BlobDirectories>, base: Option<PathBuf>) -> Loading {
        let clients = header.clients();
        let blobs = BlobChecks::new(Arc::clone(&directories), base);
        Loading {
            validator: Validator::new(clients, header.run_client, blobs),
            directories,
            spool: SpoolWriter::new(clients, MEMORY),
            ids: DuplicateSearch::new(MAX_IDS_IN_MEMORY),
            ids_like_implied: false,
            implied_ids: false,
            lines: V2Writer::after_header(io::sink()),
            has_metadata: header.metadata.is_some(),
            header: header.into_stream(),
            last_at_ns: 0,
            position: None,
        }
    }
}

impl LineSink for Loading {
    fn line(
        &mut self,
        position: Position,
        line: &mut DocumentLine<'static>,
        operation: OperationType,
    ) -> Result<(), Problem> {
        let operation = self.validator.operation(line, operation)?;
        match &operation.id {
            Some(id) => {
                self.ids_like_implied |= looks_implied(id);
                self.ids.add(id, position.number()).map_err(Problem::Spool)?;
            }
            // Implied ids are compared with the others only if one of those has their form.
            None => self.implied_ids = true,
        }
        for feature in Feature::needed_by(&operation) {
            if self.header.needs.iter().all(|known| known.feature != feature) {
                self.header.needs.push(Need::new(feature, &operation));
            }
        }
        if operation.section == Section::Iteration {
            self.last_at_ns = self.last_at_ns.max(operation.due.at_ns().unwrap_or(0));
        }
        self.spool.push(&operation).map_err(Problem::Spool)?;
        self.position = Some(position);
        self.lines.push(line).map_err(Problem::Spool)
    }
}

impl Loading {
    fn finish(
        mut self,
        path: &Path,
        strict: bool,
        stated_hash: Option<String>,
    ) -> Result<CheckedDocument, DocumentError> {
        let at_file = |problem| DocumentError::new(path, problem);
        let spool = |error| at_file(Problem::Spool(error));
        let written = self.lines.finish().map_err(spool)?;
        self.header.ir_hash = written.ir_hash;
        if stated_hash.is_some_and(|stated| stated != self.header.ir_hash) {
            self.validator.warnings.add(Warning::Edited);
        }
        find_idle_clients(&mut self.header, &self.spool, &mut self.validator.warnings);
        let document = CheckedDocument {
            header: self.header,
            warnings: self.validator.finish().all,
            operations: written.operations,
            spool: self.spool.finish().map_err(spool)?,
            directories: self.directories,
            has_metadata: self.has_metadata,
            ids_like_implied: self.ids_like_implied,
            last_at_ns: self.last_at_ns,
        };
        if self.ids_like_implied && self.implied_ids {
            let ids = &mut self.ids;
            let implied = |operation: &Operation| match operation.id {
                None => ids.add(&operation.op_id(), IMPLIED),
                Some(_) => Ok(()),
            };
            document.for_each(implied).map_err(spool)?;
        }
        if let Some(duplicate) = self.ids.duplicate().map_err(spool)? {
            let op_id = document.id_of(&duplicate).map_err(spool)?;
            let at = |number| self.position.map(|position| position.at(number));
            let (first, second) = (at(duplicate.first), at(duplicate.second));
            let (position, problem) = match first {
                Some(first) if duplicate.second != IMPLIED => {
                    (second, Problem::DuplicateId { first })
                }
                _ => (first, Problem::ImpliedId),
            };
            return Err(DocumentError { position, op_id, ..at_file(problem) });
        }
        if strict && let Some(warning) = document.warnings.iter().find(|w| w.is_error_if_strict()) {
            return Err(at_file(Problem::Strict(warning.clone())));
        }
        Ok(document)
    }
}

/// Finds the clients that have no operation. They take no part in a run, which keeps nothing for
/// them.
fn find_idle_clients(header: &mut StreamHeader, spool: &SpoolWriter, warnings: &mut Warnings) {
    let mut active: Vec<u32> = spool.clients_with_operations().collect();
    let idle = u64::from(header.clients()) - active.len() as u64;
    if idle == 0 {
        return;
    }
    let first = (0..).zip(&active).find(|(at, client)| at != *client);
    let first = first.map_or(active.len() as u32, |(at, _)| at);
    warnings.add(Warning::Idle { clients: idle, first: shortened(&header.client_name(first)) });
    // A run without any client would not find out whether there is a server.
    if active.is_empty() {
        active.push(0);
    }
    header.active = Some(active.into());
}

const MAX_IDS_IN_MEMORY: usize = 1 << 19;

/// Stands for the position of an id that is only implied.
const IMPLIED: u64 = u64::MAX;

/// Returns whether an id has the form `<number>-<number>`.
fn looks_implied(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('-').is_some_and(|(client, seq)| digits(client) && digits(seq))
}

impl CheckedDocument {
    /// Passes every operation to `look`, client by client.
    fn for_each(&self, mut look: impl FnMut(&Operation) -> io::Result<()>) -> io::Result<()> {
        let (mut batch, mut buffer) = (Vec::new(), Vec::new());
        for client in 0..self.header.clients() {
            let mut cursor = self.spool.cursor(client);
            for section in [Section::Setup, Section::Iteration, Section::Teardown] {
                let mut progress = Progress::More;
                while progress == Progress::More {
                    progress =
                        self.spool.read(&mut cursor, section, 256, &mut buffer, &mut batch)?;
                    batch.drain(..).try_for_each(|operation| look(&operation))?;
                }
            }
        }
        Ok(())
    }

    fn id_of(&self, duplicate: &DuplicateId) -> io::Result<Option<String>> {
        let mut found = None;
        self.for_each(|operation| {
            if found.is_none() && hash_id(&operation.op_id()) == duplicate.hash {
                found = Some(operation.op_id());
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Document {
    fn new(checked: CheckedDocument) -> Document {
        let header = checked.header.clone();
        let cursors = (0..header.clients()).map(|client| checked.cursor(client)).collect();
        let buffers = checked.buffers();
        Document { checked: Arc::new(checked), header, cursors, buffers }
    }

    pub fn operations(&self) -> u64 {
        self.checked.operations
    }

    /// Returns whether it has metadata of version 1, which only a conversion of the whole document
    /// keeps.
    pub fn has_metadata(&self) -> bool {
        self.checked.has_metadata
    }

    /// Returns the oddities that do not keep the document from being run.
    pub fn warnings(&self) -> &[Warning] {
        self.checked.warnings()
    }

    /// Returns the operations of the document, for other readers.
    pub fn checked(&self) -> &Arc<CheckedDocument> {
        &self.checked
    }

    /// Scales the document's phases, if it has any: see [`phases::scaled`].
    ///
    /// # Errors
    /// The errors of [`phases::scaled`].
    pub fn scale_phases(&mut self, recorded_ns: u64) -> Result<(), PhaseScalingError> {
        if !self.header.phases.is_empty() {
            self.header.phases = phases::scaled(&self.header.phases, recorded_ns)?;
        }
        Ok(())
    }

    /// Starts every client over, for another reading of the whole stream.
    pub fn rewind(&mut self) {
        for (client, cursor) in self.cursors.iter_mut().enumerate() {
            *cursor = self.checked.cursor(client as u32);
        }
    }
}

impl OperationSource for Document {
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
        let Some(cursor) = self.cursors.get_mut(client as usize) else { return Ok(Progress::End) };
        self.checked.read(cursor, section, max, &mut self.buffers, into)
    }
}
