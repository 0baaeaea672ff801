//! Tests of workloads and modules in Lua: the test files that `smbench test` runs, and the native
//! parts of `@bench/test`.
//!
//! A test file runs in the sandbox of scripts, in a VM of its own. Its top level and the bodies of
//! `describe` collect the tests, and then each test runs, whatever became of the one before.

mod balance;
mod call_options;
mod calls;
mod equality;
mod natives;
mod operation_tables;
mod recording;
mod report;
mod snapshots;
mod state;
mod suite;
mod test_file;
mod text_diff;
mod value_text;

pub use report::{FileReport, Printed, SnapshotReport, TestFailure, TestOutcome, TestReport};
pub(super) use state::TestState;
pub use state::{TestOptions, WorkloadRun, WorkloadRunner};
pub use test_file::run_test_file;
