//! One operation of the stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::due::Due;
use super::payload::Payload;
use crate::protocol::{CreateParameters, NtStatus, SharePath};

/// The most bytes one read or write may carry; more is refused when the stream is made.
pub const MAX_IO_BYTES: u64 = 64 << 20;
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
    pub kind: OperationKind,
}

/// The part of a client's life an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Section {
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OperationKind {
    Open {
        path: SharePath,
        mode: OpenMode,
        /// The disposition. The default is `Open` for r, `OverwriteIf` for Lua's w, and
        /// `OpenIf` for rw and for version 1 documents that write.
        disposition: crate::protocol::create::CreateDisposition,
        handle_ref: HandleRef,
        /// The parameters of a stream that asks for more than the mode (fidelity mode 1 and up).
        extensions: Option<Arc<CreateParameters>>,
    },
    Read {
        handle_ref: HandleRef,
        offset: u64,
        length: u64,
    },
    Write {
        handle_ref: HandleRef,
        offset: u64,
        length: u64,
        payload: Payload,
    },
    Close {
        handle_ref: HandleRef,
    },
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
    Truncate {
        handle_ref: HandleRef,
        size: u64,
    },
    Flush {
        handle_ref: HandleRef,
    },
    /// A byte-range lock. With `wait` it blocks until granted instead of failing with
    /// STATUS_LOCK_NOT_GRANTED.
    Lock {
        handle_ref: HandleRef,
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    },
    Unlock {
        handle_ref: HandleRef,
        offset: u64,
        length: u64,
    },
}

/// The kind of an operation without its fields; the key of every per-operation figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OperationType {
    Open,
    Read,
    Write,
    Close,
    Rename,
    Delete,
    Mkdir,
    Rmdir,
    Stat,
    List,
    Truncate,
    Flush,
    Lock,
    Unlock,
}

impl OperationType {
    pub const ALL: [OperationType; 14] = [
        OperationType::Open,
        OperationType::Read,
        OperationType::Write,
        OperationType::Close,
        OperationType::Rename,
        OperationType::Delete,
        OperationType::Mkdir,
        OperationType::Rmdir,
        OperationType::Stat,
        OperationType::List,
        OperationType::Truncate,
        OperationType::Flush,
        OperationType::Lock,
        OperationType::Unlock,
    ];

    /// Returns the name in lower case, as reports and filters write it.
    pub fn name(self) -> &'static str {
        match self {
            OperationType::Open => "open",
            OperationType::Read => "read",
            OperationType::Write => "write",
            OperationType::Close => "close",
            OperationType::Rename => "rename",
            OperationType::Delete => "delete",
            OperationType::Mkdir => "mkdir",
            OperationType::Rmdir => "rmdir",
            OperationType::Stat => "stat",
            OperationType::List => "list",
            OperationType::Truncate => "truncate",
            OperationType::Flush => "flush",
            OperationType::Lock => "lock",
            OperationType::Unlock => "unlock",
        }
    }
}

impl Operation {
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

    /// Returns the memory that the operation takes, in bytes: its own, and what it alone
    /// points to. It does not include what others may point to as well, such as the bytes of a
    /// blob.
    pub fn memory_bytes(&self) -> usize {
        let expect = match &self.expect {
            Expect::Statuses(statuses) => shared_bytes(size_of_val(&**statuses)),
            Expect::Default | Expect::Any => 0,
        };
        let id = self.id.as_ref().map_or(0, |id| shared_bytes(id.len()));
        size_of::<Operation>() + expect + id + self.kind.heap_bytes()
    }

    /// Returns the absolute due time in microseconds, as the specification has it.
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
        let text = |text: &str| shared_bytes(text.len());
        match self {
            OperationKind::Open { path, extensions, .. } => {
                let extensions = extensions.as_ref().map_or(0, |parameters| {
                    shared_bytes(size_of::<CreateParameters>()) + parameters.heap_bytes()
                });
                text(path.as_str()) + extensions
            }
            OperationKind::Rename { source_path, dest_path, .. } => {
                text(source_path.as_str()) + text(dest_path.as_str())
            }
            OperationKind::List { path, pattern } => text(path.as_str()) + text(pattern),
            kind => kind.path().map_or(0, |path| text(path.as_str())),
        }
    }

    pub fn operation_type(&self) -> OperationType {
        match self {
            OperationKind::Open { .. } => OperationType::Open,
            OperationKind::Read { .. } => OperationType::Read,
            OperationKind::Write { .. } => OperationType::Write,
            OperationKind::Close { .. } => OperationType::Close,
            OperationKind::Rename { .. } => OperationType::Rename,
            OperationKind::Delete { .. } => OperationType::Delete,
            OperationKind::Mkdir { .. } => OperationType::Mkdir,
            OperationKind::Rmdir { .. } => OperationType::Rmdir,
            OperationKind::Stat { .. } => OperationType::Stat,
            OperationKind::List { .. } => OperationType::List,
            OperationKind::Truncate { .. } => OperationType::Truncate,
            OperationKind::Flush { .. } => OperationType::Flush,
            OperationKind::Lock { .. } => OperationType::Lock,
            OperationKind::Unlock { .. } => OperationType::Unlock,
        }
    }

    /// Returns whether the server may hold the operation back until another client does something.
    pub fn waits_for_others(&self) -> bool {
        matches!(self, OperationKind::Lock { wait: true, .. })
    }

    pub fn handle_ref(&self) -> Option<HandleRef> {
        match *self {
            OperationKind::Open { handle_ref, .. }
            | OperationKind::Read { handle_ref, .. }
            | OperationKind::Write { handle_ref, .. }
            | OperationKind::Close { handle_ref }
            | OperationKind::Truncate { handle_ref, .. }
            | OperationKind::Flush { handle_ref }
            | OperationKind::Lock { handle_ref, .. }
            | OperationKind::Unlock { handle_ref, .. } => Some(handle_ref),
            _ => None,
        }
    }

    /// Returns the path that the operation names itself. An operation on a handle has none.
    pub fn path(&self) -> Option<&SharePath> {
        match self {
            OperationKind::Open { path, .. }
            | OperationKind::Delete { path }
            | OperationKind::Mkdir { path }
            | OperationKind::Rmdir { path }
            | OperationKind::Stat { path }
            | OperationKind::List { path, .. } => Some(path),
            OperationKind::Rename { source_path, .. } => Some(source_path),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CreateContext;

    fn operation(kind: OperationKind) -> Operation {
        Operation {
            client_idx: 0,
            seq: 0,
            due: Due::After(0),
            section: Section::Iteration,
            iteration: 0,
            expect: Expect::Default,
            id: None,
            kind,
        }
    }

    #[test]
    fn the_memory_of_an_operation_grows_with_all_it_points_to() {
        let path = |length: usize| SharePath::new(&"x".repeat(length)).unwrap();
        let close = operation(OperationKind::Close { handle_ref: HandleRef(0) });
        let least = close.memory_bytes();
        assert_eq!(least, size_of::<Operation>());
        let expect = Expect::Statuses(vec![NtStatus::SUCCESS; 1_000].into());
        assert!(Operation { expect, ..close.clone() }.memory_bytes() >= least + 4_000);
        let id = Some("i".repeat(500).into());
        assert!(Operation { id, ..close }.memory_bytes() >= least + 500);
        let (source_path, dest_path) = (path(100), path(50));
        let pattern = "*".repeat(70).into();
        let context = CreateContext { name: vec![0; 4], data: vec![0; 60_000] };
        let create_contexts = vec![context.clone(), context];
        let parameters = CreateParameters { create_contexts, ..CreateParameters::default() };
        let open = |extensions| OperationKind::Open {
            path: path(100),
            mode: OpenMode::Read,
            disposition: crate::protocol::create::CreateDisposition::Open,
            handle_ref: HandleRef(0),
            extensions,
        };
        for (kind, heap_bytes) in [
            (OperationKind::Stat { path: path(200) }, 200),
            (OperationKind::Rename { source_path, dest_path, replace: true }, 150),
            (OperationKind::List { path: path(80), pattern }, 150),
            (open(None), 100),
            (open(Some(Arc::new(parameters))), 120_108),
        ] {
            let bytes = operation(kind.clone()).memory_bytes() - least;
            assert!(bytes >= heap_bytes && bytes < heap_bytes + 400, "{kind:?}: {bytes}");
        }
    }
}
