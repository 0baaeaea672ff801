//! A programmable, trustworthy workload engine for SMB file servers.
//!
//! A Lua script (or a document) becomes a stream of typed operations ([`ir`]), which stages may
//! change ([`transform`]). The [`scheduler`] issues each operation when it is due, in order within
//! a client, through a [`backend`], and [`observability`] counts every completion. [`probe`] finds
//! out, case by case, what a server does.
//!
//! A module imports only from the layers below it:
//! `cli` > `run` > `script`, `probe`, `scheduler` > `library` > `backend`, `observability`, `project`,
//! `transform` > `ir` > `protocol`.
//! Modules of one layer do not import one another.
#![forbid(unsafe_code)]
// All output goes through `cli::print` or `observability::standard_error`.
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
pub mod library;
#[cfg(unix)]
pub mod observability;
#[cfg(unix)]
pub mod probe;
#[cfg(unix)]
pub mod project;
#[cfg(unix)]
pub mod protocol;
#[cfg(unix)]
pub mod run;
#[cfg(unix)]
pub mod scheduler;
#[cfg(unix)]
pub mod script;
#[cfg(unix)]
pub mod transform;
