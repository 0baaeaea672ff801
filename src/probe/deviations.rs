//! Known deviations: answers of a server that differ from what a case expects, with the reason. The
//! tests fail if the case of an entry passes, or fails differently. Only a case with a race in the
//! server may pass too.

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

/// Makes the table of deviations. An entry states the server, when it deviates (`Always` or
/// `Sometimes`) and the reason. In braces follow the cases, each with a part of the message of its
/// failure.
macro_rules! deviations {
    ($($server:ident $when:ident $reason:literal { $($case:ident: $answers:literal,)+ })+) => {
        pub const DEVIATIONS: &[Deviation] = &[$($(Deviation {
            server: stringify!($server),
            case: stringify!($case),
            answers: $answers,
            when: When::$when,
            reason: $reason,
        }),+),+];
    };
}

// Of two entries for one case, the one for Samba comes first: see `known`.
deviations! {
    samba Always "Samba leaves the check to rename(2) and reports EISDIR as a collision" {
        a_file_never_replaces_a_directory: "got STATUS_OBJECT_NAME_COLLISION",
    }
    samba Always "rename(2) replaces an empty directory, and Samba does not prevent it" {
        a_directory_never_replaces_a_directory: "got STATUS_SUCCESS",
    }
    samba Always "Linux file systems allow names of 255 bytes, Windows names of 255 UTF-16 units" {
        a_name_of_255_characters_beyond_ascii_is_taken: "STATUS_OBJECT_NAME_INVALID",
    }
    // A lost wake-up in Samba 4.17, seen on a busy host in 7 to 9 of 100 runs, but never after an
    // unlock: the CLOSE was answered and a third handle got the range without waiting, but the waiting
    // lock was not granted until the next unlock on the file.
    samba Sometimes "a race in Samba: sometimes it does not wake a waiting lock when the holder's handle is closed" {
        a_waiting_lock_is_granted_when_the_holder_closes: "did not end within",
        a_waiting_lock_is_granted_when_the_holder_vanishes: "did not end within",
    }
    samba Always "Samba opens a file without any right if none is requested" {
        an_open_for_nothing_is_access_denied: "got STATUS_SUCCESS",
    }
    samba Always "Samba opens no file for attributes only, and so refuses reads and writes with this status; version 4.17 then panics in file_free when the connection ends" {
        a_handle_of_attributes_neither_reads_nor_writes: "got STATUS_NO_MEMORY",
    }
    samba Always "it answers like a local file system of Windows, not as MS-SMB2 requires of a server" {
        deleting_on_close_needs_the_right_to_delete: "got STATUS_INVALID_PARAMETER",
    }
    samba Always "Samba finds that the name exists before it checks whether the file is marked for deletion" {
        a_delete_pending_file_is_pending_for_everything: "got STATUS_OBJECT_NAME_COLLISION",
    }
    samba Always "Samba checks the directory only with `check parent directory delete on close = yes`" {
        a_delete_pending_directory_takes_no_more_files: "got STATUS_SUCCESS",
    }
    samba Always "it does not check ShareAccess for undefined bits" {
        a_share_mode_there_is_not_is_invalid: "got STATUS_SUCCESS",
    }
    samba Always "Samba 4.17 treats an open for attributes only like any other open (smbtorture smb2.lease.statopen3)" {
        an_open_of_attributes_leaves_room_for_a_batch_oplock: "got SMB2_OPLOCK_LEVEL_II, not SMB2_OPLOCK_LEVEL_BATCH",
        an_open_of_attributes_leaves_room_for_a_full_lease: "got R, not RWH",
    }
    samba Always "Samba does not distinguish an answer without a break from one that keeps too much (smbtorture smb2.oplock.levelii500)" {
        an_answer_to_no_break_is_invalid_device_state: "got STATUS_INVALID_OPLOCK_PROTOCOL",
    }
    samba Always "Samba treats an answer with any level but II and none as malformed" {
        a_greedy_answer_is_refused_and_the_oplock_lost: "got STATUS_INVALID_PARAMETER",
    }
    samba Always "Samba 4.17 has no leases on directories and stores no parent key" {
        a_lease_says_the_parent_key_it_was_asked_with: "got none",
    }
    samba Always "Samba breaks leases for a rename only if the renaming open holds a lease itself (delay_rename_for_lease_break in smb2_setinfo.c); the open of a rename by path holds none" {
        a_rename_takes_handle_caching_and_waits: "no break within",
    }
    samba Always "Samba 4.17 breaks nothing for a deletion (smbtorture smb2.lease.unlink)" {
        a_deletion_takes_handle_caching: "no break within",
    }
    samba Always "Samba compares the attributes when it overwrites a file, but not when it supersedes one" {
        a_hidden_file_is_overwritten_only_with_the_hidden_attribute: "FILE_SUPERSEDE of",
    }
    samba Always "it finds that the file is open before it checks whether the file is marked for deletion" {
        a_file_that_is_to_be_deleted_is_never_replaced: "got STATUS_ACCESS_DENIED",
    }
    samba Always "Samba checks only whether the directory is open with DELETE access (smbtorture smb2.rename)" {
        a_directory_that_is_not_shared_for_writing_takes_no_file: "got STATUS_SUCCESS",
    }
    samba Always "Samba checks only the opens of the same connection for DELETE access to the directory" {
        a_directory_another_may_delete_takes_no_file_by_a_rename: "got STATUS_SUCCESS",
    }
    samba Always "Samba checks the right to delete before it maps GENERIC_ALL to rights" {
        all_rights_delete_on_close: "got STATUS_INVALID_PARAMETER",
    }
    samba Always "Samba ignores FILE_CREATE_TREE_CONNECTION (smbtorture smb2.create.gentest)" {
        create_options_of_local_opens_are_not_supported: "got STATUS_SUCCESS",
    }
    samba Always "Samba does not check for undefined attributes (smbtorture smb2.create.gentest)" {
        attributes_of_devices_and_volumes_are_invalid: "got STATUS_SUCCESS",
    }
    samba Always "Samba looks for snapshots only if a VFS module provides them (smbtorture smb2.create.blob)" {
        a_file_of_no_snapshot_is_name_not_found: "got STATUS_SUCCESS",
    }
    samba Always "it looks for the lock before it checks the range" {
        an_unlock_past_the_last_offset_is_invalid: "got STATUS_RANGE_NOT_LOCKED",
    }
    samba Always "it compares share modes with the access that was requested, not with the access that the disposition implies" {
        to_supersede_is_to_delete_and_to_overwrite_is_to_write: "got none, not STATUS_SHARING_VIOLATION",
    }
    samba Always "Samba breaks level II before it checks the length of the write" {
        a_write_of_nothing_breaks_nothing: "expected no break",
    }
    samba Always "Samba 4.17 breaks nothing below a directory that it renames (smbtorture smb2.lease.rename_dir_openfile, of a later version)" {
        a_rename_of_a_directory_takes_a_batch_oplock_below: "no break within",
        a_rename_of_a_directory_asks_who_caches_handles_below: "no break within",
    }
    samba Always "Samba 4.17 refuses to replace an open file and breaks no lease to have it closed (smbtorture smb2.lease.v2_rename_target_overwrite, of a later version)" {
        a_file_that_a_rename_replaces_must_be_closed_first: "no break within",
    }
    samba Always "Samba 4.17 breaks nothing for a deletion (smbtorture smb2.lease.initial_delete_disconnect, of a later version)" {
        a_deletion_on_close_takes_handle_caching_when_it_comes: "no break within",
    }
    samba Always "it does not check whether the lock lies beyond the end of the file (smbtorture smb2.lease.lock1 expects the break)" {
        a_lock_of_what_is_not_there_breaks_nothing: "got a break of the lease",
    }
    samba Always "Samba 4.17 grants no read caching on a file with any lock, and so grants H for RH (smbtorture smb2.lease.lock2 and lock3, of a later version)" {
        a_lock_of_what_is_not_there_leaves_room_for_a_lease: "got H, not RH",
        overwriting_what_is_locked_makes_room_for_a_lease: "got H, not RH",
    }
    samba Always "Samba 4.17 counts an epoch for a lease that it does not grant (smbtorture smb2.lease.lease-epoch, of a later version)" {
        a_lease_that_is_not_granted_counts_no_epoch: "got (none, 1)",
    }
    embedded Always "crate smb-server does not open the rename's target directory; its storage refuses the rename" {
        a_directory_does_not_move_into_itself: "got STATUS_ACCESS_DENIED",
    }
    embedded Always "it answers like a local file system of Windows, not as MS-SMB2 requires of a server" {
        deleting_on_close_needs_the_right_to_delete: "got STATUS_INVALID_PARAMETER",
    }
    embedded Always "crate smb-server gives this answer to everything that its storage cannot do" {
        a_write_at_the_largest_offset_is_invalid: "got STATUS_NOT_SUPPORTED",
    }
    embedded Always "crate smb-server does not check whether the directory is marked for deletion" {
        a_delete_pending_directory_takes_no_more_files: "got STATUS_SUCCESS",
    }
    embedded Always "it does not check ShareAccess for undefined bits" {
        a_share_mode_there_is_not_is_invalid: "got STATUS_SUCCESS",
    }
    embedded Always "crate smb-server upgrades a lease in part; MS-FSA upgrades it to everything requested or not at all" {
        beside_another_lease_r_is_upgraded_to_rh: "got RH, not R",
    }
    embedded Always "crate smb-server breaks the rest in one step, not in two" {
        caching_that_must_go_during_a_break_is_broken_after_its_answer: "RH, none)",
    }
    embedded Always "crate smb-server breaks the lease but does not wait for the answer" {
        a_rename_takes_handle_caching_and_waits: "got STATUS_SUCCESS",
    }
    embedded Always "crate smb-server does not compare attributes" {
        a_hidden_file_is_overwritten_only_with_the_hidden_attribute: "got STATUS_SUCCESS",
    }
    embedded Always "crate smb-server does not check for undefined rights" {
        an_open_for_what_there_is_not_is_access_denied: "got STATUS_SUCCESS",
    }
    embedded Always "it finds that the file is open before it checks whether the file is marked for deletion" {
        a_file_that_is_to_be_deleted_is_never_replaced: "got STATUS_ACCESS_DENIED",
    }
    embedded Always "crate smb-server does not check how others have the rename's target directory open" {
        a_directory_that_is_not_shared_for_writing_takes_no_file: "got STATUS_SUCCESS",
        a_directory_one_may_delete_takes_no_file_by_a_rename: "got STATUS_SUCCESS",
        a_directory_another_may_delete_takes_no_file_by_a_rename: "got STATUS_SUCCESS",
    }
    embedded Always "crate smb-server does not check for unknown create options" {
        create_options_there_are_not_are_invalid: "got STATUS_SUCCESS",
        create_options_of_local_opens_are_not_supported: "got STATUS_SUCCESS",
    }
    embedded Always "crate smb-server does not check attributes" {
        attributes_of_devices_and_volumes_are_invalid: "got STATUS_SUCCESS",
        a_directory_is_never_temporary: "got STATUS_SUCCESS",
    }
    embedded Always "crate smb-server has no privileges" {
        an_audited_file_is_not_opened_without_the_privilege: "got STATUS_SUCCESS",
    }
    embedded Always "it looks for the lock before it checks the range" {
        an_unlock_past_the_last_offset_is_invalid: "got STATUS_RANGE_NOT_LOCKED",
    }
    embedded Always "it compares share modes with the access that was requested, not with the access that the disposition implies" {
        to_supersede_is_to_delete_and_to_overwrite_is_to_write: "got none, not STATUS_SHARING_VIOLATION",
    }
    embedded Always "crate smb-server breaks all of them at the same time" {
        a_rename_of_a_directory_asks_who_caches_handles_below: "expected no break",
    }
    embedded Always "crate smb-server breaks nothing for a deletion on close" {
        a_deletion_on_close_takes_handle_caching_when_it_comes: "no break within",
    }
    embedded Always "it does not check whether the lock lies beyond the end of the file (smbtorture smb2.lease.lock1 expects the break)" {
        a_lock_of_what_is_not_there_breaks_nothing: "got a break of the lease",
    }
    embedded Always "crate smb-server grants no lease on a file with any lock" {
        a_lock_of_what_is_not_there_leaves_room_for_a_lease: "got none, not RH",
        overwriting_what_is_locked_makes_room_for_a_lease: "got none, not RH",
    }
    // The embedded backend skips these cases. They are for a probe of `smbench serve`.
    embedded Always "crate smb-server refuses a lock that would have to wait" {
        a_waiting_lock_is_granted_on_unlock: "got STATUS_LOCK_NOT_GRANTED",
        a_waiting_lock_is_granted_when_the_holder_closes: "got STATUS_LOCK_NOT_GRANTED",
        a_waiting_lock_is_granted_when_the_holder_vanishes: "got STATUS_LOCK_NOT_GRANTED",
        two_waiting_locks_are_granted_one_after_the_other: "got STATUS_LOCK_NOT_GRANTED",
        a_cancelled_wait_is_cancelled_and_leaves_no_lock: "the lock ended before",
    }
}

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
