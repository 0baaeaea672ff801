//! Parts that several test binaries use: real servers, started on a free loopback port in a
//! directory of their own and ended with the value that stands for them, and the schemas that
//! what smbench writes is held against.
#![forbid(unsafe_code)]

mod proxy;
mod samba;
mod schema;

pub use proxy::Proxy;
pub use samba::{Samba, Settings};
pub use schema::Format;
