//! The cases, by what they are about.

mod access;
mod create_options;
mod data;
mod deletes;
mod dispositions;
mod folders;
mod lease_breaks;
mod leases;
mod locks;
mod names;
mod opens;
mod oplock_breaks;
mod oplocks;
mod renames;
mod share_modes;
mod sharing;

use super::Case;

/// An area, as reports name it, and its cases.
pub const AREAS: [(&str, &[Case]); 16] = [
    ("opening", opens::CASES),
    ("dispositions", dispositions::CASES),
    ("access rights", access::CASES),
    ("create options", create_options::CASES),
    ("data", data::CASES),
    ("renaming", renames::CASES),
    ("deleting", deletes::CASES),
    ("folders", folders::CASES),
    ("names", names::CASES),
    ("byte-range locks", locks::CASES),
    ("two clients", sharing::CASES),
    ("share modes", share_modes::CASES),
    ("oplocks", oplocks::CASES),
    ("oplock breaks", oplock_breaks::CASES),
    ("leases", leases::CASES),
    ("lease breaks", lease_breaks::CASES),
];

pub fn all() -> Vec<&'static Case> {
    AREAS.iter().flat_map(|(_, cases)| cases.iter()).collect()
}
