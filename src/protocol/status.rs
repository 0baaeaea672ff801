//! NT status codes (MS-ERREF 2.3.1) as SMB2 carries them.

use std::fmt;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// An NT status: the number a server sent. Unknown numbers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NtStatus(pub u32);

macro_rules! statuses {
    ($($name:ident = $value:literal,)*) => {
        impl NtStatus {
            $(pub const $name: NtStatus = NtStatus($value);)*

            /// Returns the name of the number in MS-ERREF, with its `STATUS_` prefix.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(concat!("STATUS_", stringify!($name))),)*
                    _ => None,
                }
            }

            /// Every status known by name.
            pub const KNOWN: &'static [NtStatus] = &[$(NtStatus::$name),*];
        }
    };
}

statuses! {
    SUCCESS = 0x0000_0000,
    PENDING = 0x0000_0103,
    NOTIFY_CLEANUP = 0x0000_010B,
    NOTIFY_ENUM_DIR = 0x0000_010C,
    OBJECT_NAME_EXISTS = 0x4000_0000,
    BUFFER_OVERFLOW = 0x8000_0005,
    NO_MORE_FILES = 0x8000_0006,
    NO_MORE_ENTRIES = 0x8000_001A,
    STOPPED_ON_SYMLINK = 0x8000_002D,
    UNSUCCESSFUL = 0xC000_0001,
    NOT_IMPLEMENTED = 0xC000_0002,
    INVALID_INFO_CLASS = 0xC000_0003,
    INFO_LENGTH_MISMATCH = 0xC000_0004,
    INVALID_HANDLE = 0xC000_0008,
    INVALID_PARAMETER = 0xC000_000D,
    NO_SUCH_DEVICE = 0xC000_000E,
    NO_SUCH_FILE = 0xC000_000F,
    INVALID_DEVICE_REQUEST = 0xC000_0010,
    END_OF_FILE = 0xC000_0011,
    MORE_PROCESSING_REQUIRED = 0xC000_0016,
    NO_MEMORY = 0xC000_0017,
    ACCESS_DENIED = 0xC000_0022,
    BUFFER_TOO_SMALL = 0xC000_0023,
    OBJECT_NAME_INVALID = 0xC000_0033,
    OBJECT_NAME_NOT_FOUND = 0xC000_0034,
    OBJECT_NAME_COLLISION = 0xC000_0035,
    PORT_DISCONNECTED = 0xC000_0037,
    OBJECT_PATH_INVALID = 0xC000_0039,
    OBJECT_PATH_NOT_FOUND = 0xC000_003A,
    OBJECT_PATH_SYNTAX_BAD = 0xC000_003B,
    SHARING_VIOLATION = 0xC000_0043,
    QUOTA_EXCEEDED = 0xC000_0044,
    EAS_NOT_SUPPORTED = 0xC000_004F,
    FILE_LOCK_CONFLICT = 0xC000_0054,
    LOCK_NOT_GRANTED = 0xC000_0055,
    DELETE_PENDING = 0xC000_0056,
    PRIVILEGE_NOT_HELD = 0xC000_0061,
    INVALID_ACCOUNT_NAME = 0xC000_0062,
    NO_SUCH_USER = 0xC000_0064,
    WRONG_PASSWORD = 0xC000_006A,
    ILL_FORMED_PASSWORD = 0xC000_006B,
    PASSWORD_RESTRICTION = 0xC000_006C,
    LOGON_FAILURE = 0xC000_006D,
    ACCOUNT_RESTRICTION = 0xC000_006E,
    INVALID_LOGON_HOURS = 0xC000_006F,
    INVALID_WORKSTATION = 0xC000_0070,
    PASSWORD_EXPIRED = 0xC000_0071,
    ACCOUNT_DISABLED = 0xC000_0072,
    RANGE_NOT_LOCKED = 0xC000_007E,
    DISK_FULL = 0xC000_007F,
    INSUFFICIENT_RESOURCES = 0xC000_009A,
    MEDIA_WRITE_PROTECTED = 0xC000_00A2,
    IO_TIMEOUT = 0xC000_00B5,
    FILE_IS_A_DIRECTORY = 0xC000_00BA,
    NOT_SUPPORTED = 0xC000_00BB,
    DUPLICATE_NAME = 0xC000_00BD,
    BAD_NETWORK_PATH = 0xC000_00BE,
    NETWORK_BUSY = 0xC000_00BF,
    UNEXPECTED_NETWORK_ERROR = 0xC000_00C4,
    NETWORK_NAME_DELETED = 0xC000_00C9,
    NETWORK_ACCESS_DENIED = 0xC000_00CA,
    BAD_DEVICE_TYPE = 0xC000_00CB,
    BAD_NETWORK_NAME = 0xC000_00CC,
    REQUEST_NOT_ACCEPTED = 0xC000_00D0,
    NOT_SAME_DEVICE = 0xC000_00D4,
    FILE_RENAMED = 0xC000_00D5,
    INVALID_OPLOCK_PROTOCOL = 0xC000_00E3,
    INTERNAL_ERROR = 0xC000_00E5,
    DIRECTORY_NOT_EMPTY = 0xC000_0101,
    NOT_A_DIRECTORY = 0xC000_0103,
    NAME_TOO_LONG = 0xC000_0106,
    TOO_MANY_OPENED_FILES = 0xC000_011F,
    CANCELLED = 0xC000_0120,
    CANNOT_DELETE = 0xC000_0121,
    FILE_DELETED = 0xC000_0123,
    FILE_CLOSED = 0xC000_0128,
    LOGON_NOT_GRANTED = 0xC000_0155,
    LOGON_TYPE_NOT_GRANTED = 0xC000_015B,
    INVALID_DEVICE_STATE = 0xC000_0184,
    ACCOUNT_EXPIRED = 0xC000_0193,
    INVALID_LOCK_RANGE = 0xC000_01A1,
    USER_SESSION_DELETED = 0xC000_0203,
    INSUFF_SERVER_RESOURCES = 0xC000_0205,
    CONNECTION_DISCONNECTED = 0xC000_020C,
    CONNECTION_RESET = 0xC000_020D,
    PASSWORD_MUST_CHANGE = 0xC000_0224,
    NOT_FOUND = 0xC000_0225,
    RETRY = 0xC000_022D,
    ACCOUNT_LOCKED_OUT = 0xC000_0234,
    CONNECTION_REFUSED = 0xC000_0236,
    LOGIN_TIME_RESTRICTION = 0xC000_0247,
    LOGIN_WKSTA_RESTRICTION = 0xC000_0248,
    PATH_NOT_COVERED = 0xC000_0257,
    SMARTCARD_LOGON_REQUIRED = 0xC000_02FA,
    NETWORK_SESSION_EXPIRED = 0xC000_035C,
    AUTHENTICATION_FIREWALL_FAILED = 0xC000_0413,
    FILE_NOT_AVAILABLE = 0xC000_0467,
}

impl NtStatus {
    /// Returns the status with this name. The `STATUS_` prefix is optional, and case does not
    /// matter.
    pub fn from_name(name: &str) -> Option<NtStatus> {
        const PREFIX: &str = "STATUS_";
        // Scripts look up a status for every operation that expects one. Most names need no
        // conversion.
        static BARE: LazyLock<FxHashMap<&str, NtStatus>> = LazyLock::new(|| {
            let named = |status: &NtStatus| Some((&status.name()?[PREFIX.len()..], *status));
            NtStatus::KNOWN.iter().filter_map(named).collect()
        });
        let bare = match name.split_at_checked(PREFIX.len()) {
            Some((prefix, bare)) if prefix.eq_ignore_ascii_case(PREFIX) => bare,
            _ => name,
        };
        BARE.get(bare).or_else(|| BARE.get(bare.to_ascii_uppercase().as_str())).copied()
    }

    /// Returns whether a login with this answer was refused because of the account. Another attempt
    /// then does not help, and may lock the account.
    pub fn refuses_account(self) -> bool {
        matches!(
            self,
            NtStatus::ACCESS_DENIED
                | NtStatus::INVALID_ACCOUNT_NAME
                | NtStatus::NO_SUCH_USER
                | NtStatus::WRONG_PASSWORD
                | NtStatus::ILL_FORMED_PASSWORD
                | NtStatus::PASSWORD_RESTRICTION
                | NtStatus::LOGON_FAILURE
                | NtStatus::ACCOUNT_RESTRICTION
                | NtStatus::INVALID_LOGON_HOURS
                | NtStatus::INVALID_WORKSTATION
                | NtStatus::PASSWORD_EXPIRED
                | NtStatus::ACCOUNT_DISABLED
                | NtStatus::LOGON_NOT_GRANTED
                | NtStatus::LOGON_TYPE_NOT_GRANTED
                | NtStatus::ACCOUNT_EXPIRED
                | NtStatus::PASSWORD_MUST_CHANGE
                | NtStatus::ACCOUNT_LOCKED_OUT
                | NtStatus::LOGIN_TIME_RESTRICTION
                | NtStatus::LOGIN_WKSTA_RESTRICTION
                | NtStatus::SMARTCARD_LOGON_REQUIRED
                | NtStatus::AUTHENTICATION_FIREWALL_FAILED
        )
    }

    /// Returns whether the two severity bits mean success or information (MS-ERREF 2.3).
    pub fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }
}

/// Writes the name, or the number in hexadecimal if there is none.
impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (0x{:08X})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_or_without_prefix_and_numbers_without_a_name_are_kept() {
        assert_eq!(NtStatus::from_name("sharing_violation"), Some(NtStatus::SHARING_VIOLATION));
        assert_eq!(NtStatus::from_name("STATUS_END_OF_FILE"), Some(NtStatus::END_OF_FILE));
        assert_eq!(NtStatus::from_name("STATUS_NONSENSE"), None);
        assert_eq!(NtStatus(0xC0DE_0001).to_string(), "0xC0DE0001");
    }

    #[test]
    fn a_server_that_is_short_of_something_does_not_refuse_the_account() {
        for name in ["LOGON_FAILURE", "ACCOUNT_LOCKED_OUT", "PASSWORD_EXPIRED", "ACCOUNT_EXPIRED"] {
            assert!(NtStatus::from_name(name).unwrap().refuses_account(), "{name}");
        }
        for name in ["INSUFFICIENT_RESOURCES", "REQUEST_NOT_ACCEPTED", "IO_TIMEOUT", "SUCCESS"] {
            assert!(!NtStatus::from_name(name).unwrap().refuses_account(), "{name}");
        }
    }
}
