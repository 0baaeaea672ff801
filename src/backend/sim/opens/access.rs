//! Access rights and share modes (MS-FSA 2.1.5.1.2.2).

use crate::ir::OpenMode;
use crate::protocol::NtStatus;

// DesiredAccess, MS-SMB2 2.2.13.1.
pub const READ_DATA: u32 = 0x0000_0001;
pub const WRITE_DATA: u32 = 0x0000_0002;
pub const APPEND_DATA: u32 = 0x0000_0004;
const EXECUTE: u32 = 0x0000_0020;
pub const READ_ATTRIBUTES: u32 = 0x0000_0080;
const WRITE_ATTRIBUTES: u32 = 0x0000_0100;
pub const DELETE: u32 = 0x0001_0000;
const READ_CONTROL: u32 = 0x0002_0000;
pub const SYNCHRONIZE: u32 = 0x0010_0000;
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_READ: u32 = 0x8000_0000;

// The specific rights of each generic right on a file (MS-DTYP 2.4.3, winnt.h).
const FILE_GENERIC_READ: u32 = 0x0012_0089;
const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
const FILE_GENERIC_EXECUTE: u32 = 0x0012_00A0;
const FILE_ALL_ACCESS: u32 = 0x001F_01FF;

// ShareAccess, MS-SMB2 2.2.13.
pub const SHARE_READ: u32 = 1;
pub const SHARE_WRITE: u32 = 2;
const SHARE_DELETE: u32 = 4;
pub const SHARE_ALL: u32 = SHARE_READ | SHARE_WRITE | SHARE_DELETE;

/// The rights of an open, and what it lets others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// The rights, with the specific ones in place of the generic ones.
    pub access: u32,
    pub share: u32,
}

/// Returns the rights that a mode asks for.
pub fn of_mode(mode: OpenMode) -> u32 {
    match mode {
        OpenMode::Read => FILE_GENERIC_READ,
        OpenMode::Write => FILE_GENERIC_WRITE | READ_ATTRIBUTES,
        OpenMode::ReadWrite => FILE_GENERIC_READ | FILE_GENERIC_WRITE,
    }
}

/// The right to read and write a file's audit rules.
const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;
/// Bits without a meaning.
const UNKNOWN: u32 = 0x0CE0_FE00;

/// Returns the rights that an access mask gives if nothing is denied.
///
/// # Errors
/// STATUS_ACCESS_DENIED if the mask asks for nothing at all, or for rights that do not exist
/// (MS-FSA 2.1.5.1). STATUS_PRIVILEGE_NOT_HELD for a right that needs a privilege.
pub fn granted(wanted: u32) -> Result<u32, NtStatus> {
    const GENERIC: [(u32, u32); 5] = [
        (GENERIC_READ, FILE_GENERIC_READ),
        (GENERIC_WRITE, FILE_GENERIC_WRITE),
        (GENERIC_EXECUTE, FILE_GENERIC_EXECUTE),
        (GENERIC_ALL, FILE_ALL_ACCESS),
        (MAXIMUM_ALLOWED, FILE_ALL_ACCESS),
    ];
    let access = GENERIC.iter().fold(wanted, |access, (generic, specific)| {
        if wanted & generic == 0 { access } else { access & !generic | specific }
    });
    if access == 0 || wanted & UNKNOWN != 0 {
        return Err(NtStatus::ACCESS_DENIED);
    }
    match wanted & ACCESS_SYSTEM_SECURITY {
        0 => Ok(access),
        _ => Err(NtStatus::PRIVILEGE_NOT_HELD),
    }
}

impl Sharing {
    /// Returns whether the two cannot have the file open together. Share modes do not apply to an
    /// open that neither reads, writes, executes nor deletes.
    pub fn conflicts_with(self, other: Sharing) -> bool {
        const WHAT: [(u32, u32); 3] = [
            (READ_DATA | EXECUTE, SHARE_READ),
            (WRITE_DATA | APPEND_DATA, SHARE_WRITE),
            (DELETE, SHARE_DELETE),
        ];
        let counts = |sharing: Sharing| WHAT.iter().any(|(access, _)| sharing.access & access != 0);
        let hinders = |one: Sharing, other: Sharing| {
            WHAT.iter().any(|(access, share)| other.access & access != 0 && one.share & share == 0)
        };
        counts(self) && counts(other) && (hinders(self, other) || hinders(other, self))
    }

    /// Returns whether an open breaks no oplock of another (MS-FSA 2.1.4.12, OPEN).
    pub fn spares_oplocks(self) -> bool {
        self.access & !(READ_ATTRIBUTES | WRITE_ATTRIBUTES | SYNCHRONIZE) == 0
    }

    /// Returns whether an open breaks no lease of another (MS-FSA 2.1.4.12, OPEN).
    pub fn spares_leases(self) -> bool {
        self.access & !(READ_ATTRIBUTES | WRITE_ATTRIBUTES | SYNCHRONIZE | READ_CONTROL) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharing(access: u32, share: u32) -> Sharing {
        Sharing { access, share }
    }

    #[test]
    fn generic_rights_become_the_files_own_and_nothing_is_denied() {
        assert_eq!(granted(GENERIC_READ), Ok(FILE_GENERIC_READ));
        let both = granted(GENERIC_READ | GENERIC_WRITE | DELETE);
        assert_eq!(both, Ok(FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE));
        assert_eq!(granted(GENERIC_ALL), granted(MAXIMUM_ALLOWED));
        assert_eq!(granted(0), Err(NtStatus::ACCESS_DENIED));
        assert_eq!(granted(READ_DATA | 0x0400_0000), Err(NtStatus::ACCESS_DENIED));
        let audited = granted(READ_DATA | ACCESS_SYSTEM_SECURITY);
        assert_eq!(audited, Err(NtStatus::PRIVILEGE_NOT_HELD));
    }

    /// MS-FSA 2.1.5.1.2.2.
    #[test]
    fn an_open_conflicts_where_either_does_what_the_other_does_not_share() {
        let rights = [READ_DATA, WRITE_DATA, DELETE, READ_DATA | WRITE_DATA | DELETE];
        for (one_access, one_share) in rights.iter().flat_map(|a| (0..8).map(move |s| (*a, s))) {
            for (two_access, two_share) in rights.iter().flat_map(|a| (0..8).map(move |s| (*a, s)))
            {
                let allowed = |access: u32, share: u32| {
                    (access & READ_DATA == 0 || share & SHARE_READ != 0)
                        && (access & WRITE_DATA == 0 || share & SHARE_WRITE != 0)
                        && (access & DELETE == 0 || share & SHARE_DELETE != 0)
                };
                let expected = !allowed(one_access, two_share) || !allowed(two_access, one_share);
                let one = sharing(one_access, one_share);
                let conflict = one.conflicts_with(sharing(two_access, two_share));
                assert_eq!(conflict, expected, "{one_access}/{one_share} {two_access}/{two_share}");
            }
        }
    }

    /// MS-FSA 2.1.5.1.2.2.
    #[test]
    fn an_open_of_attributes_alone_meets_no_share_mode() {
        let stat = sharing(READ_ATTRIBUTES | WRITE_ATTRIBUTES | SYNCHRONIZE | READ_CONTROL, 0);
        let all = sharing(FILE_ALL_ACCESS, 0);
        assert!(!stat.conflicts_with(all) && !all.conflicts_with(stat));
        assert!(sharing(EXECUTE, SHARE_ALL).conflicts_with(sharing(WRITE_DATA, SHARE_WRITE)));
        assert!(sharing(APPEND_DATA, SHARE_ALL).conflicts_with(sharing(READ_DATA, SHARE_READ)));
    }

    /// MS-FSA 2.1.4.12: READ_CONTROL disturbs an oplock, but no lease.
    #[test]
    fn attributes_disturb_nobody_and_the_security_descriptor_no_lease() {
        let attributes = sharing(READ_ATTRIBUTES | WRITE_ATTRIBUTES | SYNCHRONIZE, 0);
        assert!(attributes.spares_oplocks() && attributes.spares_leases());
        let security = sharing(READ_ATTRIBUTES | READ_CONTROL, 0);
        assert!(!security.spares_oplocks() && security.spares_leases());
        let read = sharing(READ_DATA, SHARE_ALL);
        assert!(!read.spares_oplocks() && !read.spares_leases());
    }
}
