//! Documents, which are streams in files. Version 1 is the specification's frozen JSON,
//! version 2 is JSON Lines with one operation a line.
//!
//! [`load`] reads a document once, checks it whole and makes it a source;
//! [`convert`] turns one version into the other without losing what smbench
//! itself does not know; [`writer`] writes both.

pub mod convert;
pub mod error;
mod intake;
pub mod line;
mod load;
mod shape;
mod unique;
mod v1;
pub mod v2;
pub(super) mod validate;
pub mod warnings;
pub mod writer;
mod writer_v1;

pub use error::DocumentError;
pub use load::{Document, LoadOptions, load};
