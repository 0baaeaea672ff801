//! Opens files, and breaks the oplocks and leases of other clients that an operation conflicts
//! with. Each function is one step of an operation, which is repeated after every wait for a break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::create_request::{ATTRIBUTE_READONLY, CreateRequest};
use super::link::Link;
use super::opens::access::{SHARE_READ, SHARE_WRITE, SYNCHRONIZE, Sharing, WRITE_DATA};
use super::opens::{Disturbance, Notice, OpenTable, Step, Wanted, WantedCaching, Who};
use super::server::Server;
use crate::backend::memory::{OpenNode, Target};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateAction, FileId, Granted, LeaseKey, NtStatus, SharePath};

/// A file a client has open. Dropping it releases its locks and closes it, so
/// an operation that still holds it leaves none behind.
pub struct Opened {
    pub node: OpenNode,
    pub access: u32,
    pub granted: Granted,
    who: Who,
    parent_key: Option<LeaseKey>,
    delete_on_close: bool,
    /// Whether anything was written.
    written: AtomicBool,
    /// Dropped after the node, so that an open that waits for it finds the node closed.
    entry: Entry,
}

/// An open's place in the table of opens.
struct Entry {
    server: Arc<Server>,
    file: u64,
    number: u64,
    /// The directory of the file, and the client that changes it. Set when the open is being
    /// closed.
    folder: Option<(u64, Who)>,
}

/// The effect of an operation on the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Write,
    Size,
    /// A lock from this offset on.
    Lock(u64),
}

impl Opened {
    pub fn number(&self) -> u64 {
        self.entry.number
    }

    pub fn file(&self) -> u64 {
        self.entry.file
    }

    pub fn note_written(&self) {
        self.written.store(true, Ordering::Relaxed);
    }

    /// Returns the source of a change that this open makes to an entry of its directory. The change
    /// does not break the lease with the open's parent key (MS-FSA 2.1.4.12, PARENT_OBJECT).
    fn as_entry(&self) -> Who {
        Who { key: self.parent_key, ..self.who }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let server = &self.entry.server;
        if self.delete_on_close {
            // A close reports no error for a directory that is not empty, and waits for no break.
            let _ = server.delete(self, false);
        }
        let folder = self.node.parent();
        if self.written.load(Ordering::Relaxed) {
            // The directory shows the new size and times from now on (MS-FSA 2.1.5.5).
            server.change_entry(&mut server.opens.lock(), folder, self.as_entry());
        }
        server.locks.release(self.file(), self.number());
        self.entry.folder = folder.map(|folder| (folder, self.as_entry()));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut opens = self.server.opens.lock();
        let deleted = opens.close(self.file, self.number);
        if let (Some(deleter), Some((folder, who))) = (deleted, self.folder) {
            // The directory's lease is not broken only if the open that deleted the file and the
            // open that was closed last have the same parent key (smbtorture smb2.dirlease.unlink).
            let key = who.key.filter(|key| Some(*key) == deleter);
            self.server.change_entry(&mut opens, Some(folder), Who { key, ..who });
        }
    }
}

impl Server {
    /// Opens a file in the order of MS-FSA 2.1.5.1: the name, the rights, the share modes, the
    /// breaks. Then the file is made or overwritten, and the oplock is granted.
    ///
    /// # Errors
    /// The errors of the tree, the rights and the share modes.
    pub fn create(
        self: &Arc<Self>,
        link: &Link,
        request: &CreateRequest<'_>,
    ) -> Result<Step<Opened>, NtStatus> {
        let CreateRequest { path, target, disposition, .. } = *request;
        let mut opens = self.opens.lock();
        let found = self.tree.find(path, target, disposition)?;
        let access = request.granted_access(found)?;
        let overwrites = found.is_some() && request.overwrites();
        let implied = if overwrites { request.implied_access() } else { 0 };
        let mut wanted = Wanted {
            number: self.next_number(),
            connection: link.number,
            client: link.client_idx,
            sharing: Sharing { access: access | implied, share: request.share },
            overwrites,
            directory: found.map_or(target == Target::Directory, |node| node.is_directory),
            caching: request.caching,
        };
        let mut notices = Vec::new();
        let file = found.map(|node| node.id);
        let admitted = opens.admit(file, &wanted, self.now_ns(), &mut notices);
        self.tell(notices);
        if let Step::Wait(wait) = admitted? {
            return Ok(Step::Wait(wait));
        }
        let (node, action) = self.tree.open(path, target, disposition)?;
        if action != CreateAction::Opened && !wanted.directory {
            node.update_basic(|basic| basic.attributes = request.stored_attributes());
        }
        wanted.sharing.access = access;
        let file = node.id();
        // A lock beyond the allocated bytes covers no bytes that a client could cache (MS-FSA
        // 2.1.5.18).
        let first = self.locks.first_offset(file);
        let locked = first.is_some_and(|offset| offset < Server::allocated(&node));
        let (oplock, lease) = opens.add(file, &wanted, locked);
        let number = wanted.number;
        let file_id = FileId { persistent: number, volatile: number };
        let disk_file_id = Some(file);
        let granted = Granted { file_id, disk_file_id, action, oplock, lease, durable: None };
        let opened = Opened {
            node,
            access,
            granted,
            who: wanted.who(),
            parent_key: request.parent_key,
            delete_on_close: request.delete_on_close,
            written: AtomicBool::new(false),
            entry: Entry { server: self.clone(), file, number, folder: None },
        };
        if action != CreateAction::Opened {
            self.change_entry(&mut opens, opened.node.parent(), opened.as_entry());
        }
        Ok(Step::Done(opened))
    }

    /// Breaks the rights of other clients to cache the content.
    pub fn change(&self, opened: &Opened, change: Change) -> Step<()> {
        let mut opens = self.opens.lock();
        match change {
            Change::Size => {
                self.change_entry(&mut opens, opened.node.parent(), opened.as_entry());
            }
            // MS-FSA 2.1.5.8: no client caches bytes beyond the end of the file.
            Change::Lock(offset) if offset >= Server::allocated(&opened.node) => {
                return Step::Done(());
            }
            Change::Write | Change::Lock(_) => {}
        }
        let mut notices = Vec::new();
        let (now_ns, content) = (self.now_ns(), Disturbance::Content);
        let step = opens.disturb(opened.file(), opened.who, content, now_ns, &mut notices);
        self.tell(notices);
        step
    }

    /// Returns the allocated size. The tree allocates nothing for a hole, but a file system of
    /// MS-FSA does.
    fn allocated(node: &OpenNode) -> u64 {
        let info = node.info();
        info.allocated.max(info.size)
    }

    /// Marks the file for deletion (MS-FSA 2.1.5.15.3). If `patient`, waits until no other client
    /// caches a handle to it.
    ///
    /// # Errors
    /// STATUS_CANNOT_DELETE for a read-only file, and those of [`OpenNode::delete`].
    pub fn delete(&self, opened: &Opened, patient: bool) -> Result<Step<()>, NtStatus> {
        if opened.node.info().basic.attributes & ATTRIBUTE_READONLY != 0 {
            return Err(NtStatus::CANNOT_DELETE);
        }
        let mut opens = self.opens.lock();
        if let wait @ Step::Wait(_) = self.take_handles(&mut opens, opened, opened.file())
            && patient
        {
            return Ok(wait);
        }
        opened.node.delete()?;
        opens.mark_deleted(opened.file(), opened.parent_key);
        Ok(Step::Done(()))
    }

    /// Renames the file (MS-FSA 2.1.5.15.12) when no other client caches a handle to it, to the
    /// file that it replaces, or to a file below it.
    ///
    /// # Errors The errors of [`OpenNode::rename`]. STATUS_SHARING_VIOLATION if the target
    /// directory is open with DELETE access, or open and not shared for writing.
    /// STATUS_DELETE_PENDING if the file to be replaced is marked for deletion, or
    /// STATUS_ACCESS_DENIED if it is read-only.
    pub fn rename(
        &self,
        opened: &Opened,
        to: &SharePath,
        replace: bool,
    ) -> Result<Step<()>, NtStatus> {
        let mut opens = self.opens.lock();
        if let wait @ Step::Wait(_) = self.enter_folder_of(to, &mut opens, opened)? {
            return Ok(wait);
        }
        if let wait @ Step::Wait(_) = self.take_handles(&mut opens, opened, opened.file()) {
            return Ok(wait);
        }
        // The holders are broken one after the other, and each only once (MS-FSA 2.1.4.2).
        if let Some(below) = opened.node.open_below().first() {
            return match self.take_handles(&mut opens, opened, *below) {
                Step::Done(()) => Err(NtStatus::ACCESS_DENIED),
                wait => Ok(wait),
            };
        }
        match self.tree.find(to, Target::Any, CreateDisposition::Open) {
            Ok(Some(target)) if replace && target.id != opened.file() => {
                if target.is_directory || target.attributes & ATTRIBUTE_READONLY != 0 {
                    return Err(NtStatus::ACCESS_DENIED);
                }
                if let wait @ Step::Wait(_) = self.take_handles(&mut opens, opened, target.id) {
                    return Ok(wait);
                }
            }
            Err(NtStatus::DELETE_PENDING) if replace => return Err(NtStatus::DELETE_PENDING),
            _ => {}
        }
        let before = opened.node.parent();
        opened.node.rename(to, replace)?;
        let after = opened.node.parent();
        self.change_entry(&mut opens, before, opened.as_entry());
        if after != before {
            self.change_entry(&mut opens, after, opened.as_entry());
        }
        Ok(Step::Done(()))
    }

    /// Opens the target directory of a rename to add an entry. The open conflicts with every open
    /// that has DELETE access (MS-FSA 2.1.5.15.12; smbtorture
    /// smb2.rename.share_delete_and_delete_access).
    fn enter_folder_of(
        &self,
        path: &SharePath,
        opens: &mut OpenTable,
        opened: &Opened,
    ) -> Result<Step<()>, NtStatus> {
        let folder = path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = SharePath::new(folder).unwrap_or_default();
        let found = self.tree.find(&folder, Target::Directory, CreateDisposition::Open);
        let Ok(Some(folder)) = found else {
            // The rename itself reports any other error of the directory.
            return Ok(Step::Done(()));
        };
        let entering = Wanted {
            number: opened.number(),
            connection: 0,
            client: opened.who.client,
            sharing: Sharing { access: WRITE_DATA | SYNCHRONIZE, share: SHARE_READ | SHARE_WRITE },
            overwrites: false,
            directory: true,
            caching: WantedCaching::Nothing,
        };
        let mut notices = Vec::new();
        let step = opens.admit(Some(folder.id), &entering, self.now_ns(), &mut notices);
        self.tell(notices);
        step
    }

    fn take_handles(&self, opens: &mut OpenTable, opened: &Opened, file: u64) -> Step<()> {
        let mut notices = Vec::new();
        let (now_ns, handles) = (self.now_ns(), Disturbance::Handles);
        let step = opens.disturb(file, opened.who, handles, now_ns, &mut notices);
        self.tell(notices);
        step
    }

    /// Breaks the leases of those who cache the directory's listing, and does not wait for that.
    fn change_entry(&self, opens: &mut OpenTable, directory: Option<u64>, by: Who) {
        let Some(directory) = directory else { return };
        let mut notices = Vec::new();
        let now_ns = self.now_ns();
        let _ = opens.disturb(directory, by, Disturbance::Entries, now_ns, &mut notices);
        self.tell(notices);
    }

    /// Sends breaks, still under the lock of the table, so that they leave in
    /// the order they happened.
    pub fn tell(&self, notices: Vec<Notice>) {
        for Notice { connection, what } in notices {
            self.send_break(connection, what);
        }
    }
}
