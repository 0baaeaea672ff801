//! Document version 2: JSON Lines. A header is followed by one operation a line and a last
//! line with the number of operations, so that a truncated document is not taken for a whole
//! one.

use std::collections::HashSet;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{DocumentError, Place, Problem};
use super::intake::{
    Intake, LineSink, MAX_CLIENTS, MAX_HEADER, MAX_PART, MAX_PHASES, MAX_WORKLOADS,
};
use super::line::Line;
use super::validate::MAX_TIME_NS;
use super::writer::{DocumentWriter, WriteError, Written};
use crate::ir::source::{Module, Phase, StreamHeader, Workload};

/// The first line of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub version: u32,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub seed: u64,
    /// The workloads, in the order in which their clients are numbered.
    pub workloads: Vec<Workload>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub run_client: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    /// The `metadata` of the version 1 document this came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The last line of a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub operations: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ir_hash: Option<String>,
}

impl From<&StreamHeader> for Header {
    fn from(stream: &StreamHeader) -> Header {
        Header {
            version: 2,
            source: stream.source.clone(),
            seed: stream.seed,
            workloads: stream.workloads.to_vec(),
            run_client: stream.run_client,
            phases: stream.phases.clone(),
            script_hash: stream.script_hash.clone(),
            params: stream.params.clone(),
            modules: stream.modules.clone(),
            metadata: None,
        }
    }
}

impl Header {
    /// Converts the header to that of a stream that is all in this document. Its `ir_hash` is
    /// known when the operations have been read.
    pub(super) fn into_stream(self) -> StreamHeader {
        StreamHeader {
            source: self.source,
            seed: self.seed,
            workloads: self.workloads.into(),
            active: None,
            run_client: self.run_client,
            phases: self.phases,
            bounded: true,
            hooks: false,
            ir_hash: String::new(),
            script_hash: self.script_hash,
            params: self.params,
            modules: self.modules,
            needs: Vec::new(),
            thresholds: Vec::new(),
            batch_bytes: None,
        }
    }

    /// Returns the names of all clients but the run-wide one, in order.
    pub(super) fn client_names(&self) -> impl Iterator<Item = String> + '_ {
        self.workloads.iter().flat_map(|workload| {
            (0..workload.clients).map(move |id| {
                match &workload.client_names {
                    Some(names) => names.get(id as usize).map(|name| name.to_string()),
                    None => None,
                }
                .unwrap_or_else(|| format!("{}/{id}", workload.name))
            })
        })
    }

    /// Returns the number of clients, the run-wide one included.
    pub fn clients(&self) -> u32 {
        let clients: u32 = self.workloads.iter().map(|workload| workload.clients).sum();
        clients + u32::from(self.run_client)
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let clients = self.workloads.iter().map(|workload| u64::from(workload.clients)).sum();
        if clients == 0 && !self.run_client {
            return Err(Problem::NoClients);
        }
        if self.workloads.len() > MAX_WORKLOADS {
            return Err(Problem::TooManyWorkloads(self.workloads.len()));
        }
        if clients > MAX_CLIENTS {
            return Err(Problem::TooManyClients(clients));
        }
        if self.phases.len() > MAX_PHASES {
            return Err(Problem::TooManyPhases(self.phases.len()));
        }
        let lengths = self.phases.iter().map(|phase| u128::from(phase.duration_ns));
        if lengths.sum::<u128>() > u128::from(MAX_TIME_NS) {
            return Err(Problem::PhasesTooLong);
        }
        let mut known = HashSet::new();
        for workload in &self.workloads {
            let names = match &workload.client_names {
                Some(names) => names,
                None => std::slice::from_ref(&workload.name),
            };
            if let Some(twice) = names.iter().find(|name| !known.insert(Arc::clone(name))) {
                return Err(Problem::DuplicateClient(super::error::shortened(twice)));
            }
            if workload.client_names.is_some() && names.len() != workload.clients as usize {
                return Err(Problem::ClientNames {
                    name: super::error::shortened(&workload.name),
                    clients: workload.clients,
                    names: names.len(),
                });
            }
        }
        Ok(())
    }
}

/// Reads a whole document. Returns the hash in the last line, if it has one.
pub(super) fn read(
    file: &Path,
    input: &mut impl BufRead,
    sink: &mut dyn LineSink,
) -> Result<Option<String>, DocumentError> {
    let mut intake = Intake::new(file, 2, sink);
    let mut lines = Lines { input, buffer: Vec::new(), number: 0 };
    let first = lines.next(&intake, MAX_HEADER)?;
    let (place, text) = first.ok_or_else(|| intake.error(Problem::Empty))?;
    let header = header(text).map_err(|problem| intake.error_at(place, problem))?;
    intake.header(header)?;
    let mut trailer: Option<Trailer> = None;
    while let Some((place, text)) = lines.next(&intake, MAX_PART)? {
        if trailer.is_some() {
            return Err(intake.error_at(place, Problem::AfterTheEnd));
        }
        let at = |error: serde_json::Error| intake.error_at(place, Problem::json(&error));
        if is_trailer(text) {
            trailer = Some(serde_json::from_str(text).map_err(at)?);
        } else {
            let line: Line<'static> = serde_json::from_str(text).map_err(at)?;
            intake.line(place, line, |_| Ok(()))?;
        }
    }
    let found = intake.found;
    let place = Place::Line(lines.number);
    let Some(Trailer { operations: stated, ir_hash }) = trailer else {
        return Err(intake.error_at(place, Problem::Unfinished { found }));
    };
    if stated != found {
        return Err(intake.error_at(place, Problem::Count { stated, found }));
    }
    intake.finish()?;
    Ok(ir_hash)
}

fn header(text: &str) -> Result<Header, Problem> {
    #[derive(Deserialize)]
    struct Version {
        version: Value,
    }
    let json = |error: serde_json::Error| Problem::json(&error);
    let Version { version } = serde_json::from_str(text).map_err(json)?;
    if version != 2 {
        return Err(Problem::Version(super::error::shortened(&version.to_string())));
    }
    serde_json::from_str(text).map_err(json)
}

fn is_trailer(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with("\"operations\""))
}

/// The lines of a document that are not blank.
struct Lines<'i, R> {
    input: &'i mut R,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(
        &mut self,
        intake: &Intake<'_>,
        limit: u64,
    ) -> Result<Option<(Place, &str)>, DocumentError> {
        loop {
            self.buffer.clear();
            let read = self.input.take(limit + 1).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|error| intake.error(Problem::Unreadable(error)))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let place = Place::Line(self.number);
            if read as u64 > limit {
                return Err(intake.error_at(place, Problem::TooLarge(limit >> 20)));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let place = Place::Line(self.number);
        let not_utf8 = |error: std::str::Utf8Error| Problem::NotUtf8(error.valid_up_to() + 1);
        let text =
            std::str::from_utf8(&self.buffer).map_err(|e| intake.error_at(place, not_utf8(e)))?;
        if self.number > 1 && !text.ends_with('\n') && !whole(text) {
            return Err(intake.error_at(place, Problem::CutShort));
        }
        Ok(Some((place, text)))
    }
}

/// Returns whether the last piece of a file is a JSON value that only lacks its line end.
fn whole(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A writer that writes a document as the operations come.
pub(super) struct WriterV2<W> {
    out: W,
    buffer: Vec<u8>,
    operations: u64,
    hash: blake3::Hasher,
}

const FLUSH_AT: usize = 256 << 10;

impl<W: Write> WriterV2<W> {
    pub fn new(header: &Header, mut out: W) -> Result<WriterV2<W>, WriteError> {
        let mut buffer = serde_json::to_vec(&Header { version: 2, ..header.clone() })
            .map_err(io::Error::other)?;
        buffer.push(b'\n');
        out.write_all(&buffer)?;
        buffer.clear();
        Ok(WriterV2 { out, buffer, operations: 0, hash: blake3::Hasher::new() })
    }

    /// Writes the buffer and adds it to the hash, which is that of the operations' lines.
    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> DocumentWriter for WriterV2<W> {
    fn operation(&mut self, line: Line<'_>) -> Result<(), WriteError> {
        serde_json::to_writer(&mut self.buffer, &line).map_err(io::Error::other)?;
        self.buffer.push(b'\n');
        self.operations += 1;
        if self.buffer.len() >= FLUSH_AT {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written, WriteError> {
        self.flush()?;
        let ir_hash = self.hash.finalize().to_hex().to_string();
        let trailer = Trailer { operations: self.operations, ir_hash: Some(ir_hash.clone()) };
        serde_json::to_writer(&mut self.out, &trailer).map_err(io::Error::other)?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(Written { operations: self.operations, ir_hash, left_out: Vec::new() })
    }
}
