//! `smbench compile`: the conversion of a script or document to a document.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;

use super::destination::Destination;
use super::error::RunError;
use super::input::{DocumentScaling, Input};
use crate::ir::OperationSource;
use crate::ir::compile::{self, CompileBounds, CompileError, CompileReport};
use crate::ir::document::Format;
use crate::ir::document::convert;
use crate::ir::document::{self, LoadOptions};
use crate::ir::phases::total_ns;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::rounding::nonzero;
use crate::observability::text::counted;
use crate::script::{Script, ScriptOptions};

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
    let _lines = progress_lines(input, Arc::clone(&written));
    output.write(written, |out| write(input, bounds, format, out))
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
