//! A file tree in memory that behaves as an SMB server's file system does
//! (MS-FSA): what the simulator and the embedded server store files in.
//!
//! Names are case-preserving and compared without case. Statuses are the ones
//! Windows and Samba answer. Share modes, byte-range locks and access rights
//! belong to the server above, not here.

mod content;
mod names;
mod tree;

#[cfg(test)]
mod tests;

pub use names::matches;
pub use tree::{MemoryTree, OpenNode};

pub use crate::protocol::CreateAction;

/// The limits beyond which a tree answers STATUS_DISK_FULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes allocated to file data, over all files. Holes cost nothing.
    pub bytes: u64,
    /// Files and directories.
    pub nodes: u64,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits { bytes: 1 << 30, nodes: 1_000_000 }
    }
}

/// The kind of node that an open requires or makes (FILE_DIRECTORY_FILE and FILE_NON_DIRECTORY_FILE
/// of MS-SMB2 2.2.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedKind {
    /// Either kind; a file if it has to be made.
    Any,
    File,
    Directory,
}

/// The node that an open would find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// See [`NodeInfo::id`].
    pub id: u64,
    pub is_directory: bool,
    /// See [`BasicInformation::attributes`].
    pub attributes: u32,
}

/// Times and attributes as in FileBasicInformation (MS-FSCC 2.4.7). Times are FILETIMEs, in units
/// of 100 ns since 1601, of the host's clock. No operation's result depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicInformation {
    pub created: u64,
    pub accessed: u64,
    pub written: u64,
    pub changed: u64,
    /// File attributes (MS-FSCC 2.6) without FILE_ATTRIBUTE_DIRECTORY. They are stored, not
    /// enforced.
    pub attributes: u32,
}

/// A file or directory as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// A number that is unique within the tree for its life, stays through renames, and is never 0.
    pub id: u64,
    /// The name in the case in which it was given; empty for the root.
    pub name: String,
    pub is_directory: bool,
    /// The end of file, in bytes.
    pub size: u64,
    pub allocated: u64,
    pub basic: BasicInformation,
}
