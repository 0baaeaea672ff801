//! The command line: definitions, checks of what was typed, and printing.

mod args;
mod breaks;
mod command;
mod compile;
mod execute;
mod failures;
mod figures;
mod log;
mod metrics;
mod output;
mod parameters;
mod password;
mod probe;
mod report;
mod run;
mod style;
mod table;
mod targets;
mod thresholds;
mod validate;
mod value;
mod verdict;

pub use args::{BoundArgs, LogFormat, Logging, StreamArgs};
pub use command::{Cli, Command};
pub use compile::{CompileArgs, CompileTo};
pub use execute::execute;
pub use output::print;
pub use parameters::render_parameters;
pub use password::{PasswordError, password};
pub use probe::{render_probe, render_targets};
pub use report::render;
pub use run::RunArgs;
pub use style::Style;
pub use targets::{ListArgs, ProbeArgs, TargetsArgs, TargetsCommand};
pub use validate::ValidateArgs;
pub use value::{ClientCount, Input};
