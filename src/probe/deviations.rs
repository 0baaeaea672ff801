//! Known deviations: answers of a server that differ from what a case expects, with the reason. The
//! tests fail if the case of an entry passes, or fails differently. Only a case with a race in the
//! server may pass too.

use When::{Always, Sometimes};

/// A known answer of a server that differs from what a case expects, with the reason.
#[derive(Debug)]
pub struct Deviation {
    pub server: &'static str,
    pub case: &'static str,
    /// A part of the failure's message; another failure of the case is no deviation.
    pub answers: &'static str,
    pub when: When,
    pub reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// Only at times: the cause is a race that was shown to be in the server.
    Sometimes,
}

/// Returns the known deviation that matches a failure, preferably that of `server`. The vendor of a
/// user's server is a guess, so an entry written for another vendor may apply.
pub fn known(server: &str, case: &str, failure: &str) -> Option<&'static Deviation> {
    let fits = |d: &&Deviation| d.case == case && failure.contains(d.answers);
    let own = DEVIATIONS.iter().filter(fits).find(|d| d.server == server);
    own.or_else(|| DEVIATIONS.iter().find(fits))
}

const fn samba(
    case: &'static str,
    answers: &'static str,
    when: When,
    reason: &'static str,
) -> Deviation {
    Deviation { server: "samba", case, answers, when, reason }
}

const fn embedded(
    case: &'static str,
    answers: &'static str,
    when: When,
    reason: &'static str,
) -> Deviation {
    Deviation { server: "embedded", case, answers, when, reason }
}

/// A lost wake-up in Samba 4.17, seen on a busy host in 7 to 9 of 100 runs, but never after an
/// unlock: the CLOSE was answered and a third handle got the range without waiting, but the waiting
/// lock was not granted until the next unlock on the file.
const LOST_WAKE_UP: &str =
    "a race in Samba: at times it does not wake a waiting lock when its holder's handle goes";

const AS_A_LOCAL_FILE: &str =
    "it answers as a local file system of Windows does, not as MS-SMB2 says of the server";
const UNKNOWN_BITS: &str = "it does not look at bits of ShareAccess there are not";
const STAT_OPENS: &str =
    "Samba 4.17 counts an open of attributes like any other (smbtorture smb2.lease.statopen3)";

const UNKNOWN_OPTIONS: &str = "crate smb-server does not look at options it does not know";
const FOLDER_NOT_OPENED: &str =
    "crate smb-server does not look how the directory a rename goes to is open";
const OPEN_FIRST: &str = "it finds the file open before it looks whether it is to be deleted";
const LOCK_FIRST: &str = "it looks for the lock, and not at the range";
const AS_ASKED: &str =
    "it holds against share modes what was asked for, not what the disposition does";
const NOTHING_BELOW: &str = "Samba 4.17 breaks nothing below a directory it renames (smbtorture smb2.lease.rename_dir_openfile, of a later version)";
const ANY_LOCK: &str = "it does not look whether the file reaches as far as the lock (smbtorture smb2.lease.lock1 wants the break)";
const R_TAKEN: &str = "Samba 4.17 grants nothing to read on a file with any lock, and leaves H alone of RH (smbtorture smb2.lease.lock2 and lock3, of a later version)";
/// The embedded backend leaves these cases out. They are for a probe of `smbench serve`.
const NO_WAIT: &str = "crate smb-server refuses a lock that would have to wait";
const NONE_LOCKED: &str = "crate smb-server grants no lease on a file with any lock";

pub const DEVIATIONS: &[Deviation] = &[
    samba(
        "a_file_never_replaces_a_directory",
        "got STATUS_OBJECT_NAME_COLLISION",
        Always,
        "Samba leaves the check to rename(2) and calls its EISDIR a collision",
    ),
    samba(
        "a_directory_never_replaces_a_directory",
        "got STATUS_SUCCESS",
        Always,
        "rename(2) replaces an empty directory, and Samba lets it",
    ),
    embedded(
        "a_directory_does_not_move_into_itself",
        "got STATUS_ACCESS_DENIED",
        Always,
        "crate smb-server does not open the directory a rename goes to, and the storage refuses",
    ),
    samba(
        "a_name_of_255_characters_beyond_ascii_is_taken",
        "STATUS_OBJECT_NAME_INVALID",
        Always,
        "Linux file systems hold names of 255 bytes, Windows names of 255 UTF-16 units",
    ),
    samba(
        "a_waiting_lock_is_granted_when_the_holder_closes",
        "no end within",
        Sometimes,
        LOST_WAKE_UP,
    ),
    samba(
        "a_waiting_lock_is_granted_when_the_holder_vanishes",
        "no end within",
        Sometimes,
        LOST_WAKE_UP,
    ),
    samba(
        "an_open_for_nothing_is_access_denied",
        "got STATUS_SUCCESS",
        Always,
        "Samba opens a file for no right at all where none is asked for",
    ),
    samba(
        "a_handle_of_attributes_neither_reads_nor_writes",
        "got STATUS_NO_MEMORY",
        Always,
        "Samba refuses, with this status, what needs a file where it opened none but for attributes; version 4.17 then panics in file_free when the connection ends",
    ),
    samba(
        "deleting_on_close_needs_the_right_to_delete",
        "got STATUS_INVALID_PARAMETER",
        Always,
        AS_A_LOCAL_FILE,
    ),
    embedded(
        "deleting_on_close_needs_the_right_to_delete",
        "got STATUS_INVALID_PARAMETER",
        Always,
        AS_A_LOCAL_FILE,
    ),
    embedded(
        "a_write_at_the_largest_offset_is_invalid",
        "got STATUS_NOT_SUPPORTED",
        Always,
        "crate smb-server answers so whatever its storage cannot do",
    ),
    samba(
        "a_delete_pending_file_is_pending_for_everything",
        "got STATUS_OBJECT_NAME_COLLISION",
        Always,
        "Samba finds the name taken before it looks whether the file is to be deleted",
    ),
    samba(
        "a_delete_pending_directory_takes_no_more_files",
        "got STATUS_SUCCESS",
        Always,
        "Samba looks at the directory only with `check parent directory delete on close = yes`",
    ),
    embedded(
        "a_delete_pending_directory_takes_no_more_files",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server does not look whether the directory is to be deleted",
    ),
    samba("a_share_mode_there_is_not_is_invalid", "got STATUS_SUCCESS", Always, UNKNOWN_BITS),
    embedded("a_share_mode_there_is_not_is_invalid", "got STATUS_SUCCESS", Always, UNKNOWN_BITS),
    samba(
        "an_open_of_attributes_leaves_room_for_a_batch_oplock",
        "got SMB2_OPLOCK_LEVEL_II, not SMB2_OPLOCK_LEVEL_BATCH",
        Always,
        STAT_OPENS,
    ),
    samba(
        "an_open_of_attributes_leaves_room_for_a_full_lease",
        "got R, not RWH",
        Always,
        STAT_OPENS,
    ),
    samba(
        "an_answer_to_no_break_is_invalid_device_state",
        "got STATUS_INVALID_OPLOCK_PROTOCOL",
        Always,
        "Samba does not tell an answer to no break from one that keeps too much (smbtorture smb2.oplock.levelii500)",
    ),
    samba(
        "a_greedy_answer_is_refused_and_the_oplock_lost",
        "got STATUS_INVALID_PARAMETER",
        Always,
        "to Samba an answer of any level but II and none is malformed",
    ),
    embedded(
        "beside_another_lease_r_is_upgraded_to_rh",
        "got RH, not R",
        Always,
        "crate smb-server upgrades a lease to what others leave of what was asked, not to all of it or nothing",
    ),
    samba(
        "a_lease_says_the_parent_key_it_was_asked_with",
        "got none",
        Always,
        "Samba 4.17 has no leases on directories, and keeps no parent key",
    ),
    samba(
        "a_rename_takes_handle_caching_and_waits",
        "no break within",
        Always,
        "Samba breaks leases for a rename only where the open that renames holds a lease itself (delay_rename_for_lease_break in smb2_setinfo.c), and one by path holds none",
    ),
    samba(
        "a_deletion_takes_handle_caching",
        "no break within",
        Always,
        "Samba 4.17 breaks nothing for a deletion (smbtorture smb2.lease.unlink)",
    ),
    embedded(
        "what_must_go_while_a_break_is_on_its_way_is_broken_after_the_answer",
        "RH, none)",
        Always,
        "crate smb-server breaks the rest at once, not in steps",
    ),
    embedded(
        "a_rename_takes_handle_caching_and_waits",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server breaks the lease and does not wait for the answer",
    ),
    samba(
        "what_is_hidden_is_overwritten_only_to_be_hidden",
        "FILE_SUPERSEDE of",
        Always,
        "Samba compares the attributes where it overwrites, not where it supersedes",
    ),
    embedded(
        "what_is_hidden_is_overwritten_only_to_be_hidden",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server compares no attributes",
    ),
    embedded(
        "an_open_for_what_there_is_not_is_access_denied",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server does not look at rights there are not",
    ),
    samba(
        "what_is_to_be_deleted_is_never_replaced",
        "got STATUS_ACCESS_DENIED",
        Always,
        OPEN_FIRST,
    ),
    embedded(
        "what_is_to_be_deleted_is_never_replaced",
        "got STATUS_ACCESS_DENIED",
        Always,
        OPEN_FIRST,
    ),
    samba(
        "a_directory_that_is_not_shared_for_writing_takes_no_file",
        "got STATUS_SUCCESS",
        Always,
        "Samba looks only whether the directory is open to be deleted (smbtorture smb2.rename)",
    ),
    embedded(
        "a_directory_that_is_not_shared_for_writing_takes_no_file",
        "got STATUS_SUCCESS",
        Always,
        FOLDER_NOT_OPENED,
    ),
    embedded(
        "a_directory_one_may_delete_takes_no_file_by_a_rename",
        "got STATUS_SUCCESS",
        Always,
        FOLDER_NOT_OPENED,
    ),
    samba(
        "a_directory_another_may_delete_takes_no_file_by_a_rename",
        "got STATUS_SUCCESS",
        Always,
        "Samba looks whether the directory is open to be deleted only among the opens of the same connection",
    ),
    embedded(
        "a_directory_another_may_delete_takes_no_file_by_a_rename",
        "got STATUS_SUCCESS",
        Always,
        FOLDER_NOT_OPENED,
    ),
    samba(
        "all_rights_delete_on_close",
        "got STATUS_INVALID_PARAMETER",
        Always,
        "Samba looks for the right to delete before it knows what GENERIC_ALL stands for",
    ),
    embedded(
        "create_options_there_are_not_are_invalid",
        "got STATUS_SUCCESS",
        Always,
        UNKNOWN_OPTIONS,
    ),
    samba(
        "create_options_of_local_opens_are_not_supported",
        "got STATUS_SUCCESS",
        Always,
        "Samba does not look at FILE_CREATE_TREE_CONNECTION (smbtorture smb2.create.gentest)",
    ),
    embedded(
        "create_options_of_local_opens_are_not_supported",
        "got STATUS_SUCCESS",
        Always,
        UNKNOWN_OPTIONS,
    ),
    samba(
        "attributes_of_devices_and_volumes_are_invalid",
        "got STATUS_SUCCESS",
        Always,
        "Samba does not look at attributes there are not (smbtorture smb2.create.gentest)",
    ),
    embedded(
        "attributes_of_devices_and_volumes_are_invalid",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server does not look at attributes",
    ),
    embedded(
        "a_directory_is_never_temporary",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server does not look at attributes",
    ),
    embedded(
        "what_is_audited_is_not_opened_without_the_privilege",
        "got STATUS_SUCCESS",
        Always,
        "crate smb-server knows no privileges",
    ),
    samba(
        "a_file_of_no_snapshot_is_name_not_found",
        "got STATUS_SUCCESS",
        Always,
        "Samba looks for snapshots only where a VFS module has some (smbtorture smb2.create.blob)",
    ),
    samba(
        "an_unlock_past_the_last_offset_is_invalid",
        "got STATUS_RANGE_NOT_LOCKED",
        Always,
        LOCK_FIRST,
    ),
    embedded(
        "an_unlock_past_the_last_offset_is_invalid",
        "got STATUS_RANGE_NOT_LOCKED",
        Always,
        LOCK_FIRST,
    ),
    samba(
        "to_supersede_is_to_delete_and_to_overwrite_is_to_write",
        "got none, not STATUS_SHARING_VIOLATION",
        Always,
        AS_ASKED,
    ),
    embedded(
        "to_supersede_is_to_delete_and_to_overwrite_is_to_write",
        "got none, not STATUS_SHARING_VIOLATION",
        Always,
        AS_ASKED,
    ),
    samba(
        "a_write_of_nothing_breaks_nothing",
        "not to be left alone",
        Always,
        "Samba breaks level II before it looks how much is written",
    ),
    samba(
        "a_rename_of_a_directory_takes_a_batch_oplock_below",
        "no break within",
        Always,
        NOTHING_BELOW,
    ),
    samba(
        "a_rename_of_a_directory_asks_who_caches_handles_below",
        "no break within",
        Always,
        NOTHING_BELOW,
    ),
    embedded(
        "a_rename_of_a_directory_asks_who_caches_handles_below",
        "not to be left alone",
        Always,
        "crate smb-server asks all at once",
    ),
    samba(
        "what_a_rename_replaces_must_be_closed_first",
        "no break within",
        Always,
        "Samba 4.17 refuses to replace what is open and asks nobody to close it (smbtorture smb2.lease.v2_rename_target_overwrite, of a later version)",
    ),
    samba(
        "a_deletion_on_close_takes_handle_caching_when_it_comes",
        "no break within",
        Always,
        "Samba 4.17 breaks nothing for a deletion (smbtorture smb2.lease.initial_delete_disconnect, of a later version)",
    ),
    embedded(
        "a_deletion_on_close_takes_handle_caching_when_it_comes",
        "no break within",
        Always,
        "crate smb-server breaks nothing for a deletion on close",
    ),
    samba(
        "a_lock_of_what_is_not_there_breaks_nothing",
        "got a break of the lease",
        Always,
        ANY_LOCK,
    ),
    embedded(
        "a_lock_of_what_is_not_there_breaks_nothing",
        "got a break of the lease",
        Always,
        ANY_LOCK,
    ),
    samba("a_lock_of_what_is_not_there_leaves_room_for_a_lease", "got H, not RH", Always, R_TAKEN),
    samba("overwriting_what_is_locked_makes_room_for_a_lease", "got H, not RH", Always, R_TAKEN),
    embedded(
        "a_lock_of_what_is_not_there_leaves_room_for_a_lease",
        "got none, not RH",
        Always,
        NONE_LOCKED,
    ),
    embedded(
        "overwriting_what_is_locked_makes_room_for_a_lease",
        "got none, not RH",
        Always,
        NONE_LOCKED,
    ),
    samba(
        "what_is_not_granted_counts_no_epoch",
        "got (none, 1)",
        Always,
        "Samba 4.17 counts a lease it does not grant (smbtorture smb2.lease.lease-epoch, of a later version)",
    ),
    embedded("a_waiting_lock_is_granted_on_unlock", "got STATUS_LOCK_NOT_GRANTED", Always, NO_WAIT),
    embedded(
        "a_waiting_lock_is_granted_when_the_holder_closes",
        "got STATUS_LOCK_NOT_GRANTED",
        Always,
        NO_WAIT,
    ),
    embedded(
        "a_waiting_lock_is_granted_when_the_holder_vanishes",
        "got STATUS_LOCK_NOT_GRANTED",
        Always,
        NO_WAIT,
    ),
    embedded(
        "two_waiting_locks_are_granted_one_after_the_other",
        "got STATUS_LOCK_NOT_GRANTED",
        Always,
        NO_WAIT,
    ),
    embedded(
        "a_cancelled_wait_is_cancelled_and_leaves_no_lock",
        "the lock ended before",
        Always,
        NO_WAIT,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_the_server_that_is_asked_goes_before_anothers() {
        let case = "a_delete_pending_directory_takes_no_more_files";
        let known = |server| known(server, case, "got STATUS_SUCCESS (0x0)").unwrap().server;
        assert_eq!(["embedded", "samba", "smb2"].map(known), ["embedded", "samba", "samba"]);
        assert!(super::known("embedded", case, "got nonsense").is_none());
    }
}
