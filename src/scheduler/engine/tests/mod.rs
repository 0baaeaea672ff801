//! Tests of the engine alone, without a driver.

mod arrivals;
pub mod closed_loop;
mod operation_bound;
mod retries;
mod withheld;
