//! Document version 1: one frozen JSON object, read as a stream.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{DocumentError, Position, Problem};
use super::format::Format;
use super::header::Header;
use super::limits::{MAX_HEADER, MAX_PART};
use super::line::DocumentLine;
use super::sink::{CheckedSink, LineSink, StartSink};
use super::warnings::shortened;
use crate::ir::operation::OpenMode;
use crate::ir::workloads::{MAX_CLIENTS, Workload};
use crate::protocol::create::CreateDisposition;

/// The parts of a version 1 document beside its operations.
pub(super) struct Head {
    pub metadata: Map<String, Value>,
    /// The `operation_count` of each client, in the order of the clients.
    pub counts: Vec<u64>,
    pub names: Arc<[Arc<str>]>,
}

/// Returns the disposition of an open that states none.
pub(super) fn default_disposition(mode: OpenMode) -> CreateDisposition {
    match mode {
        OpenMode::Read => CreateDisposition::Open,
        OpenMode::Write | OpenMode::ReadWrite => CreateDisposition::OpenIf,
    }
}

/// Reads a whole document. One pass is enough, unless `operations` come before the keys that
/// say what they mean.
pub(super) fn read<S: LineSink>(
    file: &Path,
    input: &mut File,
    start: StartSink<'_, S>,
) -> Result<(S, Head), DocumentError> {
    let mut pass = Pass {
        sink: CheckedSink::new(file, Format::V1, start),
        budget: Budget::default(),
        version: false,
        metadata: None,
        clients: None,
        indices: HashMap::new(),
        operations: Operations::NotSeen,
        second: false,
        position: None,
        error: None,
    };
    pass.run(input)?;
    pass.require_head().map_err(|problem| pass.sink.error(problem))?;
    if matches!(pass.operations, Operations::Skipped) {
        let rewound = input.seek(SeekFrom::Start(0));
        rewound.map_err(|error| pass.sink.error(Problem::Unreadable(error)))?;
        pass.second = true;
        pass.run(input)?;
    }
    match (pass.operations, pass.metadata, pass.clients) {
        (Operations::Read, Some(metadata), Some((names, counts))) => {
            Ok((pass.sink.finish()?, Head { metadata, counts, names }))
        }
        _ => Err(pass.sink.error(Problem::MissingKey("operations"))),
    }
}

/// One reading of the file.
struct Pass<'s, S> {
    sink: CheckedSink<'s, S>,
    budget: Budget,
    /// Whether the version was read.
    version: bool,
    metadata: Option<Map<String, Value>>,
    clients: Option<ClientList>,
    indices: HashMap<Arc<str>, u32>,
    operations: Operations,
    /// Whether only the operations are still wanted.
    second: bool,
    position: Option<Position>,
    /// The real error when the parser reports that it was stopped.
    error: Option<DocumentError>,
}

/// The name of each client, and its `operation_count`.
type ClientList = (Arc<[Arc<str>]>, Vec<u64>);

/// An entry of `clients`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientEntry<'a> {
    pub client_id: Cow<'a, str>,
    pub operation_count: u64,
}

enum Operations {
    NotSeen,
    /// Operations that came before `clients` or another key they need.
    Skipped,
    Read,
}

impl<S: LineSink> Pass<'_, S> {
    fn run(&mut self, input: &mut impl Read) -> Result<(), DocumentError> {
        let reader = Limited {
            inner: BufReader::with_capacity(1 << 16, input),
            budget: self.budget.clone(),
        };
        let mut json = serde_json::Deserializer::from_reader(reader);
        self.budget.allow(MAX_PART);
        let read = PartReader(Part::Document, self).deserialize(&mut json).and_then(|()| {
            self.budget.allow(MAX_PART);
            json.end()
        });
        let Err(error) = read else { return Ok(()) };
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let problem = match self.budget.exceeded.get() {
            Some(limit) => Problem::TooLarge(limit >> 20),
            None if error.is_io() => Problem::Unreadable(error.into()),
            None => Problem::json_in_file(&error),
        };
        Err(DocumentError { position: self.position, ..self.sink.error(problem) })
    }

    fn require_head(&self) -> Result<(), Problem> {
        match (self.version, &self.metadata, &self.clients) {
            (false, ..) => Err(Problem::MissingKey("version")),
            (_, None, _) => Err(Problem::MissingKey("metadata")),
            (.., None) => Err(Problem::MissingKey("clients")),
            _ => Ok(()),
        }
    }

    /// Keeps the error for `run` and returns one that stops the parser.
    fn fail<E: serde::de::Error>(&mut self, error: DocumentError) -> E {
        self.error = Some(error);
        E::custom("stopped")
    }

    fn refuse<E: serde::de::Error>(&mut self, problem: Problem) -> E {
        let error = self.sink.error(problem);
        self.fail(error)
    }

    fn key<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.budget.allow(MAX_PART);
        match key {
            "version" | "metadata" | "clients" if self.second => {
                self.budget.allow(MAX_HEADER);
                map.next_value::<IgnoredAny>()?;
            }
            "version" => {
                let version: Value = map.next_value()?;
                if version != 1 {
                    return Err(self.refuse(Problem::Version(shortened(&version.to_string()))));
                }
                self.version = true;
            }
            "metadata" => {
                let metadata: Map<String, Value> = map.next_value()?;
                check_metadata(&metadata).map_err(|problem| self.refuse(problem))?;
                self.metadata = Some(metadata);
            }
            "clients" => {
                self.budget.allow(MAX_HEADER);
                map.next_value_seed(PartReader(Part::Clients, self))?;
            }
            "operations" => map.next_value_seed(PartReader(Part::Operations, self))?,
            other => {
                let known = &["version", "metadata", "clients", "operations"];
                return Err(A::Error::unknown_field(&shortened(other), known));
            }
        }
        Ok(())
    }

    fn clients<'de, A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        let (mut names, mut counts) = (Vec::new(), Vec::new());
        while let Some(client) = list.next_element::<ClientEntry<'static>>()? {
            if names.len() >= MAX_CLIENTS as usize {
                return Err(self.refuse(Problem::TooManyClients(u64::from(MAX_CLIENTS) + 1)));
            }
            let name: Arc<str> = client.client_id.into();
            if self.indices.insert(Arc::clone(&name), names.len() as u32).is_some() {
                return Err(self.refuse(Problem::DuplicateClient(shortened(&name))));
            }
            names.push(name);
            counts.push(client.operation_count);
        }
        self.clients = Some((names.into(), counts));
        Ok(())
    }

    fn operations<'de, A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        if self.require_head().is_err() {
            self.operations = Operations::Skipped;
            loop {
                self.budget.allow(MAX_PART);
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
            }
        }
        let header = self.header();
        self.sink.header(header).map_err(|error| self.fail(error))?;
        for index in 0.. {
            let position = Position::Operation(index);
            self.position = Some(position);
            self.budget.allow(MAX_PART);
            let Some(line) = list.next_element::<DocumentLine<'static>>()? else { break };
            let indices = &self.indices;
            let taken = self.sink.line(position, line, |line| to_v2(line, indices));
            taken.map_err(|error| self.fail(error))?;
        }
        self.position = None;
        self.operations = Operations::Read;
        Ok(())
    }

    fn header(&self) -> Header {
        let (Some(metadata), Some((names, _))) = (&self.metadata, &self.clients) else {
            return Header::default();
        };
        let source = metadata.get("source").and_then(Value::as_str).unwrap_or_default();
        let workload = Workload {
            client_names: Some(Arc::clone(names)),
            ..Workload::new("document", names.len() as u32)
        };
        Header {
            version: 2,
            source: source.to_string(),
            workloads: vec![workload],
            metadata: Some(metadata.clone()),
            ..Header::default()
        }
    }
}

fn check_metadata(metadata: &Map<String, Value>) -> Result<(), Problem> {
    let has = |key, wanted, holds: fn(&Value) -> bool| match metadata.get(key) {
        Some(value) if holds(value) => Ok(()),
        _ => Err(Problem::Metadata { key, wanted }),
    };
    has("source", "a string", Value::is_string)?;
    has("duration_seconds", "a number from 0", |v| v.as_f64().is_some_and(|s| s >= 0.0))?;
    has("client_count", "a whole number from 0", Value::is_u64)
}

/// A part of the document that is read as a stream.
#[derive(Clone, Copy)]
enum Part {
    Document,
    Clients,
    Operations,
}

struct PartReader<'p, 's, S>(Part, &'p mut Pass<'s, S>);

impl<'de, S: LineSink> DeserializeSeed<'de> for PartReader<'_, '_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Part::Document => deserializer.deserialize_map(self),
            Part::Clients | Part::Operations => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de, S: LineSink> Visitor<'de> for PartReader<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Part::Document => {
                "a version 1 document (an object with version, metadata, clients, operations)"
            }
            Part::Clients => "a list of clients",
            Part::Operations => "a list of operations",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("{:?} is there twice", shortened(&key))));
            }
            self.1.key(&key, &mut map)?;
            seen.push(key);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        match self.0 {
            Part::Operations => self.1.operations(list),
            Part::Clients | Part::Document => self.1.clients(list),
        }
    }
}

/// Converts a line to the version 2 line that means the same.
fn to_v2(
    line: &mut DocumentLine<'static>,
    clients: &HashMap<Arc<str>, u32>,
) -> Result<(), Problem> {
    let name = line.client_id.take().unwrap_or_default();
    let client = clients.get(name.as_ref());
    line.client = Some(*client.ok_or_else(|| Problem::UnknownClient(shortened(&name)))?);
    let micros = line.timestamp_us.take().unwrap_or_default();
    line.at_ns = Some(micros.checked_mul(1_000).ok_or(Problem::TimeTooLarge(micros))?);
    if let Some(mode) = line.mode {
        line.set_disposition(mode, default_disposition(mode));
    }
    if line.source_path.is_some() {
        line.replace = Some(false);
    }
    Ok(())
}

/// The number of bytes that may still be read before the next part begins.
#[derive(Clone, Default)]
struct Budget {
    left: Rc<Cell<u64>>,
    limit: Rc<Cell<u64>>,
    exceeded: Rc<Cell<Option<u64>>>,
}

impl Budget {
    fn allow(&self, bytes: u64) {
        self.left.set(bytes);
        self.limit.set(bytes);
    }
}

/// A reader that bounds what the parser holds at a time, because the parser has no bound of
/// its own.
struct Limited<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.budget.left.get().checked_sub(read as u64) {
            Some(left) => self.budget.left.set(left),
            None => {
                self.budget.exceeded.set(Some(self.budget.limit.get()));
                return Err(io::Error::other("too large"));
            }
        }
        Ok(read)
    }
}
