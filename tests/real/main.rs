//! The backends against real servers: Samba, and the embedded one.

mod connecting;
mod embedded;
mod losses;
mod operations;
mod start;
