//! Libraries: the packages that a project uses. `smbench.toml` names them, `smbench.lock` pins
//! them, and their files lie in the directory of the project.

pub mod fit;
pub mod listing;
pub mod lock;
pub mod package_source;
mod path_package;
pub mod resolve;
#[cfg(test)]
mod resolve_tests;
pub mod store;
mod version_search;
