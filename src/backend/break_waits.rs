//! The wait of an operation, before it is sent, for the end of a pending break.

use std::sync::Arc;

use super::ConnectionState;
use super::breaks::{Block, CachedFiles, Waiting, wait_for};
use crate::ir::{HandleOperation, HandleRef, Operation, OperationKind};

impl ConnectionState {
    /// Returns the wait for the pending break that blocks the operation, or None if it
    /// may be sent: a break of what its handle holds, and where breaks block by file, of
    /// what any client of the run holds of its files. A close never waits.
    pub fn blocked(&self, operation: &Operation) -> Option<Waiting> {
        if self.files_with_a_pending_break().is_none() && !self.breaks.any_pending() {
            return None;
        }
        let kind = &operation.kind;
        let on_a_handle = match kind {
            OperationKind::OnHandle(_, HandleOperation::Close) => return None,
            OperationKind::OnHandle(handle, _) => Some(*handle),
            OperationKind::Open(_) | OperationKind::ByPath(_) => None,
        };
        let pending = || {
            let by_handle = on_a_handle.and_then(|handle| self.wait_if_blocked_by_handle(handle));
            by_handle.or_else(|| self.wait_if_blocked_by_file(kind))
        };
        wait_for(pending, &self.breaks.clock)
    }

    /// Returns the pending break of what the handle holds, which an operation on the
    /// handle waits for in every fidelity mode.
    fn wait_if_blocked_by_handle(&self, handle_ref: HandleRef) -> Option<Arc<Block>> {
        let (file, _) = self.handles.open(handle_ref)?;
        file.holder()?.block()
    }

    /// Returns the pending break of what any client of the run holds of a file that the
    /// operation touches by path or by handle. None where breaks block by handle alone
    /// (fidelity modes 0 and 1).
    fn wait_if_blocked_by_file(&self, kind: &OperationKind) -> Option<Arc<Block>> {
        let files = self.files_with_a_pending_break()?;
        match kind {
            OperationKind::Open(open) => files.pending_at(&open.path),
            OperationKind::OnHandle(handle, _) => {
                let (file, path) = self.handles.open(*handle)?;
                let disk_file_id = file.handle().granted().and_then(|g| g.disk_file_id);
                let number = file.holder().and_then(|holder| holder.number);
                files.pending_of(path, disk_file_id, number)
            }
            OperationKind::ByPath(operation) => {
                let (path, dest) = operation.paths();
                files.pending_at(path).or_else(|| files.pending_at(dest?))
            }
        }
    }

    fn files_with_a_pending_break(&self) -> Option<&CachedFiles> {
        self.breaks.files.as_deref().filter(|files| files.any_pending())
    }
}
