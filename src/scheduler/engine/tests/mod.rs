//! Tests of the engine alone, without a driver.

mod arrivals;
mod fixtures;
mod operation_bound;
mod reloads;
mod retries;
mod streams;
mod withheld;
