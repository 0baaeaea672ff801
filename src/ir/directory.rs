//! Opens regular files in such a way that they cannot be replaced between the check and the use. A
//! path can be restricted to stay inside a directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;

/// Flags with which opening a pipe does not wait for its other end, and a terminal does not
/// become this process's controlling terminal.
const FLAGS: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits() as i32;

/// Maximum number of names that are tried for a temporary file. Programs that were ended may have
/// left some.
const MAX_TRIES: u32 = 1_000;

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A path that leads out of the directory. The error does not reveal whether there is such
    /// a file.
    #[error("a symbolic link leads out of the directory")]
    Outside,
    #[error("it is not a regular file")]
    NotAFile,
    #[error("{0}")]
    Unreadable(io::Error),
}

/// The kind of what has a name in a directory. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    /// A symbolic link, or something else that is no file.
    Other,
}

/// A directory that stays open. A path from it never leads out of it, whatever
/// symbolic links say and whoever changes them meanwhile: a link that is
/// absolute, or goes above the directory, is not followed.
///
/// On Linux this is `openat2` with `RESOLVE_BENEATH`. Where a kernel or a
/// sandbox does not have it, each component is opened by itself without
/// following links (crate cap-std does both).
#[derive(Debug)]
pub struct Directory(Dir);

impl Directory {
    /// Opens the directory at `path`, following links.
    ///
    /// # Errors
    /// The operating system's reason.
    pub fn open(path: &Path) -> io::Result<Directory> {
        Dir::open_ambient_dir(path, ambient_authority()).map(Directory)
    }

    /// Opens the regular file at `path`, which is relative to the directory, for
    /// reading. Returns it and its size in bytes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn regular_file(&self, path: &Path) -> Result<(File, u64), OpenError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(FLAGS);
        let opened = self.0.open_with(path, &options).map_err(open_error)?;
        regular(opened.into_std())
    }

    /// Opens the directory `name` in this one, and makes it if it is missing. A symbolic link is not
    /// followed, wherever it leads.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn make_directory(&self, name: &Path) -> Result<Directory, OpenError> {
        match self.0.create_dir(name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(open_error(error)),
            _ => self.directory(name),
        }
    }

    /// Opens the directory `name` in this one. A symbolic link is not followed, wherever it leads.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn directory(&self, name: &Path) -> Result<Directory, OpenError> {
        let named = self.0.symlink_metadata(name).map_err(open_error)?;
        let opened = self.0.open_dir(name).map_err(open_error)?;
        let metadata = opened.dir_metadata().map_err(open_error)?;
        // The name may have become a link between the check and the opening.
        let is_same = (named.dev(), named.ino()) == (metadata.dev(), metadata.ino());
        match named.is_dir() && is_same {
            true => Ok(Directory(opened)),
            false => Err(OpenError::Unreadable(not_a_directory())),
        }
    }

    /// Returns whether there is a file, a directory or a link at `path`, and whether it is a
    /// directory.
    pub fn kind(&self, path: &Path) -> Option<EntryKind> {
        let metadata = self.0.symlink_metadata(path).ok()?;
        Some(match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => EntryKind::Directory,
            (_, true) => EntryKind::File,
            _ => EntryKind::Other,
        })
    }

    /// Opens the regular file `name` for a lock, and creates it if it is missing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn lock_file(&self, name: &Path) -> Result<File, OpenError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).custom_flags(FLAGS);
        let opened = self.0.open_with(name, &options).map_err(open_error)?;
        regular(opened.into_std()).map(|(file, _)| file)
    }

    /// Creates a file that is not there yet, with the directories around it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn create_file(&self, path: &Path, content: &[u8]) -> Result<(), OpenError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let opened = match self.0.open_with(path, &options) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_parents(path, &mut Vec::new()).map_err(open_error)?;
                self.0.open_with(path, &options)
            }
            opened => opened,
        };
        opened.and_then(|mut file| file.write_all(content)).map_err(open_error)
    }

    /// Gives a file or directory another name in this directory.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), OpenError> {
        self.0.rename(from, &self.0, to).map_err(open_error)
    }

    /// Removes a directory and everything in it, and follows no link. A file or a link of this name
    /// is removed itself.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn remove_all(&self, name: &Path) -> Result<(), OpenError> {
        match self.kind(name) {
            Some(EntryKind::Directory) => self.0.remove_dir_all(name).map_err(open_error),
            Some(_) => self.remove_file(name),
            None => Ok(()),
        }
    }

    /// Replaces the file at `path`, or creates it, with the directories around it that are missing. A
    /// reader sees the old content or the new one. A symbolic link at `path` is replaced itself.
    ///
    /// # Errors
    /// [`OpenError`]. The old file remains then, and no directory was made.
    pub fn write_file(&self, path: &Path, content: &[u8]) -> Result<(), OpenError> {
        let mut made = Vec::new();
        let written = self.make_parents(path, &mut made).and_then(|()| self.replace(path, content));
        written.map_err(|error| {
            for directory in made.iter().rev() {
                // Another program may have put a file into it.
                let _ = self.0.remove_dir(directory);
            }
            open_error(error)
        })
    }

    /// Makes the missing directories around `path`, and adds them to `made`, outermost first.
    fn make_parents(&self, path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
            return Ok(());
        };
        let mut missing: Vec<&Path> = parent.ancestors().collect();
        missing.pop();
        for directory in missing.into_iter().rev() {
            match self.0.create_dir(directory) {
                Ok(()) => made.push(directory.into()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        // A symbolic link that leads out of the directory exists too, and cannot be opened.
        self.0.open_dir(parent).map(drop)
    }

    /// Writes a new file beside `path` and gives it this name.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let (mut file, new) = self.unfinished_beside(path)?;
        let before = self.0.symlink_metadata(path).ok().filter(|before| before.is_file());
        let permitted = before.map_or(Ok(()), |before| file.set_permissions(before.permissions()));
        let replaced = permitted
            .and_then(|()| file.write_all(content))
            .and_then(|()| self.0.rename(&new, &self.0, path));
        if replaced.is_err() {
            let _ = self.0.remove_file(&new);
        }
        replaced
    }

    /// Creates a file under the first name that no other program uses. The name is short, because
    /// that of `path` may be as long as a name can be.
    fn unfinished_beside(&self, path: &Path) -> io::Result<(cap_std::fs::File, PathBuf)> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut number = 1;
        loop {
            let new = path.with_file_name(format!(".{number}.unfinished"));
            match self.0.open_with(&new, &options) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && number < MAX_TRIES =>
                {
                    number += 1;
                }
                opened => return Ok((opened?, new)),
            }
        }
    }

    /// Returns the names of at most `most` files and directories in the directory at `path`, which
    /// is relative to this one. Leaves out names that are not UTF-8.
    ///
    /// # Errors
    /// The operating system's reason.
    pub fn file_names(&self, path: &Path, most: usize) -> io::Result<Vec<String>> {
        let entries = self.0.read_dir(path)?.take(most);
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Removes the file at `path`. A symbolic link at `path` is removed itself.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn remove_file(&self, path: &Path) -> Result<(), OpenError> {
        self.0.remove_file(path).map_err(open_error)
    }
}

fn not_a_directory() -> io::Error {
    let problem = "it is a symbolic link or a file, and not a directory";
    io::Error::new(io::ErrorKind::NotADirectory, problem)
}

fn open_error(error: io::Error) -> OpenError {
    // An error of the operating system has an error number; an error of cap-std has none.
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    match denied && error.raw_os_error().is_none() {
        true => OpenError::Outside,
        false => OpenError::Unreadable(error),
    }
}

/// Returns the directory of the file at `path`.
pub fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Opens the regular file at `path` for reading, following links. Returns it and
/// its size in bytes.
///
/// # Errors
/// [`OpenError`], but never [`OpenError::Outside`].
pub fn regular_file(path: &Path) -> Result<(File, u64), OpenError> {
    let opened = fs::OpenOptions::new().read(true).custom_flags(FLAGS).open(path);
    regular(opened.map_err(OpenError::Unreadable)?)
}

/// Checks the opened file and not its path, because the path may name another file by now. Returns
/// the file and its size in bytes.
fn regular(file: File) -> Result<(File, u64), OpenError> {
    let metadata = file.metadata().map_err(OpenError::Unreadable)?;
    match metadata.is_file() {
        true => Ok((file, metadata.len())),
        false => Err(OpenError::NotAFile),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(opened: Result<(File, u64), OpenError>) -> Result<String, String> {
        let (mut file, size) = opened.map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, size);
        Ok(text)
    }

    #[test]
    fn links_are_followed_within_the_directory_and_never_out_of_it() {
        let place = tempfile::tempdir().unwrap();
        let (inner, secret) = (place.path().join("inner"), place.path().join("secret"));
        fs::create_dir_all(inner.join("deep")).unwrap();
        fs::write(inner.join("file"), "inside").unwrap();
        fs::write(&secret, "outside").unwrap();
        let link = |to: &Path, name: &str| symlink(to, inner.join(name)).unwrap();
        link("../file".as_ref(), "deep/up");
        link("deep".as_ref(), "link");
        link("../secret".as_ref(), "relative");
        link("../inner/file".as_ref(), "out-and-in");
        link(&secret, "absolute");
        link(&inner.join("file"), "absolute-and-in");
        link("/".as_ref(), "root");
        link("loop".as_ref(), "loop");
        let directory = Directory::open(&inner).unwrap();
        let open = |path: &str| text(directory.regular_file(path.as_ref()));
        for path in ["file", "deep/up", "link/up", "./file", "deep/../file"] {
            assert_eq!(open(path), Ok("inside".into()), "{path}");
        }
        let outside = Err("a symbolic link leads out of the directory".to_string());
        for path in ["relative", "out-and-in", "absolute", "absolute-and-in", "../secret"] {
            assert_eq!(open(path), outside, "{path}");
        }
        for path in ["root/etc/passwd", "root/no/such/file", "root", "root/proc/self/mem"] {
            assert_eq!(open(path), outside, "{path}");
        }
        for (path, error) in [
            ("none", "No such file"),
            ("file/none", "Not a directory"),
            ("loop", "Too many levels"),
            ("", "No such file"),
        ] {
            assert!(open(path).unwrap_err().starts_with(error), "{path}: {:?}", open(path));
        }
        assert_eq!(text(regular_file(&inner.join("absolute"))), Ok("outside".into()));
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_within_the_directory() {
        let place = tempfile::tempdir().unwrap();
        let (inner, secret) = (place.path().join("inner"), place.path().join("secret"));
        fs::create_dir(&inner).unwrap();
        fs::write(&secret, "outside").unwrap();
        symlink("..", inner.join("up")).unwrap();
        symlink("../secret", inner.join("link")).unwrap();
        let directory = Directory::open(&inner).unwrap();
        fs::create_dir_all(inner.join("a/b")).unwrap();
        let left = inner.join("a/b/.1.unfinished");
        fs::write(&left, "left by a program that was ended").unwrap();
        for content in ["first", "second"] {
            directory.write_file("a/b/file".as_ref(), content.as_bytes()).unwrap();
            assert_eq!(text(directory.regular_file("a/b/file".as_ref())), Ok(content.into()));
        }
        directory.write_file("link".as_ref(), b"inside").unwrap();
        assert_eq!(text(regular_file(&inner.join("link"))), Ok("inside".into()));
        for refused in [
            directory.write_file("up/secret".as_ref(), b"changed"),
            directory.write_file("../secret".as_ref(), b"changed"),
            directory.write_file("up/new/file".as_ref(), b"new"),
        ] {
            assert!(matches!(refused, Err(OpenError::Outside)), "{refused:?}");
        }
        assert_eq!(fs::read_to_string(&secret).unwrap(), "outside");
        fs::create_dir(inner.join("taken")).unwrap();
        directory.write_file("taken".as_ref(), b"file").unwrap_err();
        fs::create_dir(inner.join("a/taken")).unwrap();
        directory.write_file("a/taken".as_ref(), b"file").unwrap_err();
        fs::remove_dir(inner.join("a/taken")).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "link", "taken", "up"]);
        assert_eq!(fs::read_dir(inner.join("a/b")).unwrap().count(), 2);
        assert_eq!(fs::read_to_string(left).unwrap(), "left by a program that was ended");
    }

    #[test]
    fn a_name_of_full_length_is_written_and_a_failed_write_leaves_no_directory() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let (longest, too_long) = ("é".repeat(127), "é".repeat(128));
        directory.write_file(longest.as_ref(), b"text").unwrap();
        assert_eq!(text(directory.regular_file(longest.as_ref())), Ok("text".into()));
        for failing in [format!("a/b/{too_long}"), format!("a/{too_long}/b")] {
            directory.write_file(failing.as_ref(), b"text").unwrap_err();
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "{failing}");
        }
    }

    #[test]
    fn programs_that_write_the_same_file_at_once_do_not_disturb_each_other() {
        let place = tempfile::tempdir().unwrap();
        let write = |content: &'static str| {
            let directory = Directory::open(place.path()).unwrap();
            move || {
                for _ in 0..200 {
                    directory.write_file("a/file".as_ref(), content.as_bytes()).unwrap();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(write("one"));
            scope.spawn(write("two"));
        });
        assert_eq!(fs::read_dir(place.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn directories_are_opened_made_and_removed_without_following_links() {
        let place = tempfile::tempdir().unwrap();
        let (inner, other) = (place.path().join("inner"), place.path().join("other"));
        fs::create_dir_all(inner.join("own")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "outside").unwrap();
        fs::write(inner.join("own/kept"), "inside").unwrap();
        let directory = Directory::open(&inner).unwrap();
        let made = directory.make_directory("made".as_ref()).unwrap();
        made.create_file("a/b/file".as_ref(), b"text").unwrap();
        assert!(made.create_file("a/b/file".as_ref(), b"again").is_err());
        assert_eq!(text(directory.regular_file("made/a/b/file".as_ref())), Ok("text".into()));
        for (to, name) in [("../other", "out"), ("own", "in"), ("nowhere", "dangling")] {
            symlink(to, inner.join(name)).unwrap();
            symlink(inner.join(to), inner.join("made/a").join(name)).unwrap();
            for refused in [
                directory.directory(name.as_ref()).map(drop),
                directory.make_directory(name.as_ref()).map(drop),
            ] {
                assert!(refused.is_err(), "{name}");
            }
            assert_eq!(directory.kind(name.as_ref()), Some(EntryKind::Other));
        }
        for name in ["out", "dangling"] {
            assert!(directory.create_file(&Path::new(name).join("new"), b"").is_err(), "{name}");
        }
        assert!(directory.lock_file("out".as_ref()).is_err());
        assert!(directory.lock_file("own".as_ref()).is_err());
        directory.lock_file("lock".as_ref()).unwrap();
        directory.remove_all("made".as_ref()).unwrap();
        directory.remove_all("out".as_ref()).unwrap();
        directory.remove_all("made".as_ref()).unwrap();
        assert_eq!(directory.kind("made".as_ref()), None);
        assert!(other.join("kept").exists() && inner.join("own/kept").exists());
        directory.rename("own".as_ref(), "new".as_ref()).unwrap();
        assert!(directory.rename("new".as_ref(), "../other/new".as_ref()).is_err());
        assert_eq!(directory.kind("new".as_ref()), Some(EntryKind::Directory));
    }

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let no_file = Err("it is not a regular file".to_string());
        assert_eq!(text(directory.regular_file("pipe".as_ref())), no_file);
        assert_eq!(text(directory.regular_file(".".as_ref())), no_file);
        for path in [pipe.as_path(), place.path(), "/dev/null".as_ref(), "/dev/zero".as_ref()] {
            assert_eq!(text(regular_file(path)), no_file, "{path:?}");
        }
        let devices = Directory::open("/dev".as_ref()).unwrap();
        assert_eq!(text(devices.regular_file("zero".as_ref())), no_file);
    }

    #[test]
    fn a_directory_that_was_moved_away_stays_the_one_that_was_opened() {
        let place = tempfile::tempdir().unwrap();
        let (first, other) = (place.path().join("first"), place.path().join("other"));
        fs::create_dir(&first).unwrap();
        fs::write(first.join("file"), "inside").unwrap();
        let directory = Directory::open(&first).unwrap();
        fs::rename(&first, &other).unwrap();
        symlink("/etc", &first).unwrap();
        assert_eq!(text(directory.regular_file("file".as_ref())), Ok("inside".into()));
        assert!(directory.regular_file("passwd".as_ref()).is_err());
    }
}
