//! One open of a file or directory.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::tree::{MemoryTree, Object};
use super::{BasicInformation, NodeInfo};
use crate::protocol::{NtStatus, SharePath};

/// An open of a file or directory. It stays usable through renames; dropping
/// it closes it, and the last close of what is marked for deletion deletes it.
pub struct OpenNode {
    tree: MemoryTree,
    object: Arc<Object>,
}

impl OpenNode {
    pub(super) fn new(tree: MemoryTree, object: Arc<Object>) -> OpenNode {
        OpenNode { tree, object }
    }

    /// See [`NodeInfo::id`].
    pub fn id(&self) -> u64 {
        self.object.id
    }

    pub fn is_directory(&self) -> bool {
        self.object.content.is_none()
    }

    pub fn info(&self) -> NodeInfo {
        self.tree.info(&self.object)
    }

    /// Reads up to `length` bytes from `offset`, fewer at the end of the file.
    ///
    /// # Errors
    /// STATUS_END_OF_FILE at or past the end;
    /// STATUS_INVALID_DEVICE_REQUEST on a directory.
    pub fn read(&self, offset: u64, length: u64) -> Result<Bytes, NtStatus> {
        let content = self.object.content()?.read().unwrap_or_else(PoisonError::into_inner);
        content.read(offset, length)
    }

    /// Writes all of `data` or nothing, growing the file as needed.
    ///
    /// # Errors
    /// STATUS_DISK_FULL; STATUS_INVALID_PARAMETER past the largest offset;
    /// STATUS_INVALID_DEVICE_REQUEST on a directory.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), NtStatus> {
        let content = self.object.content()?;
        content.write().unwrap_or_else(PoisonError::into_inner).write(offset, data)?;
        self.object.touch();
        Ok(())
    }

    /// Sets the end of file.
    ///
    /// # Errors
    /// STATUS_INVALID_PARAMETER past the largest offset;
    /// STATUS_INVALID_DEVICE_REQUEST on a directory.
    pub fn truncate(&self, size: u64) -> Result<(), NtStatus> {
        self.object.truncate(size)
    }

    /// Lists the entries of this directory that match `pattern` (`*` for all), ordered by name
    /// without case. `.` and `..` are not among them.
    ///
    /// # Errors
    /// STATUS_INVALID_PARAMETER on a file.
    pub fn list(&self, pattern: &str) -> Result<Vec<NodeInfo>, NtStatus> {
        self.tree.list(self.object.id, pattern)
    }

    /// Changes times and attributes in one step.
    pub fn update_basic(&self, change: impl FnOnce(&mut BasicInformation)) {
        change(&mut self.object.basic());
    }

    /// Gives the node another name, as [`MemoryTree::rename`] does.
    ///
    /// # Errors
    /// The errors of [`MemoryTree::rename`].
    pub fn rename(&self, to: &SharePath, replace: bool) -> Result<(), NtStatus> {
        self.tree.rename_node(self.object.id, to, replace)
    }

    /// Returns the id of the directory that the node's name is in, or None once it is deleted.
    pub fn parent(&self) -> Option<u64> {
        self.tree.parent(self.object.id)
    }

    /// Returns the ids of the open nodes below this directory.
    pub fn open_below(&self) -> Vec<u64> {
        self.tree.open_below(self.object.id)
    }

    /// Marks the node for deletion. Nobody can open it any more, existing opens keep working, and
    /// the name is removed with the last close (MS-FSA 2.1.5.15.3).
    ///
    /// # Errors
    /// STATUS_DIRECTORY_NOT_EMPTY; STATUS_CANNOT_DELETE for the root.
    pub fn delete(&self) -> Result<(), NtStatus> {
        self.tree.set_delete_pending(self.object.id)
    }
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        self.tree.close(self.object.id);
    }
}
