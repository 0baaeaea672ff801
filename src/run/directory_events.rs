//! The events of the directories that hold watched files.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// A report of the system.
#[derive(Debug)]
pub enum DirectoryEvent<'a> {
    /// The name of a file, a link or a directory to which something was done.
    Named(&'a Path),
    /// Events were lost.
    Lost,
}

/// The directories whose events are reported, as long as the system reports any. Directories are
/// watched and not files, because an editor that saves puts another file in the place of the old
/// one.
#[derive(Debug)]
pub struct DirectoryEvents {
    watcher: Option<RecommendedWatcher>,
    /// The directories that are watched, with the device and the inode of each.
    watched: HashMap<PathBuf, (u64, u64)>,
}

impl DirectoryEvents {
    /// Calls `notice` for each event, on a thread of the watcher. If the system refuses to report
    /// any, a warning says so.
    pub fn start(notice: impl Fn(DirectoryEvent<'_>) + Send + 'static) -> DirectoryEvents {
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<Event>| match event {
                Ok(event) if event.need_rescan() => notice(DirectoryEvent::Lost),
                Ok(event) if may_change_content(event.kind) => {
                    event.paths.iter().for_each(|path| notice(DirectoryEvent::Named(path)));
                }
                Ok(_) => {}
                Err(_) => notice(DirectoryEvent::Lost),
            });
        let watcher = watcher.inspect_err(warn_of_polling).ok();
        DirectoryEvents { watcher, watched: HashMap::new() }
    }

    /// Returns a value that reports nothing, as where the system refuses to.
    pub fn none() -> DirectoryEvents {
        DirectoryEvents { watcher: None, watched: HashMap::new() }
    }

    /// Watches these directories and no others. One that does not exist is tried again at the next
    /// call, and one that was replaced is watched in its place.
    pub fn follow(&mut self, directories: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|directory, _| {
            let stays = directories.contains(directory);
            if !stays {
                // An error means that the system has ended it, with the directory.
                let _ = watcher.unwatch(directory);
            }
            stays
        });
        for directory in directories {
            let identity = directory.metadata().ok().filter(std::fs::Metadata::is_dir);
            let identity = identity.map(|metadata| (metadata.dev(), metadata.ino()));
            if identity == self.watched.get(directory).copied() {
                continue;
            }
            if self.watched.remove(directory).is_some() {
                let _ = watcher.unwatch(directory);
            }
            let Some(identity) = identity else { continue };
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(directory.clone(), identity)),
                // It has gone, or may not be read: polling finds its files if there are any.
                Err(error) if !is_a_limit(&error) => {}
                Err(error) => {
                    warn_of_polling(&error);
                    *self = DirectoryEvents::none();
                    return;
                }
            }
        }
    }

    /// Forgets that a directory is watched, after an event of the directory itself: if it was
    /// removed, the system has ended the watch, and a new directory may have the same inode.
    pub fn forget(&mut self, directory: &Path) {
        if self.watched.remove(directory).is_some()
            && let Some(watcher) = &mut self.watcher
        {
            let _ = watcher.unwatch(directory);
        }
    }
}

/// Returns whether an event can mean that a file has another content. The reads of this program
/// are events too.
fn may_change_content(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn is_a_limit(error: &notify::Error) -> bool {
    use rustix::io::Errno;
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => {
            let limits = [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
            limits.iter().any(|limit| error.raw_os_error() == Some(limit.raw_os_error()))
        }
        _ => false,
    }
}

fn warn_of_polling(error: &notify::Error) {
    tracing::warn!(
        "the system does not report changes of files ({error}): they are looked for twice a second; fs.inotify.max_user_instances and fs.inotify.max_user_watches may be too low"
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    #[test]
    fn an_event_names_the_file_and_one_in_a_directory_that_was_made_again_too() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().canonicalize().unwrap().join("lib");
        let (sender, events) = channel();
        let mut watched = DirectoryEvents::start(move |event| {
            if let DirectoryEvent::Named(path) = event {
                sender.send(path.to_path_buf()).unwrap();
            }
        });
        let directories = BTreeSet::from([directory.clone()]);
        watched.follow(&directories);
        for name in ["a.lua", "b.lua"] {
            fs::create_dir(&directory).unwrap();
            watched.follow(&directories);
            let file = directory.join(name);
            fs::write(&file, "").unwrap();
            while events.recv_timeout(BOUND).unwrap() != file {}
            fs::remove_dir_all(&directory).unwrap();
            while events.recv_timeout(BOUND).unwrap() != directory {}
            watched.forget(&directory);
        }
    }

    #[test]
    fn reads_are_no_changes_and_a_limit_of_the_system_is_told_from_a_missing_directory() {
        let read = AccessKind::Open(AccessMode::Any);
        assert!(!may_change_content(EventKind::Access(read)));
        let written = AccessKind::Close(AccessMode::Write);
        assert!(may_change_content(EventKind::Access(written)));
        assert!(is_a_limit(&notify::Error::new(notify::ErrorKind::MaxFilesWatch)));
        let full = rustix::io::Errno::MFILE.raw_os_error();
        assert!(is_a_limit(&notify::Error::io(io::Error::from_raw_os_error(full))));
        assert!(!is_a_limit(&notify::Error::path_not_found()));
    }

    #[test]
    fn without_events_nothing_is_watched() {
        let mut watched = DirectoryEvents::none();
        watched.follow(&BTreeSet::from([std::env::temp_dir()]));
        watched.forget(&std::env::temp_dir());
        assert!(watched.watched.is_empty());
    }
}
