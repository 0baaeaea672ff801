//! Caching that a server allows its clients: grants to opens, breaks, and acknowledgements.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

use serde::{Deserialize, Serialize};

use super::create::OplockLevel;
use super::create_contexts::Durable;
use super::path::SharePath;

/// LeaseState, MS-SMB2 2.2.13.2.8: reads, writes and handles a client may cache.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseState(u32);

/// LeaseKey, MS-SMB2 2.2.13.2.8.
pub type LeaseKey = [u8; 16];

/// SMB2_FILEID, MS-SMB2 2.2.14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    pub persistent: u64,
    pub volatile: u64,
}

/// CreateAction, MS-SMB2 2.2.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum CreateAction {
    Superseded = 0,
    Opened = 1,
    Created = 2,
    Overwritten = 3,
}

/// The grants in the response to a CREATE (MS-SMB2 2.2.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The id of this open.
    pub file_id: FileId,
    /// The id of the file, the same for all its opens and across renames (DiskFileId, MS-SMB2
    /// 2.2.14.2.9). None if the server does not report it.
    pub disk_file_id: Option<u64>,
    pub action: CreateAction,
    /// The oplock level; [`OplockLevel::Lease`] if there is a lease.
    pub oplock: OplockLevel,
    pub lease: Option<GrantedLease>,
    /// The durability of the handle, which then outlives its connection, with its time-out if the
    /// server reports one (MS-SMB2 2.2.14.2.3 and 2.2.14.2.12).
    pub durable: Option<Durable>,
}

/// SMB2_CREATE_RESPONSE_LEASE and _V2, MS-SMB2 2.2.14.2.10 and 2.2.14.2.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantedLease {
    pub key: LeaseKey,
    /// The state granted; [`LeaseState::NONE`] if the server granted nothing.
    pub state: LeaseState,
    /// SMB2_LEASE_FLAG_BREAK_IN_PROGRESS.
    pub breaking: bool,
    /// SMB2_LEASE_FLAG_PARENT_LEASE_KEY_SET.
    pub parent_key: Option<LeaseKey>,
    /// The number of changes of the lease; 0 in version 1, which has no epoch.
    pub epoch: u16,
}

/// The caching that an open was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    Oplock(OplockLevel),
    /// A lease, whose state may be none.
    Lease(LeaseState),
}

/// A notice by which a server takes back what it granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    Oplock(OplockBreak),
    Lease(LeaseBreak),
}

/// Oplock Break Notification, MS-SMB2 2.2.23.1. It is acknowledged if the open
/// holds an exclusive or a batch oplock; a break of level II is not (2.2.24.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OplockBreak {
    pub file_id: FileId,
    /// The most that the client may keep: II or None.
    pub level: OplockLevel,
}

/// Lease Break Notification, MS-SMB2 2.2.23.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseBreak {
    pub key: LeaseKey,
    pub current: LeaseState,
    /// The most that the client may keep.
    pub new: LeaseState,
    /// The epoch; 0 in version 1, which has none.
    pub epoch: u16,
    /// SMB2_NOTIFY_BREAK_LEASE_FLAG_ACK_REQUIRED; without it the lease has
    /// the new state already.
    pub acknowledgement_required: bool,
}

/// Oplock and Lease Break Acknowledgment, MS-SMB2 2.2.24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    Oplock { file_id: FileId, level: OplockLevel },
    Lease { key: LeaseKey, state: LeaseState },
}

impl Granted {
    pub fn caching(&self) -> Caching {
        match (self.lease, self.oplock) {
            (Some(lease), _) => Caching::Lease(lease.state),
            (None, OplockLevel::Lease) => Caching::Lease(LeaseState::NONE),
            (None, level) => Caching::Oplock(level),
        }
    }
}

impl Caching {
    /// Returns the name used in scripts: `batch`, `RWH`, `none`.
    pub fn name(self) -> &'static str {
        match self {
            Caching::Oplock(OplockLevel::None) => "none",
            Caching::Oplock(OplockLevel::II) => "ii",
            Caching::Oplock(OplockLevel::Exclusive) => "exclusive",
            Caching::Oplock(OplockLevel::Batch) => "batch",
            Caching::Oplock(OplockLevel::Lease) => "lease",
            Caching::Lease(state) => state.name(),
        }
    }
}

impl CreateAction {
    pub fn name(self) -> &'static str {
        match self {
            CreateAction::Superseded => "superseded",
            CreateAction::Opened => "opened",
            CreateAction::Created => "created",
            CreateAction::Overwritten => "overwritten",
        }
    }
}

/// Writes sixteen hexadecimal digits of each part, the persistent part first.
impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.persistent, self.volatile)
    }
}

impl Break {
    /// Returns the answer that keeps everything the server leaves.
    pub fn acknowledgement(&self) -> Acknowledgement {
        match *self {
            Break::Oplock(OplockBreak { file_id, level }) => {
                Acknowledgement::Oplock { file_id, level }
            }
            Break::Lease(LeaseBreak { key, new, .. }) => Acknowledgement::Lease { key, state: new },
        }
    }
}

impl LeaseState {
    pub const NONE: LeaseState = LeaseState(0);
    /// SMB2_LEASE_READ_CACHING.
    pub const R: LeaseState = LeaseState(1);
    /// SMB2_LEASE_HANDLE_CACHING.
    pub const H: LeaseState = LeaseState(2);
    /// SMB2_LEASE_WRITE_CACHING.
    pub const W: LeaseState = LeaseState(4);
    pub const RH: LeaseState = LeaseState(3);
    pub const RW: LeaseState = LeaseState(5);
    pub const RWH: LeaseState = LeaseState(7);

    /// Returns the state of these bits, without those that MS-SMB2 does not define.
    pub fn from_bits(bits: u32) -> LeaseState {
        LeaseState(bits & Self::RWH.0)
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub fn contains(self, other: LeaseState) -> bool {
        self & other == other
    }

    pub fn intersects(self, other: LeaseState) -> bool {
        !(self & other).is_none()
    }

    /// Returns the letters of the state, as in `RWH`, or `none`.
    pub fn name(self) -> &'static str {
        ["none", "R", "H", "RH", "W", "RW", "WH", "RWH"][(self.0 & Self::RWH.0) as usize]
    }

    /// Returns the state if it is legal, else none: every other state includes read caching (MS-FSA
    /// 2.1.5.18).
    pub fn legal(self) -> LeaseState {
        if self.contains(Self::R) { self } else { Self::NONE }
    }
}

impl BitAnd for LeaseState {
    type Output = LeaseState;

    fn bitand(self, other: LeaseState) -> LeaseState {
        LeaseState(self.0 & other.0)
    }
}

impl BitOr for LeaseState {
    type Output = LeaseState;

    fn bitor(self, other: LeaseState) -> LeaseState {
        LeaseState(self.0 | other.0)
    }
}

/// The rights in the first state that are not in the second.
impl Sub for LeaseState {
    type Output = LeaseState;

    fn sub(self, other: LeaseState) -> LeaseState {
        LeaseState(self.0 & !other.0)
    }
}

/// Writes the name; see [`LeaseState::name`].
impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Returns the lease key of an open that names none. All opens of one client on one path share it,
/// whatever the case of the path's letters, and no other opens do. `again` counts the files that
/// had the path before and kept their key.
pub fn lease_key(client_idx: u32, path: &SharePath, again: u32) -> LeaseKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&client_idx.to_le_bytes());
    hasher.update(&again.to_le_bytes());
    hasher.update(path.folded().as_bytes());
    let mut key = LeaseKey::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_state_reads_as_its_letters_and_keeps_no_unknown_bits() {
        let all = [0, 1, 3, 5, 7].map(|bits| LeaseState::from_bits(bits).to_string());
        assert_eq!(all, ["none", "R", "RH", "RW", "RWH"]);
        assert_eq!(LeaseState::from_bits(0xFF), LeaseState::RWH);
    }

    #[test]
    fn a_state_without_read_caching_is_none() {
        let legal = [LeaseState::H, LeaseState::W, LeaseState::W | LeaseState::H];
        assert_eq!(legal.map(LeaseState::legal), [LeaseState::NONE; 3]);
        assert_eq!((LeaseState::RWH - LeaseState::W).legal(), LeaseState::RH);
    }

    #[test]
    fn the_answer_to_a_break_keeps_what_is_left() {
        let file_id = FileId { persistent: 1, volatile: 2 };
        let level = OplockLevel::II;
        let oplock = Break::Oplock(OplockBreak { file_id, level });
        assert_eq!(oplock.acknowledgement(), Acknowledgement::Oplock { file_id, level });
        let (key, new) = ([7; 16], LeaseState::RH);
        let lease = LeaseBreak {
            key,
            current: LeaseState::RWH,
            new,
            epoch: 2,
            acknowledgement_required: true,
        };
        let answer = Break::Lease(lease).acknowledgement();
        assert_eq!(answer, Acknowledgement::Lease { key, state: new });
    }

    #[test]
    fn a_lease_key_belongs_to_one_client_and_one_path_in_any_case() {
        let key = |client, path, again| lease_key(client, &SharePath::new(path).unwrap(), again);
        assert_eq!(key(1, "Docs/A.txt", 0), key(1, "docs/a.TXT", 0));
        assert_eq!(key(1, "ΑΣ", 0), key(1, "ας", 0), "a Σ at the end of a word");
        assert_ne!(key(1, "\u{212A}", 0), key(1, "k", 0), "the sign of the kelvin is no K");
        assert_ne!(key(1, "docs/a.txt", 0), key(2, "docs/a.txt", 0));
        assert_ne!(key(1, "docs/a.txt", 0), key(1, "docs/b.txt", 0));
        assert_ne!(key(1, "docs/a.txt", 0), key(1, "docs/a.txt", 1));
    }
}
