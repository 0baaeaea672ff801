//! One operation of the stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blobs::Blob;
use super::due::Due;
use super::payload::Payload;
use super::step::Step;
use crate::protocol::create::{CreateDisposition, FILE_NON_DIRECTORY_FILE};
use crate::protocol::{CreateParameters, NtStatus, SharePath};

/// The largest size of a file, which is a signed 64-bit number (MS-FSA).
pub const MAX_FILE_BYTES: u64 = i64::MAX as u64;

/// One file operation of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Index into the clients of the [`StreamHeader`](super::StreamHeader).
    pub client_idx: u32,
    /// The number of the operation within the client, from 0 and over all its sections.
    pub seq: u32,
    pub due: Due,
    pub section: Section,
    /// The number of the iteration within the client, from 0; 0 in setup and teardown.
    pub iteration: u32,
    pub expect: Expect,
    /// The id a document gave; see [`Operation::op_id`].
    pub id: Option<Arc<str>>,
    /// The innermost step that the operation belongs to.
    pub step: Option<Arc<Step>>,
    pub kind: OperationKind,
}

/// The part of a client's life an operation belongs to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Section {
    #[default]
    Setup,
    Iteration,
    Teardown,
}

/// The statuses that count as success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// STATUS_SUCCESS, and STATUS_END_OF_FILE for a read.
    #[default]
    Default,
    /// Exactly these statuses. A list without STATUS_SUCCESS makes success a failure.
    Statuses(Arc<[NtStatus]>),
    /// Any status a server may give.
    Any,
}

impl Expect {
    pub fn allows(&self, status: NtStatus, operation: OperationType) -> bool {
        match self {
            Expect::Default => {
                status == NtStatus::SUCCESS
                    || (operation == OperationType::Read && status == NtStatus::END_OF_FILE)
            }
            Expect::Statuses(statuses) => statuses.contains(&status),
            Expect::Any => true,
        }
    }
}

/// A handle's number within its client, from the `Open` that makes it to its
/// `Close`. Unique among the handles a client has open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HandleRef(pub u32);

/// The access that an `Open` asks for. Scripts and documents have different default
/// dispositions for it, so [`OperationKind::Open`] carries the disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OpenMode {
    Read,
    Write,
    ReadWrite,
}

/// The type and the arguments of an operation, grouped by what it acts on. Its place in the stream
/// is in [`Operation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OperationKind {
    Open(OpenOperation),
    /// An operation on a handle that an `Open` made.
    OnHandle(HandleRef, HandleOperation),
    /// An operation on the file or directory at a path.
    ByPath(PathOperation),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenOperation {
    pub path: SharePath,
    pub mode: OpenMode,
    /// The disposition. The default is `Open` for r, `OverwriteIf` for Lua's w, and
    /// `OpenIf` for rw and for version 1 documents that write.
    pub disposition: CreateDisposition,
    pub handle_ref: HandleRef,
    /// The parameters of a stream that asks for more than the mode (fidelity mode 1 and up).
    pub extensions: Option<Arc<CreateParameters>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HandleOperation {
    Read {
        offset: u64,
        length: u64,
    },
    Write {
        offset: u64,
        length: u64,
        payload: Payload,
    },
    Close,
    /// Any other operation on the open file. It transfers no data.
    Control(FileControl),
}

/// An operation on an open file that neither transfers data nor ends the handle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FileControl {
    /// Sets the end of file.
    Truncate {
        size: u64,
    },
    Flush,
    /// A byte-range lock. With `wait` it blocks until granted instead of failing with
    /// STATUS_LOCK_NOT_GRANTED.
    Lock {
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    },
    Unlock {
        offset: u64,
        length: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PathOperation {
    Rename {
        source_path: SharePath,
        dest_path: SharePath,
        replace: bool,
    },
    Delete {
        path: SharePath,
    },
    Mkdir {
        path: SharePath,
    },
    Rmdir {
        path: SharePath,
    },
    Stat {
        path: SharePath,
    },
    /// A listing of a directory. `pattern` uses SMB's wildcards (`*`, `?`).
    List {
        path: SharePath,
        pattern: Arc<str>,
    },
}

/// Defines [`OperationType`] from the table of all operations. A row is a variant of the enum
/// in whose group it stands, and its name in reports, filters and scripts. `..` leads to another
/// group.
macro_rules! operations {
    ($($group:ident {
        $($variant:ident $name:literal,)*
        $(.. $wrapper:ident($($field:tt),+) => $inner:ident,)*
    })*) => {
        /// The kind of an operation without its fields; the key of every per-operation figure.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(rename_all = "lowercase")]
        pub enum OperationType {
            $($($variant,)*)*
        }

        impl OperationType {
            pub const ALL: [OperationType; [$($($name,)*)*].len()] =
                [$($(OperationType::$variant,)*)*];

            /// Returns the name in lower case, as reports and filters write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(OperationType::$variant => $name,)*)*
                }
            }

            /// Returns the `type` that documents give the operation.
            pub fn document_name(self) -> &'static str {
                match self {
                    $($(OperationType::$variant => stringify!($variant),)*)*
                }
            }
        }

        $(impl $group {
            /// The types of the operations in this group alone.
            pub const TYPES: &[OperationType] = &[$(OperationType::$variant,)*];

            pub fn operation_type(&self) -> OperationType {
                match self {
                    $(Self::$variant { .. } => OperationType::$variant,)*
                    $(Self::$wrapper($($field),+) => $inner.operation_type(),)*
                }
            }
        })*
    };
}

operations! {
    OperationKind {
        Open "open",
        ..OnHandle(_, operation) => operation,
        ..ByPath(operation) => operation,
    }
    HandleOperation {
        Read "read",
        Write "write",
        Close "close",
        ..Control(control) => control,
    }
    PathOperation {
        Rename "rename",
        Delete "delete",
        Mkdir "mkdir",
        Rmdir "rmdir",
        Stat "stat",
        List "list",
    }
    FileControl {
        Truncate "truncate",
        Flush "flush",
        Lock "lock",
        Unlock "unlock",
    }
}

impl Operation {
    /// Creates an operation of a client's first iteration that follows the one before at once.
    pub fn new(client_idx: u32, seq: u32, kind: impl Into<OperationKind>) -> Operation {
        Operation {
            client_idx,
            seq,
            due: Due::After(0),
            section: Section::Iteration,
            iteration: 0,
            expect: Expect::Default,
            id: None,
            step: None,
            kind: kind.into(),
        }
    }

    /// Returns the document's id, or `<client>-<seq>`.
    pub fn op_id(&self) -> String {
        match &self.id {
            Some(id) => id.to_string(),
            None => format!("{}-{}", self.client_idx, self.seq),
        }
    }

    pub fn operation_type(&self) -> OperationType {
        self.kind.operation_type()
    }

    /// Returns the blob that the operation writes, and the number of bytes that it writes of it.
    pub fn blob(&self) -> Option<(&Arc<Blob>, u64)> {
        match &self.kind {
            OperationKind::OnHandle(
                _,
                HandleOperation::Write { length, payload: Payload::Blob(blob), .. },
            ) => Some((blob, *length)),
            _ => None,
        }
    }

    /// Returns the memory that the operation takes, in bytes: its own, and what it alone
    /// points to. It does not include what others may point to as well, such as the bytes of a
    /// blob.
    pub fn memory_bytes(&self) -> usize {
        let expect = match &self.expect {
            Expect::Statuses(statuses) => shared_bytes(size_of_val(&**statuses)),
            Expect::Default | Expect::Any => 0,
        };
        let id = self.id.as_ref().map_or(0, |id| shared_bytes(id.len()));
        // The operations of a step share it, but it may have one only.
        let step = self.step.as_ref().map_or(0, |_| shared_bytes(size_of::<Step>()));
        size_of::<Operation>() + expect + id + step + self.kind.heap_bytes()
    }

    /// Returns the absolute due time in microseconds, the unit of version 1 documents.
    pub fn timestamp_us(&self) -> Option<u64> {
        self.due.at_ns().map(|ns| ns / 1_000)
    }
}

/// Returns the size of an `Arc` of so many bytes, with its two counts.
fn shared_bytes(bytes: usize) -> usize {
    bytes + 2 * size_of::<usize>()
}

impl OperationKind {
    fn heap_bytes(&self) -> usize {
        let string = |string: &str| shared_bytes(string.len());
        match self {
            OperationKind::Open(OpenOperation { path, extensions, .. }) => {
                let extensions = extensions.as_ref().map_or(0, |parameters| {
                    shared_bytes(size_of::<CreateParameters>()) + parameters.heap_bytes()
                });
                string(path.as_str()) + extensions
            }
            OperationKind::OnHandle(..) => 0,
            OperationKind::ByPath(operation) => {
                let pattern = match operation {
                    PathOperation::List { pattern, .. } => string(pattern),
                    _ => 0,
                };
                let (path, dest) = operation.paths();
                string(path.as_str()) + dest.map_or(0, |dest| string(dest.as_str())) + pattern
            }
        }
    }

    /// Returns whether the server may hold the operation back until another client does something.
    pub fn waits_for_others(&self) -> bool {
        use HandleOperation::Control;
        matches!(self, OperationKind::OnHandle(_, Control(FileControl::Lock { wait: true, .. })))
    }

    /// Returns the handle that the operation opens or uses. An operation by path has none.
    pub fn handle_ref(&self) -> Option<HandleRef> {
        match self {
            OperationKind::Open(open) => Some(open.handle_ref),
            OperationKind::OnHandle(handle_ref, _) => Some(*handle_ref),
            OperationKind::ByPath(_) => None,
        }
    }

    /// Returns the handle that the operation opens or uses, to be replaced.
    pub fn handle_ref_mut(&mut self) -> Option<&mut HandleRef> {
        match self {
            OperationKind::Open(open) => Some(&mut open.handle_ref),
            OperationKind::OnHandle(handle_ref, _) => Some(handle_ref),
            OperationKind::ByPath(_) => None,
        }
    }

    /// Returns the path that the operation names itself. An operation on a handle has none.
    pub fn path(&self) -> Option<&SharePath> {
        match self {
            OperationKind::Open(open) => Some(&open.path),
            OperationKind::OnHandle(..) => None,
            OperationKind::ByPath(operation) => Some(operation.paths().0),
        }
    }
}

impl OpenOperation {
    /// Returns the disposition that is sent: the parameters' own, or else that of the mode.
    pub fn sent_disposition(&self) -> CreateDisposition {
        let asked = self.extensions.as_ref().and_then(|parameters| parameters.disposition);
        asked.unwrap_or(self.disposition)
    }

    /// Returns the create options that are sent. A backend opens no directory unless they ask for
    /// one.
    pub fn sent_create_options(&self) -> u32 {
        let asked = self.extensions.as_ref().and_then(|parameters| parameters.create_options);
        asked.unwrap_or(FILE_NON_DIRECTORY_FILE)
    }
}

impl HandleOperation {
    /// Returns the operation on this handle.
    pub const fn on(self, handle_ref: HandleRef) -> OperationKind {
        OperationKind::OnHandle(handle_ref, self)
    }
}

impl FileControl {
    /// Returns the operation on this handle.
    pub const fn on(self, handle_ref: HandleRef) -> OperationKind {
        HandleOperation::Control(self).on(handle_ref)
    }
}

impl PathOperation {
    /// Returns the path of what the operation acts on, and the new path that a rename gives it.
    pub fn paths(&self) -> (&SharePath, Option<&SharePath>) {
        match self {
            PathOperation::Rename { source_path, dest_path, .. } => (source_path, Some(dest_path)),
            PathOperation::Delete { path }
            | PathOperation::Mkdir { path }
            | PathOperation::Rmdir { path }
            | PathOperation::Stat { path }
            | PathOperation::List { path, .. } => (path, None),
        }
    }
}

impl From<PathOperation> for OperationKind {
    fn from(operation: PathOperation) -> OperationKind {
        OperationKind::ByPath(operation)
    }
}

impl From<FileControl> for HandleOperation {
    fn from(control: FileControl) -> HandleOperation {
        HandleOperation::Control(control)
    }
}

impl From<OpenOperation> for OperationKind {
    fn from(open: OpenOperation) -> OperationKind {
        OperationKind::Open(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CreateContext;

    #[test]
    fn the_memory_of_an_operation_grows_with_all_it_points_to() {
        let path = |length: usize| SharePath::new(&"x".repeat(length)).unwrap();
        let close = Operation::new(0, 0, HandleOperation::Close.on(HandleRef(0)));
        let least = close.memory_bytes();
        assert_eq!(least, size_of::<Operation>());
        let expect = Expect::Statuses(vec![NtStatus::SUCCESS; 1_000].into());
        assert!(Operation { expect, ..close.clone() }.memory_bytes() >= least + 4_000);
        let id = Some("i".repeat(500).into());
        assert!(Operation { id, ..close.clone() }.memory_bytes() >= least + 500);
        let step = Some(Arc::new(Step { name: "save".into(), number: 0, outer: None }));
        assert!(Operation { step, ..close }.memory_bytes() > least);
        let (source_path, dest_path) = (path(100), path(50));
        let pattern = "*".repeat(70).into();
        let context = CreateContext { name: vec![0; 4], data: vec![0; 60_000] };
        let create_contexts = vec![context.clone(), context];
        let parameters = CreateParameters { create_contexts, ..CreateParameters::default() };
        let open = |extensions| {
            OperationKind::Open(OpenOperation {
                path: path(100),
                mode: OpenMode::Read,
                disposition: CreateDisposition::Open,
                handle_ref: HandleRef(0),
                extensions,
            })
        };
        for (kind, heap_bytes) in [
            (PathOperation::Stat { path: path(200) }.into(), 200),
            (PathOperation::Rename { source_path, dest_path, replace: true }.into(), 150),
            (PathOperation::List { path: path(80), pattern }.into(), 150),
            (open(None), 100),
            (open(Some(Arc::new(parameters))), 120_108),
        ] {
            let bytes = Operation::new(0, 0, kind.clone()).memory_bytes() - least;
            assert!(bytes >= heap_bytes && bytes < heap_bytes + 400, "{kind:?}: {bytes}");
        }
    }
}
