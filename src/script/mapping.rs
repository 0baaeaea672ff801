//! The state of a client whose operations pass through a function of `bench.map`.
//!
//! The function is given each operation and a client object. With that it emits the operation, or
//! makes others as in an iteration. All of them are operations of one `ScriptClient`, whose handles
//! are those of the output.

use std::collections::VecDeque;

use mlua::LightUserData;

use super::handles::Handles;
use crate::ir::{Due, HandleOperation, Operation, OperationKind, Section};
use crate::protocol::SharePath;
use crate::transform::{NominalTime, OpenHandles};

/// Maximum number of operations that a function makes of one.
const MAX_EMITTED: usize = 1_000;

/// The operations of one client on their way through a function.
#[derive(Default)]
pub(super) struct Mapping {
    /// The operations that the function was not given yet.
    pub waiting: VecDeque<Operation>,
    current: Option<Mapped>,
    handles: OpenHandles<MappedHandle>,
    time: NominalTime,
    /// The last time from time zero that an operation of the section names.
    last_at_ns: u64,
    /// The name of the client.
    name: String,
    /// The number of the stage.
    pub number: u32,
}

/// The operation that the function is given.
pub(super) struct Mapped {
    /// The operation, with the changes that the function made.
    pub operation: Operation,
    /// The path that it names, or that the open of its handle names.
    pub path: SharePath,
    /// The handle in the output, of an operation on a handle or an open that was emitted.
    pub handle: Option<LightUserData>,
    /// The number of operations that the client had made before.
    first: usize,
}

/// A handle of the input that the function emitted the open of.
struct MappedHandle {
    handle: LightUserData,
    path: SharePath,
}

impl Mapping {
    pub fn new(name: String, number: u32) -> Mapping {
        Mapping { name, number, ..Mapping::default() }
    }

    /// Goes to a section. Handles stay open.
    pub fn enter(&mut self) {
        self.waiting.clear();
        (self.current, self.time, self.last_at_ns) = (None, NominalTime::default(), 0);
    }

    /// Returns the operation that the function is given, and the name of its client.
    pub fn current(&mut self) -> Option<(&mut Mapped, &str)> {
        self.current.as_mut().map(|mapped| (mapped, self.name.as_str()))
    }

    /// Checks the number of operations that the function has made of the present one.
    pub fn check_count(&self, made: usize) -> Result<(), String> {
        match &self.current {
            Some(current) if made - current.first >= MAX_EMITTED => {
                let id = current.operation.op_id();
                Err(format!("more than {MAX_EMITTED} operations made of operation {id}"))
            }
            _ => Ok(()),
        }
    }

    /// Goes to the next operation that the function is to be given. Returns its section and
    /// iteration. `handles` and `made` are the handles and the operations of the output.
    ///
    /// # Errors
    /// A message about what the function did with the operation before.
    pub fn next(
        &mut self,
        handles: &mut Handles,
        made: &mut VecDeque<Operation>,
    ) -> Result<Option<(Section, u32)>, String> {
        if let Some(mapped) = self.current.take() {
            self.finish(mapped, handles, made)?;
        }
        while let Some(operation) = self.waiting.pop_front() {
            self.time.see(&operation);
            let of_handle = match &operation.kind {
                OperationKind::OnHandle(handle, _) => Some(self.handles.get(*handle)),
                _ => None,
            };
            let (path, handle) = match of_handle {
                // The function dropped the open, so it drops all that is done on the handle.
                Some(None) => {
                    self.time.skip(&operation);
                    continue;
                }
                Some(Some(known)) => (known.path.clone(), Some(known.handle)),
                None => (operation.kind.path().cloned().unwrap_or_default(), None),
            };
            let place = (operation.section, operation.iteration);
            self.current = Some(Mapped { operation, path, handle, first: made.len() });
            return Ok(Some(place));
        }
        Ok(None)
    }

    /// Ends an operation: the first operation made of it is due when it was, and the others follow.
    fn finish(
        &mut self,
        mapped: Mapped,
        handles: &mut Handles,
        made: &mut VecDeque<Operation>,
    ) -> Result<(), String> {
        let Mapped { mut operation, path, handle, first } = mapped;
        match (&operation.kind, handle) {
            (OperationKind::Open(open), Some(handle)) => {
                self.handles.open(open.handle_ref, MappedHandle { handle, path });
            }
            (OperationKind::OnHandle(of, HandleOperation::Close), Some(handle)) => {
                self.handles.close(*of);
                // A handle whose open was emitted is closed in any case.
                if let Ok(own) = handles.find(handle) {
                    handles.close(own);
                    let kind = HandleOperation::Close.on(own);
                    made.push_back(Operation { kind, ..operation.clone() });
                }
            }
            _ => {}
        }
        if made.len() == first {
            self.time.skip(&operation);
            return Ok(());
        }
        if let Due::At(at_ns) = operation.due {
            if at_ns < self.last_at_ns {
                return Err(format!(
                    "operation {} would be due at {at_ns} ns, before the previous one, at {} ns: set op.at to a later time",
                    operation.op_id(),
                    self.last_at_ns
                ));
            }
            self.last_at_ns = at_ns;
        }
        self.time.keep(&mut operation);
        for (at, made) in made.iter_mut().skip(first).enumerate() {
            made.due = if at == 0 { operation.due } else { Due::After(0) };
            // Errors of later stages name the operation of the document.
            (made.client_idx, made.seq) = (operation.client_idx, operation.seq);
            made.step.clone_from(&operation.step);
            if at > 0 {
                self.time.add(made);
            }
        }
        Ok(())
    }

    /// Discards what the function made of the operation at which it failed.
    pub fn abandon(&mut self, made: &mut VecDeque<Operation>) {
        if let Some(mapped) = self.current.take() {
            made.truncate(mapped.first);
        }
        self.waiting.clear();
    }

    /// Handles `emit(op)`: makes the operation that the function was given, with its changes.
    ///
    /// # Errors
    /// A message if the operation cannot be made here.
    pub fn emit(
        &mut self,
        handles: &mut Handles,
        made: &mut VecDeque<Operation>,
    ) -> Result<(), String> {
        self.check_count(made.len())?;
        let Some(mapped) = &mut self.current else {
            return Err("emit is called after its function has returned".into());
        };
        let mut operation = mapped.operation.clone();
        match &mut operation.kind {
            OperationKind::Open(open) => {
                if mapped.handle.is_some() {
                    return Err(
                        "this open was emitted before; open the file a second time with local h = emit:open(…)"
                            .into(),
                    );
                }
                let opened = handles.open().map_err(|error| error.to_string())?;
                open.handle_ref = opened.0;
                mapped.handle = Some(opened.1);
                mapped.path = open.path.clone();
            }
            OperationKind::OnHandle(of, kind) => {
                let handle = mapped.handle.ok_or("the handle of this operation is not open")?;
                let own = handles.find(handle).map_err(|error| error.to_string())?;
                *of = own;
                if matches!(kind, HandleOperation::Close) {
                    handles.close(own);
                }
            }
            OperationKind::ByPath(_) => {}
        }
        made.push_back(operation);
        Ok(())
    }
}
