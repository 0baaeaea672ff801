//! The verdict on whether a measurement can be trusted, with its reasons and the likely cause of a
//! late generator.

mod cause;
mod delays;
mod evidence;
mod verdict;

pub use cause::Cause;
pub use evidence::{Evidence, HookEvents, HostProcessors, Processors};
pub use verdict::{LatenessByCause, Trust, TrustVerdict, judge};
