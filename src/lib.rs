//! A programmable, trustworthy workload engine for SMB file servers.
//!
//! A Lua script (or a document) becomes a stream of typed operations ([`ir`]);
//! the [`scheduler`] issues each when it is due, in order within a client,
//! through a [`backend`]; every completion is counted by [`observability`].
//! [`probe`] asks a server, case by case, what it does.
//!
//! A module imports only what stands below it:
//! `cli` > `run` > `script` > `scheduler` > `probe` > `backend` > `observability` > `ir` > `protocol`.
#![forbid(unsafe_code)]
// What is written goes through `cli::print` or `observability::standard_error`.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

pub mod backend;
pub mod cli;
pub mod ir;
pub mod observability;
pub mod probe;
pub mod protocol;
pub mod run;
pub mod scheduler;
pub mod script;
