//! The opens of one file: which may have it open together, what each may cache, and what an
//! operation of one takes from the others.

use super::access::Sharing;
use super::caching_right::{CachingRight, HolderKind, RightChange, level_of, state_of};
use crate::protocol::create::OplockLevel;
use crate::protocol::{
    Break, FileId, GrantedLease, LeaseBreak, LeaseKey, LeaseState, NtStatus, OplockBreak,
};

/// All opens of a file or directory, and the leases they share.
#[derive(Default)]
pub struct FileOpens {
    opens: Vec<Open>,
    leases: Vec<Lease>,
}

struct Open {
    number: u64,
    connection: u64,
    client: u32,
    sharing: Sharing,
    holds: Holds,
}

enum Holds {
    Nothing,
    Oplock(CachingRight),
    /// The lease of the open's client with this key.
    Lease(LeaseKey),
}

struct Lease {
    client: u32,
    key: LeaseKey,
    parent_key: Option<LeaseKey>,
    /// None in version 1.
    epoch: Option<u16>,
    caching_right: CachingRight,
}

/// An open that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    pub number: u64,
    pub connection: u64,
    /// The ClientGuid: leases of one client with one key are one lease.
    pub client: u32,
    /// The access and share mode, with what the disposition does to the file.
    pub sharing: Sharing,
    /// Whether the open supersedes or overwrites the file.
    pub overwrites: bool,
    pub directory: bool,
    pub caching: RequestedCaching,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedCaching {
    Nothing,
    Oplock(OplockLevel),
    Lease {
        key: LeaseKey,
        state: LeaseState,
        parent_key: Option<LeaseKey>,
        /// Whether the lease is of version 2.
        has_epoch: bool,
    },
}

/// The one who disturbs. Its own lease is spared, and its own oplock unless that is of level II.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initiator {
    pub open: u64,
    pub client: u32,
    pub key: Option<LeaseKey>,
}

/// The kind of operation that breaks other clients' caching (Operation in MS-FSA 2.1.4.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakCause {
    /// OPEN: cached writes must be sent first, and caches of an overwritten file become invalid.
    Open { sharing: Sharing, overwrites: bool },
    /// OPEN_BREAK_H, for an open that a share mode would refuse: handles that are kept open only as
    /// a cache must be closed. A batch oplock is broken before anything is refused, as by any open
    /// (2.1.5.1.2).
    Conflict { overwrites: bool },
    /// SET_INFORMATION of a name or a disposition: the same, except that a batch oplock is broken
    /// to none. Only the rename of a directory above the file meets one.
    Handles,
    /// WRITE, LOCK_CONTROL, SET_INFORMATION of the end of file.
    Content,
    /// An entry of this directory changes (PARENT_OBJECT).
    Entries,
}

/// A break to be sent on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakNotice {
    pub connection: u64,
    pub what: Break,
}

/// The decision whether an operation may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Proceed,
    /// The operation waits until something changes or until this time, and then asks again.
    Wait {
        until_ns: u64,
    },
}

impl BreakCause {
    fn takes(self, kind: HolderKind, held: LeaseState) -> LeaseState {
        let (r, w, h) = (LeaseState::R, LeaseState::W, LeaseState::H);
        let is_batch = kind == HolderKind::Oplock && held.contains(h);
        match (self, kind) {
            (BreakCause::Open { sharing, .. }, HolderKind::Oplock) if sharing.spares_oplocks() => {
                LeaseState::NONE
            }
            (BreakCause::Open { sharing, .. }, HolderKind::Lease) if sharing.spares_leases() => {
                LeaseState::NONE
            }
            (BreakCause::Open { overwrites: false, .. }, _) => w,
            (BreakCause::Conflict { overwrites: false }, HolderKind::Oplock) if is_batch => w,
            (BreakCause::Conflict { .. } | BreakCause::Handles, HolderKind::Oplock)
                if !is_batch =>
            {
                LeaseState::NONE
            }
            (BreakCause::Conflict { .. } | BreakCause::Handles, HolderKind::Lease) => h,
            _ => r | w,
        }
    }
}

impl FileOpens {
    pub fn is_empty(&self) -> bool {
        self.opens.is_empty()
    }

    /// Checks whether an open may have the file together with the others (MS-FSA 2.1.5.1.2.2), and
    /// breaks what they must give up first (2.1.5.1.2). Handles that are open only as a cache may
    /// be in the way, so they are broken before anything is refused.
    ///
    /// # Errors
    /// STATUS_SHARING_VIOLATION.
    pub fn admit(
        &mut self,
        wanted: &OpenRequest,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> Result<Decision, NtStatus> {
        let OpenRequest { sharing, overwrites, .. } = *wanted;
        if self.opens.iter().any(|open| open.sharing.conflicts_with(sharing)) {
            let conflict = BreakCause::Conflict { overwrites };
            return match self.break_for(wanted.who(), conflict, now_ns, notices) {
                Decision::Proceed => Err(NtStatus::SHARING_VIOLATION),
                wait => Ok(wait),
            };
        }
        let opening = BreakCause::Open { sharing, overwrites };
        Ok(self.break_for(wanted.who(), opening, now_ns, notices))
    }

    /// Breaks what the others hold and the cause cannot leave them (MS-FSA 2.1.4.12). Each is
    /// broken only once, however often this is called.
    pub fn break_for(
        &mut self,
        who: Initiator,
        cause: BreakCause,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> Decision {
        self.expire(now_ns);
        let mut until_ns: Option<u64> = None;
        let mut wait = |deadline_ns: Option<u64>| {
            until_ns = [until_ns, deadline_ns].into_iter().flatten().min();
        };
        for lease in &mut self.leases {
            // A parent key names the lease of a directory, whichever client holds it (2.1.4.12.2).
            let is_own = lease.client == who.client || cause == BreakCause::Entries;
            if is_own && Some(lease.key) == who.key {
                continue;
            }
            let taken = cause.takes(HolderKind::Lease, lease.caching_right.state);
            let (change, deadline_ns) = lease.caching_right.take(HolderKind::Lease, taken, now_ns);
            if let Some(change) = change {
                lease.count_change();
                notices.extend(lease.notice(&self.opens, change));
            }
            wait(deadline_ns);
        }
        for open in &mut self.opens {
            let Holds::Oplock(caching_right) = &mut open.holds else { continue };
            if open.number == who.open && caching_right.state != LeaseState::R {
                continue;
            }
            let taken = cause.takes(HolderKind::Oplock, caching_right.state);
            let (change, deadline_ns) = caching_right.take(HolderKind::Oplock, taken, now_ns);
            notices.extend(change.map(|change| open.notice(change)));
            wait(deadline_ns);
        }
        until_ns.map_or(Decision::Proceed, |until_ns| Decision::Wait { until_ns })
    }

    /// Adds an admitted open and returns the rights that it is granted: those of the requested
    /// rights that other opens allow (MS-FSA 2.1.5.18.1 and 2.1.5.18.2). If that would grant
    /// nothing, the next lower level is tried, as Windows and Samba do.
    pub fn add(
        &mut self,
        wanted: &OpenRequest,
        locked: bool,
    ) -> (OplockLevel, Option<GrantedLease>) {
        let (holds, oplock, lease) = match wanted.caching {
            RequestedCaching::Nothing => (Holds::Nothing, OplockLevel::None, None),
            RequestedCaching::Oplock(level) => {
                let state = self.grantable(wanted, HolderKind::Oplock, state_of(level), locked);
                (Holds::Oplock(CachingRight::new(state)), level_of(state), None)
            }
            RequestedCaching::Lease { key, state, parent_key, has_epoch } => {
                let state = self.grantable(wanted, HolderKind::Lease, state, locked);
                let lease = self.lease(wanted.client, key);
                let lease = match lease {
                    Some(lease) => lease.upgraded(state, wanted.caching),
                    None => {
                        let caching_right = CachingRight::new(state);
                        // To grant nothing is no change (smbtorture smb2.lease.lease-epoch).
                        let epoch = has_epoch.then_some(u16::from(!state.is_none()));
                        let client = wanted.client;
                        self.leases.push(Lease { client, key, parent_key, epoch, caching_right });
                        self.leases.last_mut().map(|lease| lease.granted())
                    }
                };
                (Holds::Lease(key), OplockLevel::Lease, lease)
            }
        };
        let OpenRequest { number, connection, client, sharing, .. } = *wanted;
        self.opens.push(Open { number, connection, client, sharing, holds });
        (oplock, lease)
    }

    fn grantable(
        &self,
        wanted: &OpenRequest,
        kind: HolderKind,
        state: LeaseState,
        locked: bool,
    ) -> LeaseState {
        let mut state = state.legal();
        if wanted.directory {
            // MS-SMB2 3.3.5.9 and 3.3.5.9.11: no oplock, no lease of version 1, no writes.
            let has_epoch =
                matches!(wanted.caching, RequestedCaching::Lease { has_epoch: true, .. });
            return if has_epoch { state - LeaseState::W } else { LeaseState::NONE };
        }
        for open in &self.opens {
            let (other, held) = match &open.holds {
                Holds::Lease(key) if wanted.is_of(open.client, *key) => continue,
                Holds::Lease(key) => {
                    let leases = self.leases.iter();
                    let mut leases = leases.filter(|l| l.client == open.client && l.key == *key);
                    (
                        HolderKind::Lease,
                        leases.next().map_or(LeaseState::NONE, |l| l.caching_right.state),
                    )
                }
                Holds::Oplock(caching_right) => (HolderKind::Oplock, caching_right.state),
                Holds::Nothing => (HolderKind::Oplock, LeaseState::NONE),
            };
            let spares = match kind {
                HolderKind::Oplock => open.sharing.spares_oplocks(),
                HolderKind::Lease => open.sharing.spares_leases(),
            };
            if held.is_none() && spares {
                continue;
            }
            state = state - LeaseState::W;
            let incompatible = match (kind, other) {
                (HolderKind::Oplock, HolderKind::Lease) => {
                    held.intersects(LeaseState::W | LeaseState::H)
                }
                _ => held.intersects(LeaseState::W),
            };
            if incompatible {
                return LeaseState::NONE;
            }
            if (kind, other) == (HolderKind::Lease, HolderKind::Oplock) && !held.is_none() {
                state = state - LeaseState::H;
            }
        }
        let exclusive = state.contains(LeaseState::W);
        match kind {
            _ if locked && !exclusive => LeaseState::NONE,
            HolderKind::Oplock if !exclusive => state & LeaseState::R,
            _ => state,
        }
    }

    /// Applies the answer to a break of an oplock (MS-SMB2 3.3.5.22.1).
    ///
    /// # Errors
    /// STATUS_FILE_CLOSED for an open that does not exist. STATUS_INVALID_DEVICE_STATE if no break
    /// is pending. STATUS_INVALID_PARAMETER for the level of a lease, and
    /// STATUS_INVALID_OPLOCK_PROTOCOL for more than was left: the oplock is lost after these two.
    pub fn acknowledge_oplock(
        &mut self,
        number: u64,
        level: OplockLevel,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> Result<(), NtStatus> {
        self.expire(now_ns);
        let open = self.opens.iter_mut().find(|open| open.number == number);
        let open = open.ok_or(NtStatus::FILE_CLOSED)?;
        let Holds::Oplock(caching_right) = &mut open.holds else {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        };
        if !caching_right.is_breaking() {
            return Err(NtStatus::INVALID_DEVICE_STATE);
        }
        let nonsense = match level {
            OplockLevel::Lease => Some(NtStatus::INVALID_PARAMETER),
            OplockLevel::Exclusive | OplockLevel::Batch => Some(NtStatus::INVALID_OPLOCK_PROTOCOL),
            OplockLevel::None | OplockLevel::II => None,
        };
        let answered = match nonsense {
            Some(status) => Err(status),
            None => caching_right
                .acknowledge(state_of(level), now_ns)
                .map_err(|_| NtStatus::INVALID_OPLOCK_PROTOCOL),
        };
        match answered {
            Ok(change) => notices.extend(change.map(|change| open.notice(change))),
            Err(_) => caching_right.lose(),
        }
        answered.map(drop)
    }

    /// Applies the answer to a break of a lease (MS-SMB2 3.3.5.22.2).
    ///
    /// # Errors
    /// STATUS_OBJECT_NAME_NOT_FOUND for a lease that does not exist. Otherwise those of
    /// [`CachingRight::acknowledge`], and the break stays unanswered.
    pub fn acknowledge_lease(
        &mut self,
        client: u32,
        key: LeaseKey,
        state: LeaseState,
        now_ns: u64,
        notices: &mut Vec<BreakNotice>,
    ) -> Result<(), NtStatus> {
        self.expire(now_ns);
        let lease = self.leases.iter_mut().find(|l| l.client == client && l.key == key);
        let lease = lease.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        // A break that follows an answer has the epoch of the one that was
        // answered (smbtorture smb2.lease.v2_breaking3).
        if let Some(change) = lease.caching_right.acknowledge(state, now_ns)? {
            notices.extend(lease.notice(&self.opens, change));
        }
        Ok(())
    }

    /// Removes an open and its oplock. If it was the last open of its lease, removes the lease as
    /// well and returns its owner and key.
    pub fn remove(&mut self, number: u64) -> Option<(u32, LeaseKey)> {
        let place = self.opens.iter().position(|open| open.number == number)?;
        let closed = self.opens.remove(place);
        let Holds::Lease(key) = closed.holds else { return None };
        let owner = closed.client;
        let held = |open: &Open| {
            open.client == owner && matches!(open.holds, Holds::Lease(other) if other == key)
        };
        if self.opens.iter().any(held) {
            return None;
        }
        self.leases.retain(|lease| (lease.client, lease.key) != (owner, key));
        Some((owner, key))
    }

    /// Returns what an open may cache now.
    #[cfg(test)]
    pub fn held(&mut self, number: u64, now_ns: u64) -> Option<LeaseState> {
        self.expire(now_ns);
        let open = self.opens.iter().find(|open| open.number == number)?;
        match &open.holds {
            Holds::Nothing => Some(LeaseState::NONE),
            Holds::Oplock(caching_right) => Some(caching_right.state),
            Holds::Lease(key) => {
                let mut leases = self.leases.iter();
                leases
                    .find(|l| l.client == open.client && l.key == *key)
                    .map(|l| l.caching_right.state)
            }
        }
    }

    fn lease(&mut self, client: u32, key: LeaseKey) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.client == client && lease.key == key)
    }

    /// Ends the breaks that nobody answered in time.
    fn expire(&mut self, now_ns: u64) {
        for lease in &mut self.leases {
            lease.caching_right.expire(now_ns);
        }
        for open in &mut self.opens {
            if let Holds::Oplock(caching_right) = &mut open.holds {
                caching_right.expire(now_ns);
            }
        }
    }
}

impl OpenRequest {
    pub fn who(&self) -> Initiator {
        let key = match self.caching {
            RequestedCaching::Lease { key, .. } => Some(key),
            _ => None,
        };
        Initiator { open: self.number, client: self.client, key }
    }

    fn is_of(&self, client: u32, key: LeaseKey) -> bool {
        self.who() == Initiator { open: self.number, client, key: Some(key) }
    }
}

impl Open {
    fn notice(&self, change: RightChange) -> BreakNotice {
        let file_id = FileId { persistent: self.number, volatile: self.number };
        let what = Break::Oplock(OplockBreak { file_id, level: level_of(change.to) });
        BreakNotice { connection: self.connection, what }
    }
}

impl Lease {
    /// Returns the notice of a break. If several opens share the lease, the first one's connection
    /// gets it (MS-SMB2 3.3.4.7).
    fn notice(&self, opens: &[Open], change: RightChange) -> Option<BreakNotice> {
        let holds = |open: &&Open| {
            open.client == self.client && matches!(open.holds, Holds::Lease(key) if key == self.key)
        };
        let what = Break::Lease(LeaseBreak {
            key: self.key,
            current: change.from,
            new: change.to,
            epoch: self.epoch.unwrap_or_default(),
            acknowledgement_required: change.acknowledged,
        });
        let connection = opens.iter().find(holds)?.connection;
        Some(BreakNotice { connection, what })
    }

    /// Upgrades the lease for another open with its key. The lease grows if everything that was
    /// wanted can be granted and includes what the lease has, unless a break is pending.
    fn upgraded(
        &mut self,
        grantable: LeaseState,
        wanted: RequestedCaching,
    ) -> Option<GrantedLease> {
        let RequestedCaching::Lease { state, .. } = wanted else { return None };
        let grows = grantable == state && state.contains(self.caching_right.state);
        if grows && state != self.caching_right.state && !self.caching_right.is_breaking() {
            self.caching_right = CachingRight::new(state);
            self.count_change();
        }
        Some(self.granted())
    }

    fn count_change(&mut self) {
        self.epoch = self.epoch.map(|epoch| epoch.wrapping_add(1));
    }

    fn granted(&self) -> GrantedLease {
        GrantedLease {
            key: self.key,
            state: self.caching_right.state,
            breaking: self.caching_right.is_breaking(),
            parent_key: self.parent_key,
            epoch: self.epoch.unwrap_or_default(),
        }
    }
}
