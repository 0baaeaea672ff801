//! The typed stream that every script and document becomes, and the events that a run reports.

pub mod blobs;
pub mod client_partition;
pub mod compile;
pub mod continued;
pub mod directory;
pub mod document;
mod due;
pub mod event;
pub mod feature;
pub mod file_tree;
pub mod foreign_words;
mod nominal;
pub mod operation;
pub mod panic_message;
pub mod payload;
pub mod phases;
pub mod prerequisites;
pub mod preview;
pub mod random;
pub mod roster;
mod sorted_runs;
pub mod source;
mod spool;
pub mod step;
pub mod time_scale;
pub mod units;
pub mod workloads;

pub use blobs::Blob;
pub use client_partition::ClientPartition;
pub use continued::Continued;
pub use due::{Due, Late, Readiness, scale_ns};
pub use event::{
    CompletionEvent, CompletionStatus, Event, EventSink, Execution, Failure, OperationTimes,
};
pub use feature::{Feature, Need};
pub use nominal::NominalClock;
pub use operation::{
    Expect, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation, Operation,
    OperationKind, OperationType, PathOperation, Section,
};
pub use payload::{Pattern, Payload};
pub use preview::Preview;
pub use source::{OperationSource, Phase, Progress, SourceError, StreamHeader};
pub use step::Step;
pub use time_scale::TimeScale;
pub use workloads::{Workload, Workloads};
