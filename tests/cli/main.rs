//! Tests of the program as users see it: the real binary runs in a directory of its own, with the
//! mistakes that people make. Every call is bounded, and is checked for what must never happen: a
//! panic, Rust terms in a message, a secret, or something left behind.

mod accounts;
mod blobs;
mod bounds;
mod breaks;
mod checked_first;
mod compiled_without;
mod documents;
mod durations;
mod examples;
mod formats;
mod grants;
mod hook_ends;
mod hooks;
mod hostile_scripts;
mod installing;
mod interrupts;
mod leases;
mod lifecycle;
mod log_lines;
mod losses;
mod modes;
mod notices;
mod open_loop;
mod operations;
mod oplog;
mod outcome;
mod output;
mod parameters;
mod passwords;
mod paths;
mod probe;
mod program;
mod progress;
mod reaching;
mod results;
mod serve;
mod streams;
mod summary;
mod targets;
mod terminal;
mod thresholds;
mod trust;
mod unread;
mod usage;
