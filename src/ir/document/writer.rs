//! The choice of the writer for a version of the format.

use std::io::Write;

use super::document_writer::DocumentWriter;
use super::error::WriteError;
use super::format::Format;
use super::header::Header;
use super::v1_writer::V1Writer;
use super::v2_writer::V2Writer;

/// Creates a writer, which writes its header at once or as soon as it can.
///
/// # Errors
/// [`WriteError::Io`].
pub(in crate::ir) fn document_writer<'w>(
    format: Format,
    header: &Header,
    out: impl Write + 'w,
) -> Result<Box<dyn DocumentWriter + 'w>, WriteError> {
    Ok(match format {
        Format::V1 => Box::new(V1Writer::new(header, out)?),
        Format::V2 => Box::new(V2Writer::new(header, out)?),
    })
}
