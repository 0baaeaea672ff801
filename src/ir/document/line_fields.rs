//! The fields that an operation of a document must have, and those it may have.

use super::error::Problem;
use super::format::Format;
use super::line::DocumentLine;
use crate::ir::operation::OperationType::{self, *};

macro_rules! fields {
    ($($constant:ident $field:ident,)*) => {
        fields!(@bits 0; $($constant,)*);
        const NAMES: &[&str] = &[$(stringify!($field)),*];

        fn present(line: &DocumentLine<'_>) -> u32 {
            let mut bits = 0;
            $(if line.$field.is_some() { bits |= $constant; })*
            bits
        }
    };
    (@bits $bit:expr; $constant:ident, $($rest:ident,)*) => {
        const $constant: u32 = 1 << ($bit);
        fields!(@bits $bit + 1; $($rest,)*);
    };
    (@bits $bit:expr;) => {};
}

fields! {
    OP_ID op_id, CLIENT_ID client_id, TIMESTAMP_US timestamp_us, CLIENT client,
    SECTION section, ITERATION iteration, AT_NS at_ns, AFTER_NS after_ns, LATE late,
    FROM_NS from_ns, UNTIL_NS until_ns, PATH path, MODE mode,
    DISPOSITION disposition, HANDLE_REF handle_ref, OFFSET offset, LENGTH length,
    PAYLOAD payload, BLOB_PATH blob_path, SOURCE_PATH source_path, DEST_PATH dest_path,
    REPLACE replace, PATTERN pattern, SIZE size, EXCLUSIVE exclusive, WAIT wait,
    EXPECT expect, EXTENSIONS extensions,
}

/// The fields that must be present and those that may be, one bit each.
struct Shape {
    required: u32,
    optional: u32,
}

/// Returns the shape of a type; none if version 1 has no such type.
fn shape_v1(operation: OperationType) -> Option<Shape> {
    let (required, optional) = match operation {
        Open => (PATH | MODE | HANDLE_REF, EXTENSIONS),
        Read => (HANDLE_REF | OFFSET | LENGTH, 0),
        Write => (HANDLE_REF | OFFSET | LENGTH | BLOB_PATH, 0),
        Close => (HANDLE_REF, 0),
        Rename => (SOURCE_PATH | DEST_PATH, 0),
        Delete => (PATH, 0),
        _ => return None,
    };
    Some(Shape { required: required | OP_ID | CLIENT_ID | TIMESTAMP_US, optional })
}

fn shape_v2(operation: OperationType) -> Shape {
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
    Shape { required: required | CLIENT, optional: optional | anywhere }
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
    let shape = match format {
        Format::V1 => match shape_v1(operation) {
            Some(shape) => shape,
            None => return Ok(None),
        },
        Format::V2 => shape_v2(operation),
    };
    let kind = operation.document_name();
    let present = present(line);
    let allowed = shape.required | shape.optional;
    if let Some(field) = names(shape.required & !present).next() {
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
    shape_v1(operation).is_some()
}
