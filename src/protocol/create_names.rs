//! The names MS-SMB2 and MS-FSCC give to the values of CREATE's fields.

use super::nearest;

/// A field of CREATE: its key in `extensions.smb`, the prefixes that its names may omit, and its
/// names. The first name of a value is the one written.
pub(super) struct Field {
    pub key: &'static str,
    pub prefixes: &'static [&'static str],
    pub names: &'static [(&'static str, u32)],
}

/// DesiredAccess, MS-SMB2 2.2.13.1.1 and 2.2.13.1.2.
pub(super) const ACCESS_MASK: Field = Field {
    key: "access_mask",
    prefixes: &["FILE_"],
    names: &[
        ("FILE_READ_DATA", 0x0000_0001),
        ("FILE_WRITE_DATA", 0x0000_0002),
        ("FILE_APPEND_DATA", 0x0000_0004),
        ("FILE_READ_EA", 0x0000_0008),
        ("FILE_WRITE_EA", 0x0000_0010),
        ("FILE_EXECUTE", 0x0000_0020),
        ("FILE_DELETE_CHILD", 0x0000_0040),
        ("FILE_READ_ATTRIBUTES", 0x0000_0080),
        ("FILE_WRITE_ATTRIBUTES", 0x0000_0100),
        ("DELETE", 0x0001_0000),
        ("READ_CONTROL", 0x0002_0000),
        ("WRITE_DAC", 0x0004_0000),
        ("WRITE_OWNER", 0x0008_0000),
        ("SYNCHRONIZE", 0x0010_0000),
        ("ACCESS_SYSTEM_SECURITY", 0x0100_0000),
        ("MAXIMUM_ALLOWED", 0x0200_0000),
        ("GENERIC_ALL", 0x1000_0000),
        ("GENERIC_EXECUTE", 0x2000_0000),
        ("GENERIC_WRITE", 0x4000_0000),
        ("GENERIC_READ", 0x8000_0000),
        // The names of the same bits on a directory.
        ("FILE_LIST_DIRECTORY", 0x0000_0001),
        ("FILE_ADD_FILE", 0x0000_0002),
        ("FILE_ADD_SUBDIRECTORY", 0x0000_0004),
        ("FILE_TRAVERSE", 0x0000_0020),
    ],
};

pub(super) const SHARE_MODE: Field = Field {
    key: "share_mode",
    prefixes: &["FILE_SHARE_", "FILE_"],
    names: &[
        ("FILE_SHARE_NONE", 0),
        ("FILE_SHARE_READ", 1),
        ("FILE_SHARE_WRITE", 2),
        ("FILE_SHARE_DELETE", 4),
    ],
};

pub(super) const DISPOSITION: Field = Field {
    key: "disposition",
    prefixes: &["FILE_"],
    names: &[
        ("FILE_SUPERSEDE", 0),
        ("FILE_OPEN", 1),
        ("FILE_CREATE", 2),
        ("FILE_OPEN_IF", 3),
        ("FILE_OVERWRITE", 4),
        ("FILE_OVERWRITE_IF", 5),
    ],
};

pub(super) const CREATE_OPTIONS: Field = Field {
    key: "create_options",
    prefixes: &["FILE_"],
    names: &[
        ("FILE_DIRECTORY_FILE", 0x0000_0001),
        ("FILE_WRITE_THROUGH", 0x0000_0002),
        ("FILE_SEQUENTIAL_ONLY", 0x0000_0004),
        ("FILE_NO_INTERMEDIATE_BUFFERING", 0x0000_0008),
        ("FILE_SYNCHRONOUS_IO_ALERT", 0x0000_0010),
        ("FILE_SYNCHRONOUS_IO_NONALERT", 0x0000_0020),
        ("FILE_NON_DIRECTORY_FILE", 0x0000_0040),
        ("FILE_COMPLETE_IF_OPLOCKED", 0x0000_0100),
        ("FILE_NO_EA_KNOWLEDGE", 0x0000_0200),
        ("FILE_OPEN_REMOTE_INSTANCE", 0x0000_0400),
        ("FILE_RANDOM_ACCESS", 0x0000_0800),
        ("FILE_DELETE_ON_CLOSE", 0x0000_1000),
        ("FILE_OPEN_BY_FILE_ID", 0x0000_2000),
        ("FILE_OPEN_FOR_BACKUP_INTENT", 0x0000_4000),
        ("FILE_NO_COMPRESSION", 0x0000_8000),
        ("FILE_OPEN_REQUIRING_OPLOCK", 0x0001_0000),
        ("FILE_DISALLOW_EXCLUSIVE", 0x0002_0000),
        ("FILE_RESERVE_OPFILTER", 0x0010_0000),
        ("FILE_OPEN_REPARSE_POINT", 0x0020_0000),
        ("FILE_OPEN_NO_RECALL", 0x0040_0000),
        ("FILE_OPEN_FOR_FREE_SPACE_QUERY", 0x0080_0000),
    ],
};

/// OplockLevel, MS-SMB2 2.2.13.
pub(super) const REQUESTED_OPLOCK: Field = Field {
    key: "requested_oplock",
    prefixes: &["SMB2_OPLOCK_LEVEL_", "SMB2_OPLOCK_", "OPLOCK_LEVEL_"],
    names: &[
        ("SMB2_OPLOCK_LEVEL_NONE", 0x00),
        ("SMB2_OPLOCK_LEVEL_II", 0x01),
        ("SMB2_OPLOCK_LEVEL_EXCLUSIVE", 0x08),
        ("SMB2_OPLOCK_LEVEL_BATCH", 0x09),
        ("SMB2_OPLOCK_LEVEL_LEASE", 0xFF),
    ],
};

/// LeaseState, MS-SMB2 2.2.13.2.8.
pub(super) const LEASE_STATE: Field = Field {
    key: "lease",
    prefixes: &["SMB2_LEASE_"],
    names: &[
        ("SMB2_LEASE_NONE", 0),
        ("SMB2_LEASE_READ_CACHING", 1),
        ("SMB2_LEASE_HANDLE_CACHING", 2),
        ("SMB2_LEASE_WRITE_CACHING", 4),
    ],
};

/// FileAttributes, MS-FSCC 2.6.
pub(super) const FILE_ATTRIBUTES: Field = Field {
    key: "file_attributes",
    prefixes: &["FILE_ATTRIBUTE_", "FILE_"],
    names: &[
        ("FILE_ATTRIBUTE_READONLY", 0x0000_0001),
        ("FILE_ATTRIBUTE_HIDDEN", 0x0000_0002),
        ("FILE_ATTRIBUTE_SYSTEM", 0x0000_0004),
        ("FILE_ATTRIBUTE_DIRECTORY", 0x0000_0010),
        ("FILE_ATTRIBUTE_ARCHIVE", 0x0000_0020),
        ("FILE_ATTRIBUTE_NORMAL", 0x0000_0080),
        ("FILE_ATTRIBUTE_TEMPORARY", 0x0000_0100),
        ("FILE_ATTRIBUTE_SPARSE_FILE", 0x0000_0200),
        ("FILE_ATTRIBUTE_REPARSE_POINT", 0x0000_0400),
        ("FILE_ATTRIBUTE_COMPRESSED", 0x0000_0800),
        ("FILE_ATTRIBUTE_OFFLINE", 0x0000_1000),
        ("FILE_ATTRIBUTE_NOT_CONTENT_INDEXED", 0x0000_2000),
        ("FILE_ATTRIBUTE_ENCRYPTED", 0x0000_4000),
        ("FILE_ATTRIBUTE_INTEGRITY_STREAM", 0x0000_8000),
        ("FILE_ATTRIBUTE_NO_SCRUB_DATA", 0x0002_0000),
        ("FILE_ATTRIBUTE_RECALL_ON_OPEN", 0x0004_0000),
        ("FILE_ATTRIBUTE_PINNED", 0x0008_0000),
        ("FILE_ATTRIBUTE_UNPINNED", 0x0010_0000),
        ("FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS", 0x0040_0000),
    ],
};

impl Field {
    /// Returns the value of a name, in any case, with or without its prefix.
    pub fn value(&self, word: &str) -> Option<u32> {
        let same = |name: &str| {
            name.eq_ignore_ascii_case(word)
                || self.prefixes.iter().any(|prefix| {
                    name.strip_prefix(prefix).is_some_and(|bare| bare.eq_ignore_ascii_case(word))
                })
        };
        self.names.iter().find(|(name, _)| same(name)).map(|(_, value)| *value)
    }

    /// Returns the name of a value. The field's names exclude one another.
    pub fn name(&self, value: u32) -> &'static str {
        self.names.iter().find(|(_, named)| *named == value).map_or("", |(name, _)| name)
    }

    /// Returns the known name that a misspelt one most likely means, without its prefix.
    pub fn nearest(&self, word: &str) -> Option<&'static str> {
        let word = word.to_ascii_uppercase();
        nearest(self.bare(&word), self.bare_names())
    }

    /// Returns the names without their prefixes.
    pub fn bare_names(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().map(|(name, _)| self.bare(name))
    }

    /// Returns the names of the flags, joined with `|`; bits without a name become one number.
    pub fn write(&self, value: u32) -> String {
        if value == 0 {
            return "0".into();
        }
        let mut left = value;
        let mut words = Vec::new();
        for (name, bit) in self.names {
            if left & bit != 0 {
                left &= !bit;
                words.push((*name).to_string());
            }
        }
        if left != 0 {
            words.push(format!("0x{left:X}"));
        }
        words.join("|")
    }

    fn bare<'a>(&self, name: &'a str) -> &'a str {
        self.prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
    }
}
