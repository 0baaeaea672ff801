//! `run --prepare`: the directories and files that a stream uses and does not make are made before
//! its first stage.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::error::RunError;
use super::input::Input;
use super::made_paths::{Change, MadePaths, NameChange};
use super::namespace_client::{
    NamespaceAccess, NamespaceClient, StopFlag, printable_path, share_out, until_stopped,
};
use super::options::RunOptions;
use crate::ir::compile::{CompileError, for_each_operation};
use crate::ir::prerequisites::{
    PrerequisiteError, PrerequisiteFinder, Prerequisites, RequiredFile,
};
use crate::ir::{
    Failure, HandleOperation, HandleRef, OpenMode, OpenOperation, PathOperation, Pattern, Payload,
};
use crate::observability::exit::ExitReason;
use crate::observability::progress::show;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::rounding::nonzero;
use crate::observability::summary::PreparedSummary;
use crate::observability::text::counted;
use crate::protocol::create::CreateDisposition;
use crate::protocol::{NtStatus, SharePath};

/// The size of one write.
const WRITE_BYTES: u64 = 1 << 20;
const HANDLE: HandleRef = HandleRef(0);

/// Reads the whole stream and returns what it uses and does not make.
///
/// # Errors
/// [`RunError`] with exit code 2 if the stream breaks off, contradicts itself or is too large.
pub fn find_prerequisites(input: &Input, options: &RunOptions) -> Result<Prerequisites, RunError> {
    let stage = format!("finding what {} needs", input.name());
    let _lines = ProgressLines::of_stage(options.progress, stage);
    let source = input.open_again(options.time_scale, options.duration);
    let mut source = source.map_err(RunError::invalid)?;
    let mut finder = PrerequisiteFinder::default();
    let read: Result<(), PreparationError> =
        for_each_operation(&mut *source, |operation| Ok(finder.operation(operation)?));
    read.map_err(RunError::invalid)?;
    finder.finish().map_err(RunError::invalid)
}

/// The reason why the prerequisites of a stream are not known.
#[derive(Debug, thiserror::Error)]
enum PreparationError {
    #[error("--prepare reads the whole stream before the run: {0}")]
    Stream(#[from] CompileError),
    #[error("{0}")]
    Prerequisites(#[from] PrerequisiteError),
}

/// The preparation of a share.
#[derive(Debug)]
pub struct Preparation {
    /// The files and directories that were made, even if something failed.
    pub made: MadePaths,
    pub result: Result<PreparedSummary, RunError>,
}

/// Makes what is needed and missing. `signal` completes when somebody interrupts the run.
pub async fn prepare(
    access: &NamespaceAccess,
    needed: &Prerequisites,
    progress: bool,
    signal: impl Future<Output = ()>,
) -> Preparation {
    let maker = Maker {
        needed,
        stop: StopFlag::default(),
        made: RefCell::default(),
        unfinished: RefCell::default(),
        counts: RefCell::default(),
        written: Arc::default(),
    };
    let _progress = maker.show_progress(progress);
    let done = until_stopped(&*access.clock, &maker.stop, signal, maker.make(access)).await;
    let interrupted = maker.stop.is_set();
    let unfinished = unfinished_files(&maker.unfinished.borrow());
    let result = match done {
        Some(Ok(())) if !interrupted => Ok(maker.counts.borrow().summary),
        Some(Err(RunError { reason, error })) if !interrupted => {
            Err(RunError::new(reason, anyhow::anyhow!("{error:#}{unfinished}")))
        }
        _ => {
            let message = format!("interrupted while preparing the share{unfinished}");
            Err(RunError::new(ExitReason::Interrupted, anyhow::anyhow!(message)))
        }
    };
    if result.is_ok() {
        maker.counts.borrow().warn_of_short_files();
    }
    let made = maker.made.take();
    Preparation { made, result }
}

struct Maker<'a> {
    needed: &'a Prerequisites,
    stop: StopFlag,
    made: RefCell<MadePaths>,
    /// The files that are being written.
    unfinished: RefCell<BTreeSet<SharePath>>,
    counts: RefCell<Counts>,
    written: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Counts {
    summary: PreparedSummary,
    /// Files that existed and are shorter than what the stream reads.
    short: u64,
    first_short: Option<SharePath>,
}

impl Counts {
    fn warn_of_short_files(&self) {
        if let Some(first) = &self.first_short {
            tracing::warn!(
                "{} existed before and {} shorter than what the stream reads, so reads will be short (--prepare changes no file that exists); the first is {}",
                counted(self.short, "file"),
                if self.short == 1 { "is" } else { "are" },
                printable_path(first),
            );
        }
    }
}

impl Maker<'_> {
    fn show_progress(&self, enabled: bool) -> ProgressLines {
        let (written, total) = (self.written.clone(), self.needed.bytes());
        let files = self.needed.files.len() as u64;
        show(enabled, move || {
            let mib = |bytes: u64| nonzero(bytes as f64 / f64::from(1 << 20), 1);
            let done = mib(written.load(Relaxed));
            let of = format!("{} ({done} of {} MiB written)", counted(files, "file"), mib(total));
            StageProgress { stage: "preparing the share".into(), extent: Some(of), counts: None }
        })
    }

    async fn make(&self, access: &NamespaceAccess) -> Result<(), RunError> {
        if self.needed.is_empty() {
            return Ok(());
        }
        let items = self.needed.directories.len().max(self.needed.files.len());
        let clients = access.clients(items).await;
        let mut clients = clients.map_err(|error| {
            RunError::new(ExitReason::Unreachable, anyhow::anyhow!("--prepare: {error}"))
        })?;
        let depth = |path: &&SharePath| path.as_str().matches('/').count();
        let mut made = Ok(());
        // A directory is made after the one around it.
        for level in self.needed.directories.chunk_by(|one, other| depth(&one) == depth(&other)) {
            let directory = async |client: &mut NamespaceClient, path: &SharePath| {
                self.make_directory(client, path).await
            };
            made = share_out(&mut clients, &self.stop, level, directory).await;
            if made.is_err() {
                break;
            }
        }
        if made.is_ok() {
            let file = async |client: &mut NamespaceClient, file: &RequiredFile| {
                self.make_file(client, file).await
            };
            made = share_out(&mut clients, &self.stop, &self.needed.files, file).await;
        }
        for client in clients {
            client.disconnect().await;
        }
        made
    }

    async fn make_directory(
        &self,
        client: &mut NamespaceClient,
        path: &SharePath,
    ) -> Result<(), RunError> {
        let answer = client.execute(PathOperation::Mkdir { path: path.clone() }).await;
        match answer {
            Ok(NtStatus::SUCCESS) => {
                self.note_made(path, true);
                self.counts.borrow_mut().summary.directories += 1;
                Ok(())
            }
            Ok(NtStatus::OBJECT_NAME_COLLISION) => Ok(()),
            answer => {
                self.note_unanswered(path, true, &answer);
                Err(failed("make the directory", path, answer))
            }
        }
    }

    async fn make_file(
        &self,
        client: &mut NamespaceClient,
        file: &RequiredFile,
    ) -> Result<(), RunError> {
        let path = &file.path;
        let answer = client.execute(open(path, OpenMode::Write, CreateDisposition::Create)).await;
        match answer {
            Ok(NtStatus::SUCCESS) => {}
            Ok(NtStatus::OBJECT_NAME_COLLISION) => return self.check_length(client, file).await,
            answer => {
                self.note_unanswered(path, false, &answer);
                return Err(failed("make", path, answer));
            }
        }
        self.note_made(path, false);
        if file.size > 0 {
            self.unfinished.borrow_mut().insert(path.clone());
        }
        let written = self.write(client, file).await;
        if let Ok(true) = written {
            self.unfinished.borrow_mut().remove(path);
        }
        // The file is closed even if it could not be written, so that it can be removed.
        let closed = client.execute(HandleOperation::Close.on(HANDLE)).await;
        let written = written.and_then(|complete| match closed {
            Ok(NtStatus::SUCCESS) => Ok(complete),
            answer => Err(failed("close", path, answer)),
        });
        if let Ok(true) = written {
            let summary = &mut self.counts.borrow_mut().summary;
            summary.files += 1;
            summary.bytes += file.size;
            return Ok(());
        }
        // A file with a part of its content would look to the next run like one to be kept.
        let removed = client.execute(PathOperation::Delete { path: path.clone() }).await;
        if removed == Ok(NtStatus::SUCCESS) {
            self.unfinished.borrow_mut().remove(path);
            self.note(Change::Removed { path: path.clone() });
        }
        written.map(drop)
    }

    /// Writes the content. Returns false if somebody stopped it.
    async fn write(
        &self,
        client: &mut NamespaceClient,
        file: &RequiredFile,
    ) -> Result<bool, RunError> {
        let mut offset = 0;
        while offset < file.size {
            if self.stop.is_set() {
                return Ok(false);
            }
            let length = WRITE_BYTES.min(file.size - offset);
            // Random bytes, because a server may read zeros and holes faster.
            let payload = Payload::Pattern(Pattern::Random);
            let write = HandleOperation::Write { offset, length, payload }.on(HANDLE);
            match client.execute(write).await {
                Ok(NtStatus::SUCCESS) => {}
                answer => return Err(failed("write", &file.path, answer)),
            }
            offset += length;
            self.written.fetch_add(length, Relaxed);
        }
        Ok(true)
    }

    /// Checks that a file that exists holds what the stream reads.
    async fn check_length(
        &self,
        client: &mut NamespaceClient,
        file: &RequiredFile,
    ) -> Result<(), RunError> {
        let path = &file.path;
        if file.size == 0 {
            return Ok(());
        }
        let opened = client.execute(open(path, OpenMode::Read, CreateDisposition::Open)).await;
        match opened {
            Ok(NtStatus::SUCCESS) => {}
            Ok(NtStatus::FILE_IS_A_DIRECTORY) => {
                let path = printable_path(path);
                return Err(RunError::invalid(anyhow::anyhow!(
                    "--prepare: {path} is a directory on the server, and the stream uses it as a file; move it away, or run without --prepare"
                )));
            }
            // The run will show why it cannot be opened.
            Ok(_) => return Ok(()),
            answer => return Err(failed("open", path, answer)),
        }
        let last = HandleOperation::Read { offset: file.size - 1, length: 1 };
        let (execution, read) = client.execution(last.on(HANDLE)).await;
        let closed = client.execute(HandleOperation::Close.on(HANDLE)).await;
        if let Some(failure) =
            [read.as_ref().err(), closed.as_ref().err()].into_iter().flatten().next()
        {
            return Err(failed("read", path, Err(failure.clone())));
        }
        if execution.short_read {
            let counts = &mut *self.counts.borrow_mut();
            counts.short += 1;
            counts.first_short.get_or_insert_with(|| path.clone());
        }
        Ok(())
    }

    fn note_made(&self, path: &SharePath, is_directory: bool) {
        self.note(Change::Made { path: path.clone(), is_directory });
    }

    fn note_unanswered(
        &self,
        path: &SharePath,
        is_directory: bool,
        answer: &Result<NtStatus, Failure>,
    ) {
        if answer.is_err() {
            self.note(Change::MaybeMade { path: path.clone(), is_directory });
        }
    }

    /// Notes a change of names. All of them are before the run, and none overlaps another.
    fn note(&self, what: Change) {
        self.made.borrow_mut().apply(NameChange { from_ns: 0, to_ns: 0, what });
    }
}

fn open(path: &SharePath, mode: OpenMode, disposition: CreateDisposition) -> OpenOperation {
    OpenOperation { path: path.clone(), mode, disposition, handle_ref: HANDLE, extensions: None }
}

fn failed(what: &str, path: &SharePath, answer: Result<NtStatus, Failure>) -> RunError {
    let (reason, why) = match answer {
        Ok(status) if status == NtStatus::ACCESS_DENIED => {
            (ExitReason::Unreachable, status.to_string())
        }
        Ok(status) => (ExitReason::OperationsFailed, status.to_string()),
        Err(Failure::TimedOut) => {
            (ExitReason::OperationsFailed, "no answer within --op-timeout".into())
        }
        Err(failure @ Failure::ConnectionLost(_)) => (ExitReason::Unreachable, failure.to_string()),
        Err(failure @ Failure::Panicked(_)) => (ExitReason::InternalError, failure.to_string()),
        Err(failure) => (ExitReason::OperationsFailed, failure.to_string()),
    };
    let path = printable_path(path);
    RunError::new(reason, anyhow::anyhow!("--prepare cannot {what} {path}: {why}"))
}

/// Returns the end of an error message that names a file which may hold a part of its content, and
/// says how many others there are. Returns nothing if there is none.
fn unfinished_files(paths: &BTreeSet<SharePath>) -> String {
    let Some(first) = paths.first() else { return String::new() };
    let first = printable_path(first);
    match paths.len() - 1 {
        0 => format!(
            "; {first} may be left with a part of its content: remove it, or the next run takes it for a file of yours"
        ),
        more => format!(
            "; {first} and {more} more may be left with a part of their content: remove them, or the next run takes them for files of yours"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_counted_and_the_first_is_named() {
        let mut paths = BTreeSet::new();
        assert_eq!(unfinished_files(&paths), "");
        paths.insert(SharePath::new("d/b").unwrap());
        assert_eq!(
            unfinished_files(&paths),
            "; d/b may be left with a part of its content: remove it, or the next run takes it for a file of yours"
        );
        paths.extend(["d/c", "d/a"].map(|path| SharePath::new(path).unwrap()));
        assert_eq!(
            unfinished_files(&paths),
            "; d/a and 2 more may be left with a part of their content: remove them, or the next run takes them for files of yours"
        );
    }
}
