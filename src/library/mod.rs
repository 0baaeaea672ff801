//! Libraries: the packages that a project uses. `smbench.toml` names them, `smbench.lock` pins
//! them, and their files lie in the directory of the project.

pub mod api_docs;
pub mod editor_aliases;
pub mod fit;
pub mod git;
pub mod installation;
pub mod listing;
pub mod lock;
pub mod lock_changes;
pub mod manifest_edit;
pub mod package_files;
pub mod package_source;
pub mod packages;
pub mod path_package;
pub mod repository;
mod repository_cache;
pub mod repository_url;
pub mod resolve;
#[cfg(test)]
mod resolve_tests;
pub mod store;
mod version_search;
