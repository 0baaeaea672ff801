//! Projects: the directory that `smbench.toml` marks, the standard library that scripts of it can
//! load, the files of a new project, and the definitions of the API for editors.

pub mod definitions;
pub mod manifest;
pub mod names;
pub mod standard_library;
pub mod starter;
pub mod toml_reader;
