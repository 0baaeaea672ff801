//! Libraries: the packages that a project uses. `smbench.toml` names them, `smbench.lock` pins
//! them, and their files lie in the directory of the project.

pub mod listing;
pub mod lock;
pub mod packages;
pub mod store;
