//! The fields that an operation of a document must have, and those it may have.

use super::error::Problem;
use super::format::Format;
use super::line::DocumentLine;
use super::line::field::*;
use crate::ir::operation::OperationType::{self, *};

/// The fields that must be present and those that may be, one bit each.
struct FieldSet {
    required: u32,
    optional: u32,
}

/// Returns the fields of a type; none if version 1 has no such type.
fn fields_v1(operation: OperationType) -> Option<FieldSet> {
    let (required, optional) = match operation {
        Open => (PATH | MODE | HANDLE_REF, EXTENSIONS),
        Read => (HANDLE_REF | OFFSET | LENGTH, 0),
        Write => (HANDLE_REF | OFFSET | LENGTH | BLOB_PATH, 0),
        Close => (HANDLE_REF, 0),
        Rename => (SOURCE_PATH | DEST_PATH, 0),
        Delete => (PATH, 0),
        _ => return None,
    };
    Some(FieldSet { required: required | OP_ID | CLIENT_ID | TIMESTAMP_US, optional })
}

fn fields_v2(operation: OperationType) -> FieldSet {
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
    let times = AT_NS | AFTER_NS | LATE | FROM_NS | UNTIL_NS;
    let anywhere = OP_ID | SECTION | ITERATION | EXPECT | times;
    FieldSet { required: required | CLIENT, optional: optional | anywhere }
}

/// Checks which fields a line has. Returns the type of its operation; none if this version of
/// the format has no such type.
///
/// # Errors
/// [`Problem::MissingField`], [`Problem::UnknownField`], [`Problem::NoTime`],
/// [`Problem::LateAlone`], [`Problem::HalfATime`], [`Problem::OneOf`].
pub(super) fn check(
    line: &DocumentLine<'_>,
    format: Format,
) -> Result<Option<OperationType>, Problem> {
    let Some(operation) = line.operation_type() else { return Ok(None) };
    let fields = match format {
        Format::V1 => match fields_v1(operation) {
            Some(fields) => fields,
            None => return Ok(None),
        },
        Format::V2 => fields_v2(operation),
    };
    let kind = operation.document_name();
    let present = line.present();
    let allowed = fields.required | fields.optional;
    if let Some(field) = names(fields.required & !present).next() {
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
        let (arrival, during) = (AT_NS | AFTER_NS, FROM_NS | UNTIL_NS);
        if present & LATE != 0 && present & arrival != arrival {
            return Err(Problem::LateAlone);
        }
        let times = present & (arrival | during);
        if times & during != 0 && times != AFTER_NS | during {
            return Err(Problem::HalfATime);
        }
        if operation == Write {
            exactly_one(kind, present, PAYLOAD, BLOB_PATH)?;
        }
    }
    Ok(Some(operation))
}

fn exactly_one(kind: &'static str, present: u32, left: u32, right: u32) -> Result<(), Problem> {
    match (present & left != 0) != (present & right != 0) {
        true => Ok(()),
        false => Err(Problem::OneOf { kind, left: name(left), right: name(right) }),
    }
}

fn name(bit: u32) -> &'static str {
    names(bit).next().unwrap_or_default()
}

fn names(bits: u32) -> impl Iterator<Item = &'static str> {
    NAMES.iter().enumerate().filter(move |(i, _)| bits & (1 << i) != 0).map(|(_, name)| *name)
}

pub(super) fn in_version_1(operation: OperationType) -> bool {
    fields_v1(operation).is_some()
}
