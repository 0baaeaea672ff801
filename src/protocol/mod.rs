//! The vocabulary of SMB, without I/O: statuses, paths, the fields of CREATE, grants and breaks.

pub mod break_policy;
pub mod caching;
pub mod create;
mod create_contexts;
mod create_names;
pub mod handle_state;
mod nearest;
mod parameter_value;
pub mod path;
mod shortened;
pub mod status;

pub use break_policy::{BreakAnswer, BreakPolicy};
pub use caching::{
    Acknowledgement, Break, Caching, CreateAction, FileId, Granted, GrantedLease, LeaseBreak,
    LeaseKey, LeaseState, OplockBreak, lease_key,
};
pub use create::CreateParameters;
pub use create_contexts::{CreateContext, Durable, Lease};
pub use handle_state::{BreakOutcome, HandlePhase, HandleState, Noticed, PendingBreak};
pub use nearest::nearest;
pub use parameter_value::LARGEST_EXACT;
pub use path::SharePath;
pub use shortened::shortened;
pub use status::NtStatus;
