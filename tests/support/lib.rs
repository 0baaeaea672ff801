//! Real servers for tests. Each is started on a free loopback port, in a directory of its own, and
//! ends when its value is dropped.
#![forbid(unsafe_code)]

mod proxy;
mod samba;

pub use proxy::Proxy;
pub use samba::{Samba, Settings};
