//! The fields that an operation of a document must have, and those it may have.

use super::error::Problem;
use super::format::Format;
use super::line::DocumentLine;
use super::line::field::*;
use crate::ir::operation::OperationType::{self, *};

/// Returns the fields that a type must have and those that it may have, one bit each; none if
/// version 1 has no such type.
fn fields_v1(operation: OperationType) -> Option<(u32, u32)> {
    let (required, optional) = match operation {
        Open => (PATH | MODE | HANDLE_REF, EXTENSIONS),
        Read => (HANDLE_REF | OFFSET | LENGTH, 0),
        Write => (HANDLE_REF | OFFSET | LENGTH | BLOB_PATH, 0),
        Close => (HANDLE_REF, 0),
        Rename => (SOURCE_PATH | DEST_PATH, 0),
        Delete => (PATH, 0),
        _ => return None,
    };
    Some((required | OP_ID | CLIENT_ID | TIMESTAMP_US, optional))
}

fn fields_v2(operation: OperationType) -> (u32, u32) {
    let (required, optional) = match operation {
        Open => (PATH | MODE | HANDLE_REF, DISPOSITION | EXTENSIONS),
        Read | Unlock => (HANDLE_REF | OFFSET | LENGTH, 0),
        Write => (HANDLE_REF | OFFSET | LENGTH, PAYLOAD | BLOB_PATH),
        Close | Flush => (HANDLE_REF, 0),
        Rename => (SOURCE_PATH | DEST_PATH | REPLACE, 0),
        Delete | Mkdir | Rmdir | Stat => (PATH, 0),
        List => (PATH | PATTERN, 0),
        Truncate => (HANDLE_REF | SIZE, 0),
        Lock => (HANDLE_REF | OFFSET | LENGTH | EXCLUSIVE | WAIT, 0),
    };
    let anywhere = OP_ID | SECTION | ITERATION | EXPECT | STEP | AT_NS | AFTER_NS | LATE;
    (required | CLIENT, optional | anywhere)
}

/// Checks which fields a line has. Returns the type of its operation; none if this version of
/// the format has no such type.
///
/// # Errors
/// [`Problem::MissingField`], [`Problem::UnknownField`], [`Problem::NoTime`],
/// [`Problem::LateAlone`], [`Problem::OneOf`].
pub(super) fn check(
    line: &DocumentLine<'_>,
    format: Format,
) -> Result<Option<OperationType>, Problem> {
    let Some(operation) = line.operation_type() else { return Ok(None) };
    let fields = match format {
        Format::V1 => fields_v1(operation),
        Format::V2 => Some(fields_v2(operation)),
    };
    let Some((required, optional)) = fields else { return Ok(None) };
    let kind = operation.document_name();
    let present = line.present();
    let allowed = required | optional;
    if let Some(field) = names(required & !present).next() {
        return Err(Problem::MissingField { kind, field });
    }
    let foreign = names(present & !allowed).next();
    if let Some(field) = foreign.or(line.unknown.keys().next().map(String::as_str)) {
        let field = field.chars().take(60).collect();
        let known = names(allowed).collect::<Vec<_>>().join(", ");
        return Err(Problem::UnknownField { kind, field, known });
    }
    if format == Format::V2 {
        if present & (AT_NS | AFTER_NS) == 0 {
            return Err(Problem::NoTime { kind });
        }
        let arrival = AT_NS | AFTER_NS;
        if present & LATE != 0 && present & arrival != arrival {
            return Err(Problem::LateAlone);
        }
        if operation == Write && (present & PAYLOAD != 0) == (present & BLOB_PATH != 0) {
            return Err(Problem::OneOf { kind, left: "payload", right: "blob_path" });
        }
    }
    Ok(Some(operation))
}

fn names(bits: u32) -> impl Iterator<Item = &'static str> {
    NAMES.iter().enumerate().filter(move |(i, _)| bits & (1 << i) != 0).map(|(_, name)| *name)
}

pub(super) fn in_version_1(operation: OperationType) -> bool {
    fields_v1(operation).is_some()
}
