//! The validation of a document: it turns lines into operations, and checks everything that
//! must hold.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::duplicate_ids::{IdHash, hash_id};
use super::error::Problem;
use super::limits::{MAX_OPEN_HANDLES, MAX_TIME_NS};
use super::line::{DocumentLine, HandleName, StepLine, default_disposition, status_named};
use super::warnings::{Warning, Warnings, shortened};
use crate::ir::blobs::{Blob, BlobChecks};
use crate::ir::due::Due;
use crate::ir::operation::{
    Expect, FileControl, HandleOperation, HandleRef, MAX_FILE_BYTES, OpenMode, OpenOperation,
    Operation, OperationKind, OperationType, PathOperation, Section,
};
use crate::ir::payload::{MAX_IO_BYTES, Payload};
use crate::ir::step::{Step, StepError, StepNames};
use crate::protocol::create::{CreateDisposition, ParameterValue, Set};
use crate::protocol::{CreateParameters, NtStatus, SharePath};

/// A validator of the lines of one document, in their order.
pub(super) struct Validator {
    clients: Vec<ClientState>,
    run_client: Option<u32>,
    /// The handles that are open and no others, so that their number bounds the memory.
    handles: HashMap<(u32, IdHash), Handle>,
    blobs: BlobChecks,
    step_names: StepNames,
    pub warnings: Warnings,
}

struct Handle {
    number: HandleRef,
    /// The statuses that its Open expects are failures, so there is nothing to close.
    expected_to_fail: bool,
}

#[derive(Clone, Default)]
struct ClientState {
    operations: u32,
    handles: u32,
    iteration: u32,
    /// The last iteration that has operations.
    begun: Option<u32>,
    section: Section,
    /// The time of the section's last `At`.
    at: u64,
}

impl Validator {
    pub fn new(clients: u32, run_client: bool, blobs: BlobChecks) -> Validator {
        Validator {
            clients: vec![ClientState::default(); clients as usize],
            run_client: (run_client && clients > 0).then(|| clients - 1),
            handles: HashMap::new(),
            blobs,
            step_names: StepNames::default(),
            warnings: Warnings::default(),
        }
    }

    /// Checks a version 2 line and returns its operation. The line is brought to its canonical
    /// form.
    pub fn operation(
        &mut self,
        line: &mut DocumentLine<'_>,
        operation: OperationType,
    ) -> Result<Operation, Problem> {
        let client_idx = line.client.unwrap_or_default();
        let seq = self.in_order(line, client_idx)?;
        line.make_canonical(seq);
        let kind = self.kind(line, operation, client_idx, seq)?;
        let section = line.section();
        let due = due(line);
        let expect = expect(line)?;
        let step =
            line.step.as_ref().map(|step| self.step(step)).transpose().map_err(Problem::Step)?;
        if operation == OperationType::Open
            && !expect.allows(NtStatus::SUCCESS, operation)
            && let Some(handle) = self.handles.get_mut(&handle_key(line, client_idx))
        {
            handle.expected_to_fail = true;
        }
        let id = line.op_id.as_deref().map(Arc::from);
        let iteration = line.iteration.unwrap_or_default();
        Ok(Operation { client_idx, seq, due, section, iteration, expect, id, step, kind })
    }

    /// Checks the line's position in its client's order. Returns the operation's number within
    /// the client.
    fn in_order(&mut self, line: &DocumentLine<'_>, client: u32) -> Result<u32, Problem> {
        let last = (self.clients.len() as u32).saturating_sub(1);
        let section = line.section();
        if self.run_client == Some(client) && section == Section::Iteration {
            return Err(Problem::RunClientIterates);
        }
        let Some(state) = self.clients.get_mut(client as usize) else {
            return Err(Problem::ClientRange { client, last });
        };
        if section < state.section {
            let (before, section) = (section_name(state.section), section_name(section));
            return Err(Problem::SectionBackwards { before, section });
        }
        if section > state.section {
            (state.section, state.at, state.iteration) = (section, 0, 0);
        }
        let iteration = line.iteration.unwrap_or_default();
        if iteration < state.iteration {
            return Err(Problem::IterationBackwards { before: state.iteration, iteration });
        }
        // A dropped arrival drops its whole iteration, so only the first operation of one may
        // be an arrival.
        let arrival = line.at_ns.is_some() && line.after_ns.is_some();
        let begins = section == Section::Iteration && state.begun < Some(iteration);
        if arrival && !begins {
            return Err(Problem::ArrivalInside);
        }
        if section == Section::Iteration {
            state.begun = Some(iteration);
        }
        state.iteration = iteration;
        for time in [line.at_ns, line.after_ns].into_iter().flatten() {
            if time > MAX_TIME_NS {
                return Err(Problem::TimeTooLarge(time));
            }
        }
        // An arrival may be earlier than what precedes it, because think time delays one
        // arrival and not the next.
        if let Some(at) = line.at_ns.filter(|_| !arrival) {
            if at < state.at {
                return Err(Problem::TimeBackwards { before: state.at, at });
            }
            state.at = at;
        }
        let seq = state.operations;
        state.operations = seq.checked_add(1).ok_or(Problem::TooManyOperations)?;
        Ok(seq)
    }

    fn kind(
        &mut self,
        line: &mut DocumentLine<'_>,
        operation: OperationType,
        client: u32,
        seq: u32,
    ) -> Result<OperationKind, Problem> {
        let offset = line.offset.unwrap_or_default();
        let length = line.length.unwrap_or_default();
        Ok(match operation {
            OperationType::Open => self.open(line, client, seq)?.into(),
            OperationType::Read => {
                transfer(offset, length)?;
                HandleOperation::Read { offset, length }.on(self.handle(line, client)?)
            }
            OperationType::Write => {
                transfer(offset, length)?;
                let payload = self.payload(line, length)?;
                HandleOperation::Write { offset, length, payload }.on(self.handle(line, client)?)
            }
            OperationType::Close => {
                let handle_ref = self.handle(line, client)?;
                self.handles.remove(&handle_key(line, client));
                HandleOperation::Close.on(handle_ref)
            }
            OperationType::Truncate => {
                let size = line.size.unwrap_or_default();
                if size > MAX_FILE_BYTES {
                    return Err(Problem::Size(size));
                }
                FileControl::Truncate { size }.on(self.handle(line, client)?)
            }
            OperationType::Flush => FileControl::Flush.on(self.handle(line, client)?),
            // Any range is allowed, because what a server says to a strange one may be of interest.
            OperationType::Lock => {
                let exclusive = line.exclusive.unwrap_or_default();
                let wait = line.wait.unwrap_or_default();
                let handle_ref = self.handle(line, client)?;
                FileControl::Lock { offset, length, exclusive, wait }.on(handle_ref)
            }
            OperationType::Unlock => {
                FileControl::Unlock { offset, length }.on(self.handle(line, client)?)
            }
            OperationType::Rename => PathOperation::Rename {
                source_path: path("source_path", line.source_path.as_deref())?,
                dest_path: path("dest_path", line.dest_path.as_deref())?,
                replace: line.replace.unwrap_or_default(),
            }
            .into(),
            OperationType::Delete => PathOperation::Delete { path: own_path(line)? }.into(),
            OperationType::Mkdir => PathOperation::Mkdir { path: own_path(line)? }.into(),
            OperationType::Rmdir => PathOperation::Rmdir { path: own_path(line)? }.into(),
            OperationType::Stat => PathOperation::Stat { path: own_path(line)? }.into(),
            OperationType::List => {
                PathOperation::List { path: own_path(line)?, pattern: pattern(line)? }.into()
            }
        })
    }

    fn open(
        &mut self,
        line: &mut DocumentLine<'_>,
        client: u32,
        seq: u32,
    ) -> Result<OpenOperation, Problem> {
        let path = own_path(line)?;
        let mode = line.mode.unwrap_or(OpenMode::Read);
        let disposition = match &line.disposition {
            Some(name) => CreateDisposition::from_name(name).map_err(Problem::Disposition)?,
            None => default_disposition(mode),
        };
        let extensions = match &line.extensions {
            Some(extensions) => {
                let implied = || format!("{client}-{seq}").into();
                let op_id = line.op_id.clone().unwrap_or_else(implied);
                parameters(extensions, &op_id, &mut self.warnings)?
            }
            None => CreateParameters::default(),
        };
        let key = handle_key(line, client);
        if self.handles.contains_key(&key) {
            return Err(Problem::HandleOpen(handle_text(line)));
        }
        if self.handles.len() >= MAX_OPEN_HANDLES {
            return Err(Problem::TooManyHandles(MAX_OPEN_HANDLES));
        }
        let mut handle_ref = HandleRef(0);
        if let Some(state) = self.clients.get_mut(client as usize) {
            handle_ref = HandleRef(state.handles);
            state.handles += 1;
        }
        self.handles.insert(key, Handle { number: handle_ref, expected_to_fail: false });
        let extensions = (!extensions.is_empty()).then(|| Arc::new(extensions));
        Ok(OpenOperation { path, mode, disposition, handle_ref, extensions })
    }

    fn handle(&self, line: &DocumentLine<'_>, client: u32) -> Result<HandleRef, Problem> {
        let handle = self.handles.get(&handle_key(line, client));
        handle.map(|handle| handle.number).ok_or_else(|| Problem::HandleNotOpen(handle_text(line)))
    }

    fn payload(&mut self, line: &DocumentLine<'_>, length: u64) -> Result<Payload, Problem> {
        if let Some(pattern) = line.payload {
            pattern.prepare();
            return Ok(Payload::Pattern(pattern));
        }
        let path = line.blob_path.as_deref().unwrap_or_default();
        let path = self
            .blobs
            .check(path, length)
            .map_err(|error| Problem::Blob { path: shortened(path), error })?;
        Ok(Payload::Blob(Arc::new(Blob::new(path))))
    }

    fn step(&self, line: &StepLine<'_>) -> Result<Arc<Step>, StepError> {
        let (name, number) = (self.step_names.intern(&line.name)?, line.number);
        let Some(outer) = &line.outer else {
            return Ok(Arc::new(Step { name, number, outer: None }));
        };
        let outer_name = self.step_names.intern(&outer.name)?;
        if let Some(outermost) = &outer.outer {
            return Err(StepError::TooDeep {
                name: name.to_string(),
                inner: outer_name.to_string(),
                outer: shortened(&outermost.name),
            });
        }
        let outer = Step { name: outer_name, number: outer.number, outer: None };
        Ok(Arc::new(Step { name, number, outer: Some(Arc::new(outer)) }))
    }

    /// Returns the number of operations of a client.
    pub fn operations_of(&self, client: usize) -> u64 {
        self.clients.get(client).map_or(0, |client| u64::from(client.operations))
    }

    pub fn finish(mut self) -> Warnings {
        let open = self.handles.values().filter(|handle| !handle.expected_to_fail);
        match open.count() as u64 {
            0 => {}
            count => self.warnings.add(Warning::NeverClosed { count }),
        }
        self.warnings
    }
}

fn section_name(section: Section) -> &'static str {
    match section {
        Section::Setup => "setup",
        Section::Iteration => "iteration",
        Section::Teardown => "teardown",
    }
}

fn handle_key(line: &DocumentLine<'_>, client: u32) -> (u32, IdHash) {
    let hash = match &line.handle_ref {
        Some(HandleName::Text(text)) => hash_id(text),
        // A number is not a string: 1 and "1" are two handles.
        Some(HandleName::Number(number)) => {
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            hash
        }
        None => [0xFF; 16],
    };
    (client, hash)
}

fn handle_text(line: &DocumentLine<'_>) -> String {
    line.handle_ref.as_ref().map(|name| shortened(&name.to_string())).unwrap_or_default()
}

fn own_path(line: &DocumentLine<'_>) -> Result<SharePath, Problem> {
    path("path", line.path.as_deref())
}

fn path(field: &'static str, text: Option<&str>) -> Result<SharePath, Problem> {
    SharePath::new(text.unwrap_or_default()).map_err(|error| Problem::Path { field, error })
}

fn pattern(line: &DocumentLine<'_>) -> Result<Arc<str>, Problem> {
    let pattern = line.pattern.as_deref().unwrap_or_default();
    let bad = |c: char| matches!(c, '/' | '\\') || c < ' ';
    if pattern.is_empty() || pattern.chars().count() > 255 || pattern.contains(bad) {
        return Err(Problem::Pattern(shortened(pattern)));
    }
    Ok(pattern.into())
}

fn transfer(offset: u64, length: u64) -> Result<(), Problem> {
    if length > MAX_IO_BYTES {
        return Err(Problem::Length { length, max: MAX_IO_BYTES });
    }
    match offset.checked_add(length) {
        Some(end) if end <= MAX_FILE_BYTES => Ok(()),
        _ => Err(Problem::Range { offset, length }),
    }
}

fn expect(line: &DocumentLine<'_>) -> Result<Expect, Problem> {
    let Some(words) = &line.expect else { return Ok(Expect::Default) };
    if words.is_empty() {
        return Err(Problem::ExpectNothing);
    }
    if matches!(words.as_slice(), [word] if word == "any") {
        return Ok(Expect::Any);
    }
    let status = |word| status_named(word).ok_or_else(|| Problem::Expect(shortened(word)));
    let statuses: Result<Vec<NtStatus>, Problem> = words.iter().map(|word| status(word)).collect();
    Ok(Expect::Statuses(statuses?.into()))
}

fn parameters(
    extensions: &Map<String, Value>,
    op_id: &str,
    warnings: &mut Warnings,
) -> Result<CreateParameters, Problem> {
    let mut parameters = CreateParameters::default();
    for (name, value) in extensions {
        if name != "smb" {
            warnings.unknown_extension(&format!("extensions.{name}"), "extensions.smb", op_id);
            continue;
        }
        for (key, value) in value.as_object().ok_or(Problem::ExtensionsForm)? {
            match parameters.set(key, ParameterValue::from(value)).map_err(Problem::Extension)? {
                Set::Honoured => {}
                Set::Unknown { nearest } => {
                    warnings.unknown_extension(&format!("extensions.smb.{key}"), nearest, op_id);
                }
            }
        }
    }
    Ok(parameters)
}

/// Describes an operation for messages: its type as documents write it, and its id.
pub(in crate::ir) fn described(operation: &Operation) -> String {
    format!("{} {}", operation.operation_type().document_name(), operation.op_id())
}

fn due(line: &DocumentLine<'_>) -> Due {
    match (line.at_ns, line.after_ns) {
        (Some(at_ns), Some(think_ns)) => {
            Due::Arrival { at_ns, think_ns, late: line.late.unwrap_or_default() }
        }
        (Some(at), None) => Due::At(at),
        (None, after) => Due::After(after.unwrap_or_default()),
    }
}
