//! The command line: definitions, checks of what was typed, and printing.

mod args;
mod breaks;
mod command;
mod compile;
mod execute;
mod figures;
mod metrics;
mod output;
mod parameters;
mod password;
mod report;
mod run;
mod style;
mod table;
mod thresholds;
mod validate;
mod value;
mod verdict;

pub use args::{BoundArgs, LogFormat, Logging, StreamArgs};
pub use command::{Cli, Command};
pub use compile::{CompileArgs, CompileTo};
pub use execute::execute;
pub use output::{print, tell};
pub use parameters::render_parameters;
pub use password::{PasswordError, password};
pub use report::render;
pub use run::RunArgs;
pub use style::Style;
pub use validate::ValidateArgs;
pub use value::{ClientCount, Input};
