//! The content of a watched file, as one look after the other finds it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// The size above which a file is not hashed, in bytes. Reading gigabytes of a document at each
/// change would take seconds, so its size and its time of modification stand for its content: a
/// document that is written again with the same content counts as changed.
const MAX_HASHED_BYTES: u64 = 64 << 20;

/// The time for which a file is hashed at each look after its metadata changed. A file system
/// notes the time of a change only to some milliseconds (two seconds, on some), so that a second
/// change soon after the first one may leave the metadata as they are.
const UNSETTLED: Duration = Duration::from_secs(3);

const CHUNK_BYTES: usize = 64 << 10;

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileContent {
    Hashed(blake3::Hash),
    /// The size and the time of modification of a file that is too large to be hashed.
    Large {
        bytes: u64,
        modified: (i64, i64),
    },
    /// No content: there is no regular file, it cannot be read, or it is empty. An editor that
    /// saves may remove or empty a file before it writes it.
    Missing,
}

/// The metadata that change when the content of a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn of(metadata: &Metadata) -> FileStamp {
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The latest look at a file.
#[derive(Debug)]
pub struct FileLook {
    content: FileContent,
    stamp: Option<FileStamp>,
    /// The time at which a look first found this stamp.
    stamped: Instant,
}

impl FileLook {
    /// Looks at a file for the first time.
    pub fn first(path: &Path) -> FileLook {
        let mut look =
            FileLook { content: FileContent::Missing, stamp: None, stamped: Instant::now() };
        look.again(path, true);
        look
    }

    /// Looks at the file again and returns its content. The file is read only if its metadata
    /// changed, or changed a short time ago, or if it `may_have_changed` in spite of them.
    pub fn again(&mut self, path: &Path, may_have_changed: bool) -> FileContent {
        let regular = path.metadata().ok().filter(Metadata::is_file);
        let stamp = regular.as_ref().map(FileStamp::of);
        if stamp != self.stamp {
            self.stamped = Instant::now();
        } else if !may_have_changed && self.stamped.elapsed() >= UNSETTLED {
            return self.content;
        }
        // A change during the read changes the metadata, so that the next look reads again.
        self.stamp = stamp;
        self.content = match stamp {
            None | Some(FileStamp { bytes: 0, .. }) => FileContent::Missing,
            Some(FileStamp { bytes, modified, .. }) if bytes > MAX_HASHED_BYTES => {
                FileContent::Large { bytes, modified }
            }
            Some(_) => hashed(path).unwrap_or(FileContent::Missing),
        };
        self.content
    }
}

/// Reads and hashes a file.
fn hashed(path: &Path) -> io::Result<FileContent> {
    // A pipe that took the file's place meanwhile must not block the thread.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(FileContent::Missing);
    }
    content_of(file, &metadata)
}

fn content_of(file: File, metadata: &Metadata) -> io::Result<FileContent> {
    let mut hasher = blake3::Hasher::new();
    let mut left = file.take(MAX_HASHED_BYTES + 1);
    let (mut chunk, mut bytes) = (vec![0; CHUNK_BYTES], 0_u64);
    loop {
        match left.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&chunk[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(match bytes {
        0 => FileContent::Missing,
        bytes if bytes > MAX_HASHED_BYTES => FileContent::Large {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        },
        _ => FileContent::Hashed(hasher.finalize()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_content_decides_and_not_the_file_that_holds_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s.lua");
        let mut look = FileLook::first(&path);
        assert_eq!(look.again(&path, false), FileContent::Missing);
        fs::write(&path, "one").unwrap();
        let one = FileContent::Hashed(blake3::hash(b"one"));
        assert_eq!(look.again(&path, false), one);
        fs::write(place.path().join("new"), "one").unwrap();
        fs::rename(place.path().join("new"), &path).unwrap();
        assert_eq!(look.again(&path, false), one);
        fs::write(&path, "two").unwrap();
        assert_eq!(look.again(&path, false), FileContent::Hashed(blake3::hash(b"two")));
        fs::write(&path, "").unwrap();
        assert_eq!(look.again(&path, false), FileContent::Missing);
    }

    #[test]
    fn a_change_that_leaves_the_metadata_as_they_are_is_found_soon_after_another() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s.lua");
        fs::write(&path, "one").unwrap();
        let mut look = FileLook::first(&path);
        fs::write(&path, "two").unwrap();
        // As a file system does whose clock is too coarse for the two writes.
        look.stamp = Some(FileStamp::of(&path.metadata().unwrap()));
        assert_eq!(look.again(&path, false), FileContent::Hashed(blake3::hash(b"two")));
    }

    #[test]
    fn a_large_file_is_not_read_and_a_pipe_does_not_block() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("day.jsonl");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_HASHED_BYTES).unwrap();
        let mut look = FileLook::first(&path);
        assert!(matches!(look.content, FileContent::Hashed(_)));
        file.set_len(MAX_HASHED_BYTES + 1).unwrap();
        let large = look.again(&path, true);
        assert!(matches!(large, FileContent::Large { bytes, .. } if bytes == MAX_HASHED_BYTES + 1));
        assert_eq!(look.again(&path, true), large);

        let pipe = place.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(FileLook::first(&pipe).content, FileContent::Missing);
        assert_eq!(hashed(&pipe).unwrap(), FileContent::Missing);
    }
}
