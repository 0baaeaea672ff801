//! The backends against real servers: Samba, and the embedded one.

mod breaks;
mod caching;
mod connecting;
mod embedded;
mod hostile;
mod losses;
mod operations;
mod start;
