//! Documents, which are streams in files. Version 1 is the specification's frozen JSON,
//! version 2 is JSON Lines with one operation a line.
//!
//! [`load`] reads a document once, checks it whole and makes it a source; [`convert()`] turns one
//! version into the other and keeps keys that smbench does not know; each version has a writer.

mod checked;
mod convert;
mod duplicate_ids;
pub mod error;
pub mod format;
pub mod header;
pub(super) mod limits;
pub mod line;
mod line_fields;
mod load;
mod sink;
mod v1_reader;
mod v1_writer;
mod v2_reader;
mod v2_writer;
pub(super) mod validate;
pub mod warnings;
pub(super) mod writer;

pub use checked::{CheckedDocument, DocumentCursor, ReadBuffers};
pub use convert::convert;
pub use error::{DocumentError, WriteError};
pub use format::Format;
pub use load::{Document, LoadOptions, load, load_opened};
pub use v2_writer::Written;
