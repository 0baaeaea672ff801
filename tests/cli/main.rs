//! The program as its users meet it: the real binary, in a folder of its own,
//! given what people get wrong. Every call is bounded and checked for what
//! must never happen: a panic, Rust in a message, a secret, something left behind.

mod accounts;
mod blobs;
mod breaks;
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
mod probe;
mod program;
mod reaching;
mod results;
mod streams;
mod summary;
mod targets;
mod thresholds;
mod trust;
mod unread;
