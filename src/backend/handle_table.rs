//! The files that one connection has open, by the handle numbers of the stream.

use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::breaks::Holder;
use super::{OpError, SMBFileHandle};
use crate::ir::HandleRef;
use crate::protocol::SharePath;

/// The file, if any, that each handle number stands for.
#[derive(Default)]
pub(super) struct HandleTable {
    entries: HashMap<HandleRef, HandleEntry, FxBuildHasher>,
    /// Open files whose number now belongs to another handle, because their close was dropped.
    forgotten: Vec<OpenFile>,
}

pub(super) enum HandleEntry {
    Open {
        file: OpenFile,
        path: SharePath,
    },
    /// A handle whose `Open` failed, or whose connection was lost, at operation `cause_seq`.
    Missing {
        cause_seq: u32,
    },
}

/// An open file. If it can be broken, it is shared with the code that flushes it before a break is
/// answered.
pub(super) enum OpenFile {
    Plain(Box<dyn SMBFileHandle>),
    Caching(Rc<dyn SMBFileHandle>, Rc<Holder>),
}

impl OpenFile {
    pub fn handle(&self) -> &dyn SMBFileHandle {
        match self {
            OpenFile::Plain(handle) => &**handle,
            OpenFile::Caching(handle, _) => &**handle,
        }
    }

    pub fn holder(&self) -> Option<&Rc<Holder>> {
        match self {
            OpenFile::Plain(_) => None,
            OpenFile::Caching(_, holder) => Some(holder),
        }
    }

    /// Records that the file's CLOSE is about to be sent. Returns the holder that loses this open.
    pub fn close_begins(&self) -> Option<Rc<Holder>> {
        match self {
            OpenFile::Plain(_) => None,
            OpenFile::Caching(handle, holder) => {
                holder.close_begins(handle);
                Some(holder.clone())
            }
        }
    }
}

impl HandleTable {
    /// Returns the file and the path by which it was opened.
    pub fn open(&self, handle_ref: HandleRef) -> Option<(&OpenFile, &SharePath)> {
        match self.entries.get(&handle_ref)? {
            HandleEntry::Open { file, path } => Some((file, path)),
            HandleEntry::Missing { .. } => None,
        }
    }

    /// Returns the open handle.
    ///
    /// # Errors
    /// [`OpError::Client`] if it is not open.
    pub fn handle(&self, handle_ref: HandleRef) -> Result<&dyn SMBFileHandle, OpError> {
        let open = self.open(handle_ref).map(|(file, _)| file.handle());
        open.ok_or_else(|| OpError::Client("the handle is not open".into()))
    }

    /// Returns None if the handle is open. Otherwise returns the operation that caused it to be
    /// missing, if that is known.
    pub fn missing(&self, handle_ref: HandleRef) -> Option<Option<u32>> {
        match self.entries.get(&handle_ref) {
            Some(HandleEntry::Open { .. }) => None,
            Some(HandleEntry::Missing { cause_seq }) => Some(Some(*cause_seq)),
            None => Some(None),
        }
    }

    pub fn insert(&mut self, handle_ref: HandleRef, file: OpenFile, path: SharePath) {
        self.entries.insert(handle_ref, HandleEntry::Open { file, path });
    }

    /// Removes the handle from the table and returns its file and path.
    pub fn take(&mut self, handle_ref: HandleRef) -> Option<(OpenFile, SharePath)> {
        let entry = self.entries.remove(&handle_ref)?;
        if self.entries.is_empty() {
            // Of many clients, most are thinking and have nothing open, so the memory is given
            // back.
            self.entries = HashMap::default();
        }
        match entry {
            HandleEntry::Open { file, path } => Some((file, path)),
            HandleEntry::Missing { .. } => None,
        }
    }

    /// Records that no file is open by that number, because of operation `cause_seq`.
    pub fn miss(&mut self, handle_ref: HandleRef, cause_seq: u32) {
        self.entries.insert(handle_ref, HandleEntry::Missing { cause_seq });
    }

    /// Keeps the file of a handle whose number is given to another, so that it is closed with the
    /// rest.
    pub fn forget(&mut self, handle_ref: HandleRef) {
        if let Some((file, _)) = self.take(handle_ref) {
            self.forgotten.push(file);
        }
    }

    /// Marks every open handle as missing, because operation `cause_seq` lost the connection.
    pub fn lose(&mut self, cause_seq: u32) {
        self.forgotten.clear();
        for entry in self.entries.values_mut() {
            if matches!(entry, HandleEntry::Open { .. }) {
                *entry = HandleEntry::Missing { cause_seq };
            }
        }
    }

    /// Empties the table and returns every open file.
    pub fn drain(&mut self) -> impl Iterator<Item = OpenFile> {
        let open = self.entries.drain().filter_map(|(_, entry)| match entry {
            HandleEntry::Open { file, .. } => Some(file),
            HandleEntry::Missing { .. } => None,
        });
        open.chain(self.forgotten.drain(..))
    }
}
