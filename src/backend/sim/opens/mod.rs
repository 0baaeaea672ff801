//! The opens of all files: share modes, oplocks and leases, as MS-FSA (2.1.4.12, 2.1.5.1.2,
//! 2.1.5.18, 2.1.5.19) and MS-SMB2 (3.3.4.6, 3.3.4.7, 3.3.5.9, 3.3.5.22, 3.3.6) describe them. This
//! model has neither clock nor network. The caller gives it the time, and it returns the breaks to
//! send and whether the operation that caused them may go on.
//!
//! While [`Opens::lock`] is held, a lookup in the tree, a check here and the change of the tree are
//! one step.

pub mod access;
mod caching_right;
mod file;
#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod oplock_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod test_table;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

#[cfg(test)]
pub use caching_right::BREAK_TIMEOUT_NS;
use file::FileOpens;
pub use file::{BreakCause, BreakNotice, Decision, Initiator, OpenRequest, RequestedCaching};

#[cfg(test)]
use crate::protocol::LeaseState;
use crate::protocol::create::OplockLevel;
use crate::protocol::{Acknowledgement, GrantedLease, LeaseKey, NtStatus};

#[derive(Default)]
pub struct Opens {
    table: Mutex<OpenTable>,
}

/// The opens of each file, by the file's id in the tree.
#[derive(Default)]
pub struct OpenTable {
    files: BTreeMap<u64, Entry>,
    /// A lease key of a client belongs to one file (MS-SMB2 3.3.5.9.8).
    leases: BTreeMap<(u32, LeaseKey), u64>,
}

#[derive(Default)]
struct Entry {
    opens: FileOpens,
    /// The parent key of the open that marked the file for deletion, if one did.
    deleter: Option<Option<LeaseKey>>,
    /// Notified when a break was answered or an open closed, if anybody waits.
    changed: Option<watch::Sender<()>>,
}

/// The result of one attempt at an operation.
#[derive(Debug)]
pub enum AttemptResult<T> {
    Done(T),
    Wait(Wait),
}

/// The wait for an answer to a break.
#[derive(Debug)]
pub struct Wait {
    changed: watch::Receiver<()>,
    /// Time at which the break ends without an answer, in nanoseconds.
    pub until_ns: u64,
}

impl Wait {
    /// Completes when the opens of the file have changed.
    pub async fn changed(&mut self) {
        // No sender is left when the last open is closed.
        let _ = self.changed.changed().await;
    }
}

impl Opens {
    pub fn lock(&self) -> MutexGuard<'_, OpenTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenTable {
    /// Does what [`FileOpens::admit`] does, for a file that exists (`file`) or is still to be made.
    ///
    /// # Errors
    /// STATUS_SHARING_VIOLATION. STATUS_INVALID_PARAMETER if the client's lease key belongs to
    /// another file (MS-SMB2 3.3.5.9.8, 3.3.5.9.11).
    pub fn admit(
        &mut self,
        file: Option<u64>,
        wanted: &OpenRequest,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> Result<AttemptResult<()>, NtStatus> {
        if let RequestedCaching::Lease { key, .. } = wanted.caching
            && let Some(leased) = self.leases.get(&(wanted.client, key))
            && Some(*leased) != file
        {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        match file.and_then(|file| self.files.get_mut(&file)) {
            None => Ok(AttemptResult::Done(())),
            Some(entry) => {
                let verdict = entry.opens.admit(wanted, now_ns, notices)?;
                Ok(entry.step(verdict))
            }
        }
    }

    /// Adds an open that [`OpenTable::admit`] let pass. `locked` is whether there are byte-range
    /// locks on the file.
    pub fn add(
        &mut self,
        file: u64,
        wanted: &OpenRequest,
        locked: bool,
    ) -> (OplockLevel, Option<GrantedLease>) {
        if let RequestedCaching::Lease { key, .. } = wanted.caching {
            self.leases.insert((wanted.client, key), file);
        }
        self.files.entry(file).or_default().opens.add(wanted, locked)
    }

    /// Does what [`FileOpens::break_for`] does, for this file.
    pub fn break_for(
        &mut self,
        file: u64,
        who: Initiator,
        cause: BreakCause,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> AttemptResult<()> {
        match self.files.get_mut(&file) {
            None => AttemptResult::Done(()),
            Some(entry) => {
                let verdict = entry.opens.break_for(who, cause, now_ns, notices);
                entry.step(verdict)
            }
        }
    }

    /// Applies a client's answer to a break. `file` is the file of an oplock's open.
    ///
    /// # Errors
    /// The errors of [`FileOpens::acknowledge_oplock`] and [`FileOpens::acknowledge_lease`].
    pub fn acknowledge(
        &mut self,
        client: u32,
        answer: Acknowledgement,
        file: Option<u64>,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> Result<(), NtStatus> {
        let (file, missing) = match answer {
            Acknowledgement::Oplock { .. } => (file, NtStatus::FILE_CLOSED),
            Acknowledgement::Lease { key, .. } => {
                (self.leases.get(&(client, key)).copied(), NtStatus::OBJECT_NAME_NOT_FOUND)
            }
        };
        let entry = file.and_then(|file| self.files.get_mut(&file)).ok_or(missing)?;
        let opens = &mut entry.opens;
        let answered = match answer {
            Acknowledgement::Oplock { file_id, level } => {
                opens.acknowledge_oplock(file_id.volatile, level, now_ns, notices)
            }
            Acknowledgement::Lease { key, state } => {
                opens.acknowledge_lease(client, key, state, now_ns, notices)
            }
        };
        entry.tell();
        answered
    }

    /// Marks the file for deletion at its last close. `parent_key` is that of the open that marks
    /// it.
    pub fn mark_deleted(&mut self, file: u64, parent_key: Option<LeaseKey>) {
        self.files.entry(file).or_default().deleter = Some(parent_key);
    }

    /// Removes an open. If it was the last one of a file that is marked for deletion, returns the
    /// parent key of the open that marked it.
    pub fn close(&mut self, file: u64, number: u64) -> Option<Option<LeaseKey>> {
        let entry = self.files.get_mut(&file)?;
        if let Some(lease) = entry.opens.remove(number) {
            self.leases.remove(&lease);
        }
        entry.tell();
        if !entry.opens.is_empty() {
            return None;
        }
        self.files.remove(&file)?.deleter
    }

    #[cfg(test)]
    pub fn held(&mut self, file: u64, number: u64, now_ns: u64) -> Option<LeaseState> {
        self.files.get_mut(&file)?.opens.held(number, now_ns)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.leases.is_empty()
    }
}

impl Entry {
    fn tell(&self) {
        if let Some(changed) = &self.changed {
            changed.send_replace(());
        }
    }

    fn step(&mut self, verdict: Decision) -> AttemptResult<()> {
        match verdict {
            Decision::Proceed => AttemptResult::Done(()),
            Decision::Wait { until_ns } => {
                let changed = self.changed.get_or_insert_default().subscribe();
                AttemptResult::Wait(Wait { changed, until_ns })
            }
        }
    }
}
