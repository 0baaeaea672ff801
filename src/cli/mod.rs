//! The command line: definitions, checks of what was typed, and printing.

mod args;
mod breaks;
mod command;
mod compile;
mod completions;
mod definitions;
mod execute;
mod failures;
mod flag_values;
mod input_path;
mod log;
mod manual;
mod metrics;
mod nearby_files;
mod new;
mod number_format;
mod operation_tables;
mod parameters;
mod parsing;
mod password;
mod probe;
mod report;
mod run;
mod serve;
mod standard_output;
mod style;
mod table;
mod targets;
mod thresholds;
mod typed_line;
mod usage_errors;
mod validate;
mod verdict;

pub use command::Cli;
pub use execute::execute;
pub use log::exit_with;
