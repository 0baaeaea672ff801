//! `smbench test`

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::LimitArgs;
use super::flag_values::{positive_duration, whole_number};
use crate::run::MAX_THREADS;

/// Run the tests of workloads and modules
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        Test files are named NAME_test.lua, NAME.test.lua, or the same with .luau, and use \
        require(\"@bench/test\"). Directories are searched recursively, except those that are hidden, \
        named results or marked with CACHEDIR.TAG; links are not followed.\n\
        Exit codes: 0 all tests passed; 99 a test failed or did not run; 2 a file does not load, there is no \
        test, or bad usage; 130 interrupted; 1 internal error.")]
pub struct TestArgs {
    /// Test files, and directories to search [default: .]
    #[arg(value_name = "FILE|DIR")]
    pub paths: Vec<PathBuf>,

    /// Run only tests whose name contains this string
    ///
    /// The name of a test follows those of its groups: "mail > delivers once".
    #[arg(long, value_name = "STRING")]
    pub filter: Option<String>,

    /// Number of files tested at a time
    ///
    /// [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = whole_number::<u16>(1..=MAX_THREADS.into()))]
    pub jobs: Option<u16>,

    /// Longest time of one test
    ///
    /// It counts the CPU time of the Lua code and the wall time of its calls of test.run. On a busy
    /// host a test can therefore take longer. It applies to loading a test file, to a test with its
    /// before_each, and to all after_each of a test together.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub timeout: Duration,

    /// Overwrite snapshots that differ
    #[arg(long)]
    pub update: bool,

    /// Write the results as a JUnit XML file too
    #[arg(long, value_name = "FILE", value_parser = junit_file)]
    pub junit: Option<PathBuf>,

    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Parses the path of a JUnit file. A forgotten value would make a test file the next word.
fn junit_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match text == "-" || ["lua", "luau"].contains(&extension.as_str()) {
        true => Err("expected the name of a file for the results, such as results.xml".into()),
        false => Ok(path),
    }
}

impl TestArgs {
    pub(super) fn jobs(&self) -> Option<NonZero<usize>> {
        self.jobs.and_then(|jobs| NonZero::new(usize::from(jobs)))
    }
}

/// Returns whether this is a CI system, by its variable `CI`.
pub(super) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}
