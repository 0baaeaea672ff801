//! The operation that first showed what a path is.

use std::fmt;
use std::sync::Arc;

use crate::ir::operation::{Operation, OperationType};

/// The place of an operation in the stream, in less memory than the operation takes.
#[derive(Clone, Debug)]
pub(super) struct FirstUse {
    client_idx: u32,
    seq: u32,
    id: Option<Arc<str>>,
    operation_type: OperationType,
}

impl FirstUse {
    pub fn of(operation: &Operation) -> FirstUse {
        FirstUse {
            client_idx: operation.client_idx,
            seq: operation.seq,
            id: operation.id.clone(),
            operation_type: operation.operation_type(),
        }
    }
}

impl fmt::Display for FirstUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.operation_type.document_name())?;
        match &self.id {
            Some(id) => f.write_str(id),
            None => write!(f, "{}-{}", self.client_idx, self.seq),
        }
    }
}
