//! The handles that a client has open at a place in its stream.

use rustc_hash::FxHashMap;

use crate::ir::{HandleOperation, HandleRef, Operation, OperationKind};

/// A stage's knowledge about each handle that is open. A handle is forgotten when it is closed.
pub struct OpenHandles<T>(FxHashMap<HandleRef, T>);

impl<T> Default for OpenHandles<T> {
    fn default() -> OpenHandles<T> {
        OpenHandles(FxHashMap::default())
    }
}

impl<T> OpenHandles<T> {
    pub fn open(&mut self, handle: HandleRef, known: T) {
        self.0.insert(handle, known);
    }

    pub fn get(&self, handle: HandleRef) -> Option<&T> {
        self.0.get(&handle)
    }

    pub fn get_mut(&mut self, handle: HandleRef) -> Option<&mut T> {
        self.0.get_mut(&handle)
    }

    pub fn close(&mut self, handle: HandleRef) -> Option<T> {
        self.0.remove(&handle)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }

    /// Returns the open handles in ascending order.
    pub fn handles(&self) -> Vec<HandleRef> {
        let mut handles: Vec<HandleRef> = self.0.keys().copied().collect();
        handles.sort_unstable();
        handles
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The use that an operation makes of a handle.
pub(super) enum HandleUse {
    Open(HandleRef),
    On(HandleRef),
    Close(HandleRef),
    /// The operation is by path.
    None,
}

pub(super) fn handle_use(operation: &Operation) -> HandleUse {
    match &operation.kind {
        OperationKind::Open(open) => HandleUse::Open(open.handle_ref),
        OperationKind::OnHandle(handle, HandleOperation::Close) => HandleUse::Close(*handle),
        OperationKind::OnHandle(handle, _) => HandleUse::On(*handle),
        OperationKind::ByPath(_) => HandleUse::None,
    }
}
