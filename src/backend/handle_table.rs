//! The files one connection has open, by the numbers the stream gives them.

use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::SMBFileHandle;
use super::breaks::Holder;
use crate::ir::HandleRef;
use crate::protocol::SharePath;

/// What each number of a handle stands for.
#[derive(Default)]
pub(super) struct HandleTable {
    entries: HashMap<HandleRef, HandleEntry, FxBuildHasher>,
    /// Open, but their number is another handle's: their close was left out.
    forgotten: Vec<OpenFile>,
}

pub(super) enum HandleEntry {
    Open {
        file: OpenFile,
        path: SharePath,
    },
    /// Its `Open` failed, or the connection was lost at operation `cause_seq`.
    Missing {
        cause_seq: u32,
    },
}

/// An open file. One that can be broken is shared with whoever flushes it
/// before a break of it is answered.
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

    /// Its CLOSE is about to be sent: the holder that loses it.
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
    /// The file, with the path it was opened by.
    pub fn open(&self, handle_ref: HandleRef) -> Option<(&OpenFile, &SharePath)> {
        match self.entries.get(&handle_ref)? {
            HandleEntry::Open { file, path } => Some((file, path)),
            HandleEntry::Missing { .. } => None,
        }
    }

    /// Returns, of a handle that is not open, the operation that caused that, where known.
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

    /// The file of the handle, which is no longer in the table.
    pub fn take(&mut self, handle_ref: HandleRef) -> Option<(OpenFile, SharePath)> {
        let entry = self.entries.remove(&handle_ref)?;
        if self.entries.is_empty() {
            // Most clients of many think most of the time, with nothing open.
            self.entries = HashMap::default();
        }
        match entry {
            HandleEntry::Open { file, path } => Some((file, path)),
            HandleEntry::Missing { .. } => None,
        }
    }

    /// Nothing is open by that number, because of operation `cause_seq`.
    pub fn miss(&mut self, handle_ref: HandleRef, cause_seq: u32) {
        self.entries.insert(handle_ref, HandleEntry::Missing { cause_seq });
    }

    /// Keeps a handle whose number is given to another until it is closed with the rest.
    pub fn forget(&mut self, handle_ref: HandleRef) {
        if let Some((file, _)) = self.take(handle_ref) {
            self.forgotten.push(file);
        }
    }

    /// Everything was lost at operation `cause_seq`.
    pub fn lose(&mut self, cause_seq: u32) {
        self.forgotten.clear();
        for entry in self.entries.values_mut() {
            if matches!(entry, HandleEntry::Open { .. }) {
                *entry = HandleEntry::Missing { cause_seq };
            }
        }
    }

    /// Everything that is open; the table is empty then.
    pub fn drain(&mut self) -> impl Iterator<Item = OpenFile> {
        let open = self.entries.drain().filter_map(|(_, entry)| match entry {
            HandleEntry::Open { file, .. } => Some(file),
            HandleEntry::Missing { .. } => None,
        });
        open.chain(self.forgotten.drain(..))
    }
}
