//! The commands' work, put together from all other modules: [`run`], [`compile`], [`scan`],
//! [`probe`], [`serve`], [`test()`], and what `smbench lib` does.

mod candidate;
mod clean;
mod compile;
mod destination;
mod directory_events;
mod error;
mod file_watch;
mod hooks;
mod input;
#[cfg(test)]
mod input_tests;
mod keys;
mod libraries;
mod library_docs;
mod lifecycle;
mod lookahead;
mod made_paths;
#[cfg(test)]
mod made_paths_tests;
mod made_tracker;
mod mode;
mod namespace_client;
mod options;
mod phases;
mod prepare;
mod probe;
mod processors;
mod reload_lines;
mod reloads;
mod scan;
mod serve;
mod settings;
mod shards;
#[cfg(test)]
mod share_model;
#[cfg(test)]
mod share_tests;
mod signals;
mod stage_display;
mod test;
mod test_files;
mod threshold_checks;
mod watched_content;
mod watched_names;

pub use compile::{Compiled, compile};
pub use destination::Destination;
pub use error::RunError;
pub use input::{DocumentScaling, Input, Stream};
pub use libraries::{
    AddedSource, LibraryChange, LibraryOptions, SyncedLibraries, add_library, lock_libraries,
    locked_libraries, remove_library, sync_libraries, update_libraries, vendor_libraries,
    verify_libraries,
};
pub use library_docs::library_docs;
pub use lifecycle::{RunOutcome, run};
pub use options::{HookErrorPolicy, MAX_THREADS, RunOptions, Timeouts, WatchOptions};
pub use probe::{ProbeOptions, probe};
pub use reload_lines::RELOAD_TARGET;
pub use scan::{Scanned, scan};
pub use serve::{ServeOptions, serve};
pub use settings::{Given, GivenThreshold, ListedTarget, Settings, SettingsRequest, ValueOrigin};
pub use signals::survive_file_size_limit;
pub use test::{TestEnding, TestRunOptions, test};
