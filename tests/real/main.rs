//! Tests of the backends against real servers: Samba, and the embedded one.

mod answers;
mod breaks;
mod caching;
mod connecting;
mod downgrade;
mod embedded;
mod exhaustion;
mod hostile;
mod losses;
mod operations;
mod reloads;
mod start;
