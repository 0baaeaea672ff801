//! The cases, by area.

mod access;
mod create_options;
mod data;
mod deletes;
mod directories;
mod directory_leases;
mod dispositions;
mod lease_breaks;
mod lease_conflicts;
mod leases;
mod locks;
mod names;
mod opens;
mod oplock_breaks;
mod oplock_conflicts;
mod oplocks;
mod rename_targets;
mod renames;
mod share_modes;
mod sharing;

use super::Case;

/// The name of each area in reports, and its cases. A large area has several entries.
pub const AREAS: [(&str, &[Case]); 20] = [
    ("opening", opens::CASES),
    ("dispositions", dispositions::CASES),
    ("access rights", access::CASES),
    ("create options", create_options::CASES),
    ("data", data::CASES),
    ("renaming", renames::CASES),
    ("renaming", rename_targets::CASES),
    ("deleting", deletes::CASES),
    ("directories", directories::CASES),
    ("names", names::CASES),
    ("byte-range locks", locks::CASES),
    ("two clients", sharing::CASES),
    ("share modes", share_modes::CASES),
    ("oplocks", oplocks::CASES),
    ("oplock breaks", oplock_breaks::CASES),
    ("oplock breaks", oplock_conflicts::CASES),
    ("leases", leases::CASES),
    ("lease breaks", lease_breaks::CASES),
    ("lease breaks", lease_conflicts::CASES),
    ("directory leases", directory_leases::CASES),
];

pub fn all() -> Vec<&'static Case> {
    AREAS.iter().flat_map(|(_, cases)| cases.iter()).collect()
}
