//! Libraries: the packages that a project uses. `smbench.toml` names them, `smbench.lock` pins
//! them, and their files lie in the directory of the project.

pub mod api_docs;
pub mod git;
pub mod installation;
pub mod listing;
pub mod lock;
pub mod package_files;
pub mod repository;
mod repository_cache;
pub mod repository_url;
pub mod store;
