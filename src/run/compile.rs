//! `smbench compile`: the conversion of a script or document to a document.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;

use super::error::RunError;
use super::input::{DocumentScaling, Input};
use super::signals::{Signals, remove_when_interrupted};
use crate::ir::OperationSource;
use crate::ir::compile::{self, CompileBounds, CompileError, CompileReport};
use crate::ir::directory::directory_of;
use crate::ir::document::Format;
use crate::ir::document::convert;
use crate::ir::document::{self, LoadOptions};
use crate::ir::phases::total_ns;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::results::{missing_parent, persist_new, unfinished_file};
use crate::observability::rounding::nonzero;
use crate::observability::text::counted;
use crate::script::{Script, ScriptOptions};

/// The destination of a document.
#[derive(Clone, Debug)]
pub enum Destination {
    Stdout,
    File {
        path: PathBuf,
        /// Whether an existing file may be replaced.
        force: bool,
    },
}

/// Facts on a document that was written.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub operations: u64,
    pub ir_hash: String,
    /// The end of a document that ends at its bound on operations, although its stream goes on.
    pub at_bound: Option<String>,
    /// The parts of the script or document that the new document does not carry.
    pub dropped: Vec<String>,
}

impl Compiled {
    fn of(report: CompileReport, bounds: CompileBounds, mut dropped: Vec<String>) -> Compiled {
        let at_bound = bounds.operations.filter(|_| report.at_bound).map(|most| {
            let nominal_s = report.nominal_ns as f64 / 1e9;
            let end = format!("the document ends at its bound of {} (--operations), {nominal_s:.3} s of nominal time after its start", counted(most, "operation"));
            match bounds.duration_ns {
                Some(duration_ns) => format!("{end}; it was to last {:.3} s", duration_ns as f64 / 1e9),
                None => end,
            }
        });
        dropped.extend(report.dropped.into_iter().map(String::from));
        Compiled { operations: report.operations, ir_hash: report.ir_hash, at_bound, dropped }
    }
}

/// Compiles `input` to a document. A file appears whole, or not at all.
///
/// # Errors
/// [`RunError`] with exit code 2 for a stream that is invalid or has no end, and for a destination
/// that cannot be written.
pub fn compile(
    input: &Input,
    bounds: CompileBounds,
    format: Format,
    output: &Destination,
) -> Result<Compiled, RunError> {
    let written = Arc::new(AtomicU64::new(0));
    let _lines = progress_lines(input, written.clone());
    match output {
        Destination::Stdout => {
            let out = Counted { out: io::stdout().lock(), written };
            let mut out = BufWriter::with_capacity(1 << 18, out);
            let compiled = write(input, bounds, format, &mut out).map_err(RunError::invalid)?;
            out.flush().context("standard output").map_err(RunError::invalid)?;
            Ok(compiled)
        }
        Destination::File { path, force } => {
            if !force && path.exists() {
                let error = anyhow::anyhow!("{} exists; --force replaces it", path.display());
                return Err(RunError::invalid(error));
            }
            to_file(input, bounds, format, (path, *force), written).map_err(RunError::invalid)
        }
    }
}

/// Starts lines of progress with the number of bytes written, for documents that take long.
fn progress_lines(input: &Input, written: Arc<AtomicU64>) -> ProgressLines {
    let stage = format!("compiling {}", input.name());
    ProgressLines::start(true, move || {
        let mib = written.load(Relaxed) as f64 / f64::from(1 << 20);
        let extent = Some(format!("({} MiB written)", nonzero(mib, 1)));
        StageProgress { stage: stage.clone(), extent, counts: None }
    })
}

/// A writer that counts its bytes.
struct Counted<W> {
    out: W,
    written: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn to_file(
    input: &Input,
    bounds: CompileBounds,
    format: Format,
    (path, force): (&Path, bool),
    written: Arc<AtomicU64>,
) -> anyhow::Result<Compiled> {
    let directory = directory_of(path);
    if let Some(parent) = missing_parent(path) {
        anyhow::bail!(
            "--output {}: there is no directory {}; create it first, or name another path",
            path.display(),
            parent.display()
        );
    }
    let cannot = || format!("cannot write {}", path.display());
    let signals = Signals::listen().with_context(cannot)?;
    let made = unfinished_file(".smbench", directory).map_err(without_temporary_name);
    let mut file = made.with_context(cannot)?;
    remove_when_interrupted(signals, file.path().to_path_buf()).with_context(cannot)?;
    // Writes bypass `file`, whose errors would name its temporary path.
    let out = Counted { out: file.as_file_mut(), written };
    let mut out = BufWriter::with_capacity(1 << 18, out);
    let compiled = write(input, bounds, format, &mut out)?;
    out.flush().with_context(cannot)?;
    drop(out);
    match force {
        true => file.persist(path).map(drop).map_err(Into::into),
        false => persist_new(file, path),
    }
    .with_context(cannot)?;
    Ok(compiled)
}

/// Returns the error of crate tempfile without the name of the temporary file.
fn without_temporary_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    let (cause, _) = text.split_once(" at path ").unwrap_or((&text, ""));
    io::Error::other(cause.to_string())
}

fn write(
    input: &Input,
    mut bounds: CompileBounds,
    format: Format,
    out: impl Write,
) -> anyhow::Result<Compiled> {
    match input {
        Input::Script(options) => {
            let options =
                ScriptOptions { duration_ns: bounds.duration_ns, ..ScriptOptions::clone(options) };
            let mut script = Script::load(&options)?;
            let given = if bounds.duration_ns.is_some() { "--duration" } else { "bench.phases" };
            let phases = &script.header().phases;
            if !phases.is_empty() {
                bounds.duration_ns = Some(total_ns(phases));
            }
            let report = compile::compile(&mut script, bounds, format, out)
                .map_err(|error| not_ended(error, given))?;
            Ok(Compiled::of(report, bounds, script.dropped_by_documents().to_vec()))
        }
        Input::Document { path, scaling, .. }
            if bounds == CompileBounds::default() && *scaling == DocumentScaling::default() =>
        {
            let written = convert(path, format, out)?;
            let dropped = written.dropped.into_iter().map(String::from).collect();
            let (operations, ir_hash) = (written.operations, written.ir_hash);
            Ok(Compiled { operations, ir_hash, at_bound: None, dropped })
        }
        Input::Document { path, options, scaling, .. } => {
            // Only the conversion of a whole document keeps keys that smbench does not know.
            let strict = LoadOptions { strict: true, ..options.clone() };
            let mut document = document::load(path, &strict).context(
                "--operations, --duration, --clients and --iterations keep only what smbench knows",
            )?;
            let metadata = document.has_metadata();
            let dropped = metadata.then(|| "the metadata of the version 1 document".to_string());
            let mut scaled;
            let source: &mut dyn OperationSource = match *scaling == DocumentScaling::default() {
                true => {
                    bounds.duration_ns.map(|ns| document.scale_phases(ns)).transpose()?;
                    &mut document
                }
                false => {
                    scaled = scaling.apply(&document)?;
                    bounds.duration_ns.map(|ns| scaled.scale_phases(ns)).transpose()?;
                    &mut scaled
                }
            };
            let phases = &source.header().phases;
            if bounds.duration_ns.is_some() && !phases.is_empty() {
                bounds.duration_ns = Some(total_ns(phases));
            }
            let report = compile::compile(source, bounds, format, out)?;
            Ok(Compiled::of(report, bounds, dropped.into_iter().collect()))
        }
    }
}

/// Adds, to the error of a stream without an end, which of the given bounds does not end it.
fn not_ended(error: CompileError, given: &str) -> anyhow::Error {
    match error {
        CompileError::ClockStandsStill { .. } => {
            anyhow::anyhow!("{given} does not end this stream: {error}")
        }
        error => error.into(),
    }
}
