//! The oddities of a document that can be used all the same.

use std::fmt;

use crate::protocol::shortened as shortened_to;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A key under `extensions` that is not known. It is kept, not used.
    UnknownExtension { key: String, nearest: String, count: u64, first_op_id: String },
    /// Handles without a Close, which are closed at the end. Those whose Open is expected to
    /// fail are not counted.
    NeverClosed { count: u64 },
    /// A `client_count` of a version 1 document that is not the number of its clients.
    ClientCount { stated: u64, listed: u64 },
    /// A wrong `operation_count` of clients of a version 1 document; the first of them is named.
    OperationCount { clients: u64, first: String, stated: u64, found: u64 },
    /// Clients that have no operation; the first of them is named.
    Idle { clients: u64, first: String },
    /// Operations whose hash is not the one in the last line.
    Edited,
}

impl Warning {
    /// Returns whether `--strict` makes the warning an error. Handles left open and clients
    /// that do nothing are how captures end, not a mistake in a document.
    pub fn is_error_if_strict(&self) -> bool {
        !matches!(self, Warning::NeverClosed { .. } | Warning::Idle { .. })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownExtension { key, nearest, count, first_op_id } => write!(
                f,
                "{key} is not known and has no effect; nearest is {nearest:?} ({}, first {first_op_id:?})",
                counted(*count, "operation")
            ),
            Warning::NeverClosed { count: 1 } => {
                f.write_str("1 handle is never closed; it is closed at the end")
            }
            Warning::NeverClosed { count } => {
                write!(f, "{count} handles are never closed; they are closed at the end")
            }
            Warning::ClientCount { stated, listed } => {
                let are = if *listed == 1 { "is" } else { "are" };
                let listed = counted(*listed, "client");
                write!(f, "metadata states client_count {stated}, but {listed} {are} listed")
            }
            Warning::OperationCount { clients: 1, first, stated, found } => {
                write!(f, "operation_count is wrong for {first:?}: it states {stated}, but the client has {found}")
            }
            Warning::OperationCount { clients, first, stated, found } => write!(
                f,
                "operation_count is wrong for {clients} clients: the first, {first:?}, states {stated}, but has {found}"
            ),
            Warning::Idle { clients: 1, first } => {
                write!(f, "client {first:?} has no operation and is not connected")
            }
            Warning::Idle { clients, first } => write!(
                f,
                "{clients} clients have no operation and are not connected, the first of them {first:?}"
            ),
            Warning::Edited => f.write_str(
                "was edited after it was written: the operations do not have the ir_hash of the last line",
            ),
        }
    }
}

pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The warnings of one document. Those for the same key are counted, not repeated.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    pub all: Vec<Warning>,
}

/// The number of different keys that are named, because a hostile document could have any number.
const NAMED: usize = 64;

impl Warnings {
    pub fn add(&mut self, warning: Warning) {
        self.all.push(warning);
    }

    pub fn unknown_extension(&mut self, name: &str, nearest: &str, op_id: &str) {
        let name = shortened(name);
        for warning in &mut self.all {
            if let Warning::UnknownExtension { key, count, .. } = warning
                && (*key == name)
            {
                *count += 1;
                return;
            }
        }
        if self.all.len() < NAMED {
            let (nearest, first_op_id) = (nearest.to_string(), shortened(op_id));
            self.add(Warning::UnknownExtension { key: name, nearest, count: 1, first_op_id });
        }
    }
}

/// Returns enough of a hostile string to recognise it by.
pub(super) fn shortened(text: &str) -> String {
    shortened_to(text, 80)
}
