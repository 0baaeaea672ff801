//! The watch on the files of an experiment, which notices when the content of one changes.
//!
//! A thread of its own reads and hashes the files, so that nothing waits for a file system. It
//! looks when the system reports an event in a directory of one of the files, and twice a second
//! besides, because file systems on a network report no events of other hosts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::directory_events::{DirectoryEvent, DirectoryEvents};
use super::watched_content::{FileContent, FileLook};
use super::watched_names::NameFinder;

/// The time without an event after which files are looked at, so that a file that is being written
/// is whole, and the longest time for which events put a look off.
const QUIET: Duration = Duration::from_millis(5);
const MAX_BUSY: Duration = Duration::from_millis(100);
/// The time between two looks without events.
const POLL: Duration = Duration::from_millis(500);
/// The time for which a file must be missing to count as changed. An editor that saves removes a
/// file, or empties it, for a moment.
const VANISHED: Duration = Duration::from_millis(500);

/// A file to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    pub path: PathBuf,
    /// The hash of the content that was loaded, if it is known. A file that has another content by
    /// now has changed. Without it, the content at the first look is the one to compare with.
    pub loaded: Option<blake3::Hash>,
}

impl From<PathBuf> for WatchedFile {
    fn from(path: PathBuf) -> WatchedFile {
        WatchedFile { path, loaded: None }
    }
}

impl From<(PathBuf, Option<blake3::Hash>)> for WatchedFile {
    fn from((path, loaded): (PathBuf, Option<blake3::Hash>)) -> WatchedFile {
        WatchedFile { path, loaded }
    }
}

/// A change of watched files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The paths of the files that changed, as they were given, sorted. They may be none if a
    /// look was requested.
    pub files: Vec<PathBuf>,
    /// The time of the first event, or of the look that found the change.
    pub noticed: Instant,
    /// Whether [`FileWatch::reload_now`] was called.
    pub requested: bool,
}

/// A watch on files, until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<WatchState>,
    /// Wakes the thread that looks.
    woken: Condvar,
    /// Wakes [`FileWatch::changed`].
    changed: Notify,
}

#[derive(Debug, Default)]
struct WatchState {
    /// The files to watch from now on, until the thread has taken them.
    wanted: Option<Vec<WatchedFile>>,
    /// The names whose events matter.
    names: HashSet<PathBuf>,
    /// The names of which there were events since the last look.
    touched: HashSet<PathBuf>,
    events_lost: bool,
    /// The times of the first and of the latest event since the last look.
    events: Option<(Instant, Instant)>,
    /// The time at which a look was requested.
    requested: Option<Instant>,
    ended: bool,
    files: HashMap<PathBuf, FileState>,
    /// The time of a request whose look is done.
    answered: Option<Instant>,
}

/// The state of one file. A file whose content differs from the one that was seen has changed.
#[derive(Clone, Copy, Debug)]
struct FileState {
    content: FileContent,
    seen: FileContent,
    /// The time at which the change was noticed, if the content differs from the one seen.
    noticed: Option<Instant>,
}

impl FileWatch {
    /// Looks at the files and starts the thread that watches them. It blocks for as long as the
    /// first look takes.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(files: impl IntoIterator<Item = impl Into<WatchedFile>>) -> io::Result<FileWatch> {
        let shared: Arc<Shared> = Arc::default();
        let noticing = shared.clone();
        let events = DirectoryEvents::start(move |event| noticing.notice(event));
        FileWatch::watching(shared, events, files)
    }

    /// Starts a watch without events of the file system.
    #[cfg(test)]
    fn polling(files: impl IntoIterator<Item = impl Into<WatchedFile>>) -> io::Result<FileWatch> {
        FileWatch::watching(Arc::default(), DirectoryEvents::none(), files)
    }

    fn watching(
        shared: Arc<Shared>,
        events: DirectoryEvents,
        files: impl IntoIterator<Item = impl Into<WatchedFile>>,
    ) -> io::Result<FileWatch> {
        let mut thread = WatchThread { shared: shared.clone(), events, files: HashMap::new() };
        thread.follow(files.into_iter().map(Into::into).collect(), Instant::now());
        // At the priority of all, because a reload waits for it.
        Builder::new().name("file-watch".into()).spawn(move || thread.run())?;
        Ok(FileWatch { shared })
    }

    /// Watches these files and no others. A file that was watched keeps the content that was seen,
    /// unless the content that was loaded is known.
    pub fn set_files(&self, files: impl IntoIterator<Item = impl Into<WatchedFile>>) {
        self.shared.lock().wanted = Some(files.into_iter().map(Into::into).collect());
        self.shared.woken.notify_one();
    }

    /// Requests a look. [`FileWatch::changed`] returns after it, even if nothing has changed.
    pub fn reload_now(&self) {
        self.shared.lock().requested.get_or_insert_with(Instant::now);
        self.shared.woken.notify_one();
    }

    /// Waits until the content of a file differs from the one at the previous return, or at the
    /// start. Nothing is lost if the future is dropped.
    pub async fn changed(&mut self) -> FileChange {
        loop {
            if let Some(change) = self.shared.lock().take_change() {
                return change;
            }
            self.shared.changed.notified().await;
        }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // The thread is not waited for: a file system that hangs may hold it.
        self.shared.lock().ended = true;
        self.shared.woken.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event, if it concerns a watched file.
    fn notice(&self, event: DirectoryEvent<'_>) {
        let mut state = self.lock();
        match event {
            DirectoryEvent::Lost => state.events_lost = true,
            DirectoryEvent::Named(name) if state.names.contains(name) => {
                state.touched.insert(name.to_path_buf());
            }
            DirectoryEvent::Named(_) => return,
        }
        let now = Instant::now();
        let first = state.events.map_or(now, |(first, _)| first);
        state.events = Some((first, now));
        drop(state);
        self.woken.notify_one();
    }
}

impl WatchState {
    fn take_change(&mut self) -> Option<FileChange> {
        let requested = self.answered.take();
        let mut noticed = requested;
        let mut files = Vec::new();
        for (path, file) in &mut self.files {
            let Some(at) = file.noticed.take() else { continue };
            file.seen = file.content;
            files.push(path.clone());
            noticed = Some(noticed.map_or(at, |first| first.min(at)));
        }
        files.sort();
        noticed.map(|noticed| FileChange { files, noticed, requested: requested.is_some() })
    }
}

/// The thread that looks at files.
struct WatchThread {
    shared: Arc<Shared>,
    events: DirectoryEvents,
    files: HashMap<PathBuf, ThreadFile>,
}

/// The state of a file, as the thread knows it.
struct ThreadFile {
    look: FileLook,
    /// The names that lead to it.
    names: Vec<PathBuf>,
    missing_since: Option<Instant>,
}

/// The reasons for a look.
#[derive(Debug, Default)]
struct LookOrder {
    wanted: Option<Vec<WatchedFile>>,
    touched: HashSet<PathBuf>,
    /// Whether any file may have changed, whatever its metadata are.
    all: bool,
    requested: Option<Instant>,
    /// The time of the first event.
    first_event: Option<Instant>,
}

impl WatchThread {
    fn run(mut self) {
        // A look lasts, and so does the pause before the next one that events cause: writing a
        // large file all the time takes half of a processor at most.
        let mut rested = Instant::now();
        let mut poll_at = Instant::now() + POLL;
        while let Some(order) = self.wait(poll_at, rested) {
            let began = Instant::now();
            if let Some(files) = order.wanted.clone() {
                self.follow(files, began);
            }
            self.look(&order, began);
            let now = Instant::now();
            rested = now + (now - began);
            poll_at = self.next_poll(now);
        }
    }

    /// Waits until there is a reason for a look. Returns None at the end of the watch.
    fn wait(&self, poll_at: Instant, rested: Instant) -> Option<LookOrder> {
        let mut state = self.shared.lock();
        loop {
            if state.ended {
                return None;
            }
            let at = match state.events {
                Some((first, latest)) => (latest + QUIET).min(first + MAX_BUSY).max(rested),
                None => poll_at,
            };
            let now = Instant::now();
            if state.wanted.is_some() || state.requested.is_some() || at <= now {
                break;
            }
            let waited = self.shared.woken.wait_timeout(state, at - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(LookOrder {
            wanted: state.wanted.take(),
            touched: std::mem::take(&mut state.touched),
            all: std::mem::take(&mut state.events_lost) || state.requested.is_some(),
            requested: state.requested.take(),
            first_event: state.events.take().map(|(first, _)| first),
        })
    }

    /// Returns the time of the next look without events: earlier than usual if a file will count as
    /// vanished by then.
    fn next_poll(&self, now: Instant) -> Instant {
        let missing = self.files.values().filter_map(|file| file.missing_since);
        let vanishing = missing.map(|since| since + VANISHED).filter(|at| *at > now);
        vanishing.fold(now + POLL, Instant::min)
    }

    /// Changes the set of files.
    fn follow(&mut self, wanted: Vec<WatchedFile>, now: Instant) {
        let mut files = HashMap::with_capacity(wanted.len());
        for WatchedFile { path, loaded } in wanted {
            let mut file = self.files.remove(&path).unwrap_or_else(|| ThreadFile {
                look: FileLook::first(&path),
                names: Vec::new(),
                missing_since: None,
            });
            let content = file.look.again(&path, loaded.is_some());
            let mut state = self.shared.lock();
            let entry = state.files.entry(path.clone());
            let entry = entry.or_insert(FileState { content, seen: content, noticed: None });
            // Nothing can be compared with the size of a large file.
            if let (Some(loaded), FileContent::Hashed(_) | FileContent::Missing) = (loaded, content)
            {
                entry.seen = FileContent::Hashed(loaded);
            }
            drop(state);
            file.settle(&path, content, now, &self.shared);
            files.insert(path, file);
        }
        self.files = files;
        self.shared.lock().files.retain(|path, _| self.files.contains_key(path));
        self.find_names();
        self.shared.changed.notify_one();
    }

    /// Looks at all files and publishes what they hold.
    fn look(&mut self, order: &LookOrder, now: Instant) {
        for name in &order.touched {
            self.events.forget(name);
        }
        self.find_names();
        let noticed = order.first_event.unwrap_or(now);
        for (path, file) in &mut self.files {
            let touched = file.names.iter().any(|name| order.touched.contains(name));
            let content = file.look.again(path, order.all || touched);
            file.settle(path, content, noticed, &self.shared);
        }
        if let Some(requested) = order.requested {
            self.shared.lock().answered.get_or_insert(requested);
        }
        self.shared.changed.notify_one();
    }

    /// Finds the names that lead to the files, and watches their directories. Links and directories
    /// may have been replaced since the last look.
    fn find_names(&mut self) {
        let mut finder = NameFinder::default();
        let mut names = HashSet::new();
        let mut directories = BTreeSet::new();
        for (path, file) in &mut self.files {
            file.names = finder.names(path);
            directories
                .extend(file.names.iter().filter_map(|name| name.parent()).map(Path::to_path_buf));
            names.extend(file.names.iter().cloned());
        }
        names.extend(directories.iter().cloned());
        self.shared.lock().names = names;
        self.events.follow(&directories);
    }
}

impl ThreadFile {
    /// Publishes the content that a look found, unless the file is missing and not yet for long.
    fn settle(&mut self, path: &Path, content: FileContent, noticed: Instant, shared: &Shared) {
        if content == FileContent::Missing {
            let since = *self.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() < VANISHED {
                return;
            }
        } else {
            self.missing_since = None;
        }
        let mut state = shared.lock();
        if let Some(file) = state.files.get_mut(path) {
            file.content = content;
            file.noticed = match content == file.seen {
                true => None,
                false => Some(file.noticed.unwrap_or(noticed)),
            };
        }
    }
}

#[cfg(test)]
mod tests;
