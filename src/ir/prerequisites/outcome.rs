//! The end of an operation, as far as its `expect` describes it.

use crate::ir::operation::{Expect, Operation, OperationType};
use crate::protocol::NtStatus;

/// The kind of what is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Either,
    File,
    Directory,
}

/// The end of an operation that its `expect` describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeds,
    /// It may as well find nothing.
    MayBeMissing,
    /// It finds no such name in a directory that exists.
    NameIsMissing,
    /// It fails because of what exists at the path.
    FailsOn(NodeKind),
    /// It fails for a reason that needs nothing.
    Fails,
}

/// Returns the end that the operation expects.
pub(super) fn outcome(operation: &Operation) -> Outcome {
    let statuses = match &operation.expect {
        Expect::Default => return Outcome::Succeeds,
        Expect::Any => return Outcome::MayBeMissing,
        Expect::Statuses(statuses) => statuses,
    };
    // A listing answers NO_SUCH_FILE if the directory exists and no name matches.
    let lists = operation.operation_type() == OperationType::List;
    let names_nothing = |status: &NtStatus| {
        *status == NtStatus::OBJECT_NAME_NOT_FOUND || (*status == NtStatus::NO_SUCH_FILE && !lists)
    };
    let is_missing = |status: &NtStatus| {
        names_nothing(status)
            || matches!(*status, NtStatus::OBJECT_PATH_NOT_FOUND | NtStatus::NOT_FOUND)
    };
    let some_missing = statuses.iter().any(is_missing);
    if statuses.contains(&NtStatus::SUCCESS) {
        return if some_missing { Outcome::MayBeMissing } else { Outcome::Succeeds };
    }
    if some_missing {
        let by_name = statuses.iter().all(names_nothing);
        return if by_name { Outcome::NameIsMissing } else { Outcome::Fails };
    }
    let of = |status: &NtStatus| match *status {
        NtStatus::FILE_IS_A_DIRECTORY | NtStatus::DIRECTORY_NOT_EMPTY => Some(NodeKind::Directory),
        NtStatus::NOT_A_DIRECTORY => Some(NodeKind::File),
        NtStatus::OBJECT_NAME_COLLISION | NtStatus::SHARING_VIOLATION => Some(NodeKind::Either),
        NtStatus::NO_SUCH_FILE => Some(NodeKind::Directory),
        _ => None,
    };
    statuses.iter().find_map(of).map_or(Outcome::Fails, Outcome::FailsOn)
}
