//! The writer of version 1, for streams that fit it.

use std::borrow::Cow;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::SpooledTempFile;

use super::error::WriteError;
use super::header::Header;
use super::line::{self, DocumentLine};
use super::line_fields;
use super::v1_reader::{ClientEntry, default_disposition as default_v1};
use super::v2_writer::{V2Writer, Written};
use crate::ir::Late;
use crate::ir::operation::OperationType;
use crate::ir::source::StreamHeader;
use crate::protocol::BreakPolicy;
use crate::protocol::create::{CreateDisposition, MODE_2_KEYS};

/// A writer of version 1. The operations are kept in a temporary file, because the clients' counts
/// precede them in the document.
pub(in crate::ir) struct V1Writer<W> {
    out: W,
    body: BufWriter<SpooledTempFile>,
    clients: Vec<WrittenClient>,
    last_ns: u64,
    header: Header,
    stream: StreamHeader,
    /// An operation belongs to another iteration than its client's first.
    iterates: bool,
    /// An operation belongs to a step.
    has_steps: bool,
    buffer: Vec<u8>,
    /// The operations as loading this document yields them, for their hash.
    lines: V2Writer<io::Sink>,
}

struct WrittenClient {
    name: String,
    operations: u32,
    /// The time of the client's previous operation.
    at_ns: u64,
}

const BODY_IN_MEMORY: usize = 32 << 20;

impl<W: Write> V1Writer<W> {
    pub fn new(header: &Header, out: W) -> V1Writer<W> {
        let stream = header.clone().into_stream();
        let client =
            |client| WrittenClient { name: stream.client_name(client), operations: 0, at_ns: 0 };
        V1Writer {
            out,
            body: BufWriter::new(SpooledTempFile::new(BODY_IN_MEMORY)),
            clients: (0..stream.workload_clients()).map(client).collect(),
            last_ns: 0,
            header: header.clone(),
            stream,
            iterates: false,
            has_steps: false,
            buffer: Vec::new(),
            lines: V2Writer::after_header(io::sink()),
        }
    }

    fn dropped(&self) -> Vec<&'static str> {
        let header = &self.header;
        let parts = [
            (!header.phases.is_empty(), "phases"),
            (self.iterates, "the numbers of iterations"),
            (self.has_steps, "the steps"),
            (!header.params.is_empty(), "the parameters of the script"),
            (!header.modules.is_empty(), "the versions of its modules"),
            (!header.packages.is_empty(), "the versions of its libraries"),
            (header.script_hash.is_some(), "the hash of the script"),
            (header.seed != 0, "the seed"),
        ];
        parts.into_iter().filter_map(|(has, what)| has.then_some(what)).collect()
    }

    fn metadata(&self) -> Value {
        if let Some(metadata) = &self.header.metadata {
            return metadata.clone().into();
        }
        let phases: u64 = self.header.phases.iter().map(|phase| phase.duration_ns).sum();
        let duration_ns = if phases > 0 { phases } else { self.last_ns };
        json!({
            "source": self.header.source,
            "duration_seconds": duration_ns as f64 / 1e9,
            "client_count": self.clients.len(),
        })
    }

    pub fn operation(&mut self, mut line: DocumentLine<'_>) -> Result<(), WriteError> {
        let client = line.client.unwrap_or_default();
        let state = self.clients.get_mut(client as usize);
        let (seq, before) = state.as_ref().map_or((0, 0), |it| (it.operations, it.at_ns));
        let answer = self.stream.on_break(client);
        self.iterates |= line.iteration.is_some();
        self.has_steps |= line.step.take().is_some();
        if let Err(reason) = fit(&mut line, before, answer) {
            let op_id = line.op_id.map_or_else(|| format!("{client}-{seq}"), Cow::into_owned);
            return Err(WriteError::Unfit { op_id, kind: line.kind.into_owned(), reason });
        }
        let Some(state) = state else {
            let (op_id, kind) = (format!("{client}-{seq}"), line.kind.into_owned());
            let reason = "its client is beyond those of the header";
            return Err(WriteError::Unfit { op_id, kind, reason });
        };
        self.lines.push(&line)?;
        let at = line.at_ns.unwrap_or_default();
        self.last_ns = self.last_ns.max(at);
        state.operations += 1;
        state.at_ns = at;
        let line = DocumentLine {
            op_id: Some(line.op_id.unwrap_or_else(|| format!("{client}-{seq}").into())),
            client_id: Some(state.name.as_str().into()),
            timestamp_us: Some(at / 1_000),
            client: None,
            at_ns: None,
            disposition: None,
            replace: None,
            ..line
        };
        self.buffer.clear();
        self.buffer.extend_from_slice(if self.lines.operations == 1 { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut self.buffer, &line).map_err(io::Error::other)?;
        self.body.write_all(&self.buffer)?;
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Written> {
        let dropped = self.dropped();
        let metadata = self.metadata();
        write!(self.out, "{{\"version\":1,\n\"metadata\":{metadata},\n\"clients\":[")?;
        for (index, client) in self.clients.iter().enumerate() {
            let entry = ClientEntry {
                client_id: client.name.as_str().into(),
                operation_count: client.operations.into(),
            };
            self.out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut self.out, &entry).map_err(io::Error::other)?;
        }
        self.out.write_all(b"\n],\n\"operations\":[")?;
        let mut body = self.body.into_inner().map_err(io::IntoInnerError::into_error)?;
        body.seek(SeekFrom::Start(0))?;
        io::copy(&mut BufReader::with_capacity(1 << 18, body), &mut self.out)?;
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(Written { dropped, ..self.lines.finish()? })
    }
}

/// Changes a line to what version 1 can express, without changing what it does. "Right after
/// the previous operation" becomes that operation's time. A disposition that version 1 would
/// not assume goes to the extensions, as does the way in which the client of an open answers
/// breaks. The number of the iteration is removed, because version 1 has none.
///
/// # Errors
/// The reason why the line does not fit version 1.
fn fit(line: &mut DocumentLine<'_>, before: u64, answer: BreakPolicy) -> Result<(), &'static str> {
    line.iteration = None;
    match line.operation_type().filter(|operation| line_fields::in_version_1(*operation)) {
        None => return Err("version 1 has no such type"),
        Some(OperationType::Open) => {
            fit_disposition(line);
            fit_answer(line, answer);
        }
        Some(_) => {}
    }
    if line.section.is_some() {
        return Err("version 1 has no setup and no teardown");
    }
    if line.expect.is_some() {
        return Err("version 1 cannot state expected statuses");
    }
    if line.replace == Some(true) {
        return Err("a version 1 rename never replaces (in a script: { replace = false })");
    }
    if line.payload.is_some() {
        return Err("version 1 writes files (blobs) only, not patterns");
    }
    if line.blob_path.as_deref().is_some_and(|path| !Path::new(path).is_absolute()) {
        return Err("version 1 needs an absolute blob_path");
    }
    if line.late.take().is_some_and(|late| late == Late::Drop) {
        return Err("version 1 cannot state that a late arrival is dropped");
    }
    match (line.at_ns, line.after_ns.take()) {
        (Some(at), _) if at % 1_000 != 0 => Err("its time is not a whole number of microseconds"),
        (Some(at), _) if at < before => Err("it arrives before the previous operation is due"),
        (Some(_), None | Some(0)) => Ok(()),
        (None, Some(0)) => {
            line.at_ns = Some(before);
            Ok(())
        }
        _ => Err(
            "it is due relative to the previous operation (think time), and version 1 has only times from the start",
        ),
    }
}

fn fit_disposition(line: &mut DocumentLine<'_>) {
    let Some(mode) = line.mode else { return };
    let wanted = match line.disposition.as_deref().map(CreateDisposition::from_name) {
        Some(Ok(disposition)) => disposition,
        _ => line::default_disposition(mode),
    };
    line.set_disposition(mode, default_v1(mode));
    if wanted == default_v1(mode) {
        return;
    }
    let extensions = line.extensions.get_or_insert_default();
    let smb = extensions.entry("smb").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(smb) = smb
        && !smb.keys().any(|key| key.eq_ignore_ascii_case("disposition"))
    {
        smb.insert("disposition".into(), Value::String(wanted.name().into()));
    }
}

/// Writes how the client answers breaks into an open's extensions. An open that asks for no
/// caching needs none, because nothing of it can be broken.
fn fit_answer(line: &mut DocumentLine<'_>, answer: BreakPolicy) {
    let smb = line.extensions.as_mut().and_then(|extensions| extensions.get_mut("smb"));
    if let Some(Value::Object(smb)) = smb
        && !answer.is_default()
    {
        let has = |wanted: &str| smb.keys().any(|key| key.eq_ignore_ascii_case(wanted));
        if MODE_2_KEYS.into_iter().any(has) && !has("on_break") {
            smb.insert("on_break".into(), answer.written());
        }
    }
}
