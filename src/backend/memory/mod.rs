//! A file tree in memory that behaves as an SMB server's file system does
//! (MS-FSA): what the simulator and the embedded server store files in.
//!
//! Names are case-preserving and compared without case. Statuses are the ones
//! Windows and Samba answer. Share modes, byte-range locks and access rights
//! belong to the server above, not here.

mod content;
mod names;
mod open_node;
mod tree;

#[cfg(test)]
mod tests;

pub use names::matches;
pub use open_node::OpenNode;
pub use tree::MemoryTree;

pub use crate::protocol::CreateAction;

/// What a tree may hold before it answers STATUS_DISK_FULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes allocated to file data, over all files. Holes cost nothing.
    pub bytes: u64,
    /// Files and directories.
    pub nodes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 1 << 30, nodes: 1_000_000 }
    }
}

/// What an open insists on finding or makes (FILE_DIRECTORY_FILE and
/// FILE_NON_DIRECTORY_FILE of MS-SMB2 2.2.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Either; a file where it has to be made.
    Any,
    File,
    Directory,
}

/// What an open would find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// See [`NodeInfo::id`].
    pub id: u64,
    pub is_directory: bool,
    /// See [`BasicInformation::attributes`].
    pub attributes: u32,
}

/// Times and attributes as FileBasicInformation has them (MS-FSCC 2.4.7).
/// Times are FILETIMEs, 100 ns since 1601, of the machine's clock: no
/// operation's outcome depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicInformation {
    pub created: u64,
    pub accessed: u64,
    pub written: u64,
    pub changed: u64,
    /// MS-FSCC 2.6. FILE_ATTRIBUTE_DIRECTORY is not kept here; stored, not enforced.
    pub attributes: u32,
}

/// A file or directory as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Unique within the tree for its life, kept through renames, never 0.
    pub id: u64,
    /// As it was created; empty for the root.
    pub name: String,
    pub is_directory: bool,
    /// The end of file, in bytes.
    pub size: u64,
    pub allocated: u64,
    pub basic: BasicInformation,
}
