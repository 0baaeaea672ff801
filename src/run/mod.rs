//! The commands' work, put together from all other modules: [`run`], [`compile`], [`probe`] and
//! [`serve`].

mod compile;
mod error;
mod hooks;
mod input;
mod lifecycle;
mod mode;
mod options;
mod phases;
mod probe;
mod processors;
mod serve;
mod shards;
mod signals;
mod stage_display;
mod threshold_checks;

pub use compile::{Compiled, Destination, compile};
pub use error::RunError;
pub use input::{DocumentMultiple, Input, Stream};
pub use lifecycle::{RunOutcome, run};
pub use options::{HookErrorPolicy, MAX_THREADS, RunOptions, Timeouts};
pub use probe::{ProbeOptions, probe};
pub use serve::{ServeOptions, serve};
pub use signals::survive_file_size_limit;
