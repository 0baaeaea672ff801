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

#[cfg(not(unix))]
compile_error!(
    "smbench runs on Unix only; on Windows build and run it in WSL2 (https://learn.microsoft.com/windows/wsl/install)"
);

#[cfg(unix)]
pub mod backend;
#[cfg(unix)]
pub mod cli;
#[cfg(unix)]
pub mod ir;
#[cfg(unix)]
pub mod observability;
#[cfg(unix)]
pub mod probe;
#[cfg(unix)]
pub mod protocol;
#[cfg(unix)]
pub mod run;
#[cfg(unix)]
pub mod scheduler;
#[cfg(unix)]
pub mod script;
