//! Parts that several test binaries use: real servers, and the schemas that check what smbench
//! writes. A server listens on a free loopback port, has its own directory, and ends when its value
//! is dropped.
#![forbid(unsafe_code)]

mod git_origin;
mod git_server;
mod proxy;
mod samba;
mod schema;

pub use git_origin::GitOrigin;
pub use git_server::GitServer;
pub use proxy::Proxy;
pub use samba::{Samba, Settings};
pub use schema::Format;
