//! The place that a command writes its result to.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;

use super::error::RunError;
use super::signals::{Signals, remove_when_interrupted};
use crate::ir::directory::directory_of;
use crate::observability::results::{
    missing_parent, not_replaceable, persist_new, unfinished_file,
};

/// The place that a command writes its result to.
#[derive(Clone, Debug)]
pub enum Destination {
    Stdout,
    File {
        path: PathBuf,
        /// Whether an existing file may be replaced.
        force: bool,
    },
}

/// A buffered writer whose target is standard output or a file.
pub(super) type Output<'o> = BufWriter<CountingWriter<Box<dyn Write + 'o>>>;

impl Destination {
    /// Checks that a file may be written, so that a long computation is not made in vain.
    ///
    /// # Errors
    /// [`RunError`] with exit code 2 if the file exists and may not be replaced, or its directory
    /// does not exist.
    pub(super) fn check(&self) -> Result<(), RunError> {
        let Destination::File { path, force } = self else { return Ok(()) };
        if !force && path.exists() {
            let error = anyhow::anyhow!("{} exists; --force replaces it", path.display());
            return Err(RunError::invalid(error));
        }
        if let Some(reason) = not_replaceable(path) {
            return Err(RunError::invalid(anyhow::anyhow!(
                "--output {} names no file: {reason}; name a file, or - for standard output",
                path.display()
            )));
        }
        match missing_parent(path) {
            Some(parent) => Err(RunError::invalid(anyhow::anyhow!(
                "--output {}: there is no directory {}; create it first, or name another path",
                path.display(),
                parent.display()
            ))),
            None => Ok(()),
        }
    }

    /// Calls `write`, and adds the bytes that have reached the destination to `written`. A file
    /// appears whole, or not at all: neither an error nor a signal leaves a part of it.
    ///
    /// # Errors
    /// [`RunError`] with exit code 2: the errors of [`Destination::check`], that of `write`, or a
    /// destination that cannot be written.
    pub(super) fn write<T>(
        &self,
        written: Arc<AtomicU64>,
        write: impl FnOnce(&mut Output<'_>) -> anyhow::Result<T>,
    ) -> Result<T, RunError> {
        self.check()?;
        let result = match self {
            Destination::Stdout => {
                let mut out = buffered(io::stdout().lock(), written);
                write(&mut out).and_then(|result| {
                    out.flush().context("standard output")?;
                    Ok(result)
                })
            }
            Destination::File { path, force } => to_file(path, *force, written, write),
        };
        result.map_err(RunError::invalid)
    }
}

fn buffered<'o>(out: impl Write + 'o, written: Arc<AtomicU64>) -> Output<'o> {
    BufWriter::with_capacity(1 << 18, CountingWriter { out: Box::new(out), written })
}

fn to_file<T>(
    path: &Path,
    force: bool,
    written: Arc<AtomicU64>,
    write: impl FnOnce(&mut Output<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let cannot = || format!("cannot write {}", path.display());
    let signals = Signals::listen().with_context(cannot)?;
    let made = unfinished_file(".smbench", directory_of(path)).map_err(without_temporary_name);
    let mut file = made.with_context(cannot)?;
    remove_when_interrupted(signals, file.path().to_path_buf()).with_context(cannot)?;
    // Writes bypass `file`, whose errors would name its temporary path.
    let mut out = buffered(file.as_file_mut(), written);
    let result = write(&mut out)?;
    out.flush().with_context(cannot)?;
    drop(out);
    match force {
        true => file.persist(path).map(drop).map_err(Into::into),
        false => persist_new(file, path),
    }
    .with_context(cannot)?;
    Ok(result)
}

/// Returns the error of crate tempfile without the name of the temporary file.
fn without_temporary_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    let (cause, _) = text.split_once(" at path ").unwrap_or((&text, ""));
    io::Error::other(cause.to_string())
}

/// A writer that counts its bytes.
pub(super) struct CountingWriter<W> {
    out: W,
    written: Arc<AtomicU64>,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
