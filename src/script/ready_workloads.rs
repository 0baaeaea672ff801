//! The ready workloads: scripts in the binary, which are run as `@scripts/NAME`.

use std::fmt;

use crate::protocol::nearest;

/// The beginning of the names by which command lines and errors name ready workloads.
const PREFIX: &str = "@scripts/";

/// A script in the binary. It requires only modules of the standard library, because there are no
/// files beside it.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadyWorkload {
    /// The name of its file in `scripts/`, without the extension.
    pub name: &'static str,
    /// The text of the script.
    pub source: &'static str,
}

/// All ready workloads, sorted by name.
pub static READY_WORKLOADS: [ReadyWorkload; 12] = [
    ReadyWorkload { name: "chip_design", source: include_str!("../../scripts/chip_design.lua") },
    ReadyWorkload { name: "fileserver", source: include_str!("../../scripts/fileserver.lua") },
    ReadyWorkload { name: "genomics", source: include_str!("../../scripts/genomics.lua") },
    ReadyWorkload {
        name: "home_directories",
        source: include_str!("../../scripts/home_directories.lua"),
    },
    ReadyWorkload {
        name: "image_training",
        source: include_str!("../../scripts/image_training.lua"),
    },
    ReadyWorkload { name: "logon_storm", source: include_str!("../../scripts/logon_storm.lua") },
    ReadyWorkload {
        name: "network_file_server",
        source: include_str!("../../scripts/network_file_server.lua"),
    },
    ReadyWorkload { name: "office", source: include_str!("../../scripts/office.lua") },
    ReadyWorkload {
        name: "software_build",
        source: include_str!("../../scripts/software_build.lua"),
    },
    ReadyWorkload { name: "varmail", source: include_str!("../../scripts/varmail.lua") },
    ReadyWorkload {
        name: "video_capture",
        source: include_str!("../../scripts/video_capture.lua"),
    },
    ReadyWorkload { name: "webserver", source: include_str!("../../scripts/webserver.lua") },
];

impl ReadyWorkload {
    /// Returns the name of a ready workload in a word of the command line that begins like one.
    /// Returns None if the word is the path of a file.
    pub fn named_by(word: &str) -> Option<&str> {
        word.strip_prefix(PREFIX)
    }

    /// Returns the ready workload with this name.
    ///
    /// # Errors
    /// A message with the nearest name and the command that lists all of them.
    pub fn find(name: &str) -> Result<&'static ReadyWorkload, String> {
        let found = READY_WORKLOADS.iter().find(|ready| ready.name == name);
        found.ok_or_else(|| {
            let bare = name.strip_suffix(".lua").unwrap_or(name).replace('-', "_");
            let near = nearest(&bare, READY_WORKLOADS.iter().map(|ready| ready.name));
            let meant = near.map(|near| format!(": did you mean {PREFIX}{near}?"));
            let meant = meant.unwrap_or(";".into());
            format!("no ready workload has this name{meant} 'smbench scripts' lists them")
        })
    }

    /// Returns what the script models: the first line of its header.
    pub fn summary(&self) -> &'static str {
        self.source.lines().next().unwrap_or_default().trim_start_matches(['-', ' '])
    }
}

/// Writes the name as a command line names the script.
impl fmt::Display for ReadyWorkload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name)
    }
}
