//! Transforms: stages that turn one stream of operations into another.
//!
//! An [`OperationStream`] can be read any number of times, client by client. A [`StreamStage`] turns
//! one stream into another, lazily. [`TransformedSource`] is the end of a chain of stages: it numbers
//! the operations anew and is what a run or a compilation pulls from.
//!
//! Every stream keeps these invariants, whatever the stages before it do:
//!
//! - An operation on a handle comes after the open of the handle and not after its close.
//! - The times that one client's operations name do not go backwards within a section.
//! - The same document, stages and seed give the same operations, whatever the size of batches.
//!
//! Inside a chain an operation keeps the `seq` that it has in its document, so that errors name
//! the operation that the user can look up there.

mod chain;
mod document_stream;
mod filter;
mod globs;
mod merge;
mod mix;
mod nominal_time;
mod open_handles;
mod path_template;
mod per_client;
mod repeat_stream;
mod reversed_pairs;
mod rewrite_paths;
mod sample;
mod scale_clients;
mod section_cursor;
mod selected_clients;
mod shift;
mod source;
mod stream;
mod time_warp;

pub use chain::number_step;
pub use document_stream::DocumentStream;
pub use filter::FilterStage;
pub use globs::Globs;
pub use merge::{MergeInput, merge};
pub use mix::{MAX_WEIGHT, MixRule, MixStage};
pub use nominal_time::NominalTime;
pub use open_handles::OpenHandles;
pub use path_template::PathTemplate;
pub use per_client::{ClientTransform, per_client};
pub use repeat_stream::RepeatStreamStage;
pub use reversed_pairs::{ReversedPairs, reversed_pairs};
pub use rewrite_paths::{PathRule, RewritePathsStage};
pub use sample::SampleStage;
pub use scale_clients::ScaleClientsStage;
pub use shift::ShiftStage;
pub use source::TransformedSource;
pub use stream::{
    ClientReader, OperationStream, Origin, StagePlace, StreamFacts, StreamStage, TransformError,
};
pub use time_warp::TimeWarpStage;
