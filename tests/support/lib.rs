//! Real servers for tests: started on a free loopback port, in a folder of
//! their own, ended with the value that stands for them.
#![forbid(unsafe_code)]

mod proxy;
mod samba;

pub use proxy::Proxy;
pub use samba::{Samba, Settings};
