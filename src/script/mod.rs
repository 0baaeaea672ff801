//! Scripts: Lua (Luau) that describes the operations of each client. A script runs in a sandbox and
//! is asked for the operations of one client at a time, as far as they are needed.
//!
//! A script never sees a result. The same script, modules, parameters and seed give the same
//! operations, whatever the size of the batches they are asked in.

mod api;
mod arrivals;
mod blobs;
mod boundary;
mod checked_sections;
mod chunks;
mod client;
mod compared_clients;
mod computing_time;
mod coroutines;
mod declared;
mod error;
mod file_cache;
mod given_parameters;
mod handles;
pub mod hooks;
mod host;
mod json_tables;
mod location;
mod lua_errors;
mod mapping;
mod members;
mod open_loop;
mod operation_memory;
mod options;
mod order_check;
mod pace;
mod parameter_file;
mod parameter_names;
mod printing;
mod project;
mod project_files;
mod read_files;
mod ready_workloads;
mod require;
mod result_hints;
mod sandbox;
mod shared_state_check;
mod source;
mod steps;
mod stream_hash;
mod stream_plan;
mod streams;
mod test_bounds;
pub mod testing;
mod values;
mod vm;
mod weights;
mod zipf;

pub use checked_sections::{CheckedSection, extent};
pub use declared::ParameterHelp;
pub use error::ScriptError;
pub use file_cache::FileCache;
pub use given_parameters::GivenParameter;
pub use hooks::{HookTap, Hooks};
pub use location::ScriptLocation;
pub use options::{ClientsOverride, ProfileParameter, Reload, ScriptLimits, ScriptOptions};
pub use order_check::check_order;
pub use parameter_file::ParameterFile;
pub use read_files::ReadFiles;
pub use ready_workloads::{READY_WORKLOADS, ReadyWorkload};
pub use shared_state_check::{CheckError, Compared, Depth, check};
pub use source::{ExplainedParameter, Script, describe, parameter_values};
pub use test_bounds::{TestBounds, TestEnd};

#[cfg(test)]
mod tests;
