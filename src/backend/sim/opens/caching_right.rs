//! The caching right of one holder, an oplock or a lease, and how the holder loses it.

use crate::protocol::create::OplockLevel;
use crate::protocol::{LeaseState, NtStatus};

/// Time that a break waits for its acknowledgement, in nanoseconds: that of Windows and Samba
/// (MS-SMB2 3.3.2.1 and 3.3.2.5 with their product notes; Samba's OPLOCK_BREAK_TIMEOUT). Measured
/// with Samba 4.17: 35.0 s.
pub const BREAK_TIMEOUT_NS: u64 = 35_000_000_000;

/// The caching right of one holder. An oplock is kept as the equivalent lease: level II caches
/// reads, exclusive also writes, batch also handles (MS-FSA 2.1.1.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachingRight {
    /// The state that the holder has until it acknowledges a break.
    pub state: LeaseState,
    breaking: Option<Breaking>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Breaking {
    /// The state that the break left to the client.
    to: LeaseState,
    /// The state that may remain in the end: less than `to` if more was taken since.
    finally: LeaseState,
    /// Whether this break follows the answer to another one, for which somebody still waits.
    follows: bool,
    deadline_ns: u64,
}

/// A break that must be sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RightChange {
    pub from: LeaseState,
    pub to: LeaseState,
    /// Whether the client must acknowledge it. If not, the change has already happened.
    pub acknowledged: bool,
}

/// The kind of holder. An oplock has no handle caching without write caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderKind {
    Oplock,
    Lease,
}

impl CachingRight {
    pub fn new(state: LeaseState) -> CachingRight {
        CachingRight { state, breaking: None }
    }

    pub fn is_breaking(&self) -> bool {
        self.breaking.is_some()
    }

    /// Takes caching away. A holder that caches only reads loses that at once. Any other is sent a
    /// break, and keeps what it has until it has acknowledged. An operation that takes write or
    /// handle caching must wait for that, until the deadline returned: readers' data is still good,
    /// but written data has not arrived yet (MS-FSA 2.1.4.12). While one break follows another,
    /// every operation in the way waits for the last.
    pub fn take(
        &mut self,
        kind: HolderKind,
        taken: LeaseState,
        now_ns: u64,
    ) -> (Option<RightChange>, Option<u64>) {
        let mut change = None;
        match &mut self.breaking {
            Some(breaking) => breaking.finally = left(kind, breaking.finally, taken),
            None => {
                let to = left(kind, self.state, taken);
                change = self.reduce((to, to), false, now_ns);
            }
        }
        let waits = match self.breaking {
            Some(Breaking { follows: true, .. }) => !taken.is_none(),
            _ => self.state.intersects(taken & (LeaseState::W | LeaseState::H)),
        };
        let deadline_ns = self.breaking.filter(|_| waits).map(|breaking| breaking.deadline_ns);
        (change, deadline_ns)
    }

    fn reduce(
        &mut self,
        (to, finally): (LeaseState, LeaseState),
        follows: bool,
        now_ns: u64,
    ) -> Option<RightChange> {
        let from = self.state;
        if to == from {
            return None;
        }
        let acknowledged = from != LeaseState::R;
        if acknowledged {
            let deadline_ns = now_ns.saturating_add(BREAK_TIMEOUT_NS);
            self.breaking = Some(Breaking { to, finally, follows, deadline_ns });
        } else {
            self.state = to;
        }
        Some(RightChange { from, to, acknowledged })
    }

    /// Applies the client's acknowledgement, with which it keeps `state`. If more caching had to be
    /// broken while this break was pending, starts the next break at once and returns it. Read
    /// caching is broken last, as in Windows (smbtorture smb2.lease.breaking3).
    ///
    /// # Errors
    /// STATUS_UNSUCCESSFUL if no break is pending, STATUS_REQUEST_NOT_ACCEPTED if the client wants
    /// more than it may have (MS-SMB2 3.3.5.22.2).
    pub fn acknowledge(
        &mut self,
        state: LeaseState,
        now_ns: u64,
    ) -> Result<Option<RightChange>, NtStatus> {
        let breaking = self.breaking.ok_or(NtStatus::UNSUCCESSFUL)?;
        if !breaking.to.contains(state) {
            return Err(NtStatus::REQUEST_NOT_ACCEPTED);
        }
        *self = CachingRight::new(state);
        let finally = (state & breaking.finally).legal();
        let to = if state == LeaseState::R { finally } else { finally | (state & LeaseState::R) };
        Ok(self.reduce((to, finally), true, now_ns))
    }

    /// Drops all caching, as after a break that was not acknowledged in time (MS-SMB2 3.3.6.1,
    /// 3.3.6.4) or whose answer was invalid (3.3.5.22.1).
    pub fn lose(&mut self) {
        *self = CachingRight::default();
    }

    /// Drops all caching if the time to acknowledge has passed, and returns whether it has.
    pub fn expire(&mut self, now_ns: u64) -> bool {
        let expired = self.breaking.is_some_and(|breaking| breaking.deadline_ns <= now_ns);
        if expired {
            self.lose();
        }
        expired
    }
}

fn left(kind: HolderKind, state: LeaseState, taken: LeaseState) -> LeaseState {
    let left = (state - taken).legal();
    match kind {
        HolderKind::Oplock if left != state => left & LeaseState::R,
        _ => left,
    }
}

/// Returns the lease state that is equivalent to an oplock level.
pub fn state_of(level: OplockLevel) -> LeaseState {
    match level {
        OplockLevel::None | OplockLevel::Lease => LeaseState::NONE,
        OplockLevel::II => LeaseState::R,
        OplockLevel::Exclusive => LeaseState::RW,
        OplockLevel::Batch => LeaseState::RWH,
    }
}

/// Returns the highest oplock level whose rights are all in the state.
pub fn level_of(state: LeaseState) -> OplockLevel {
    match state {
        LeaseState::RWH => OplockLevel::Batch,
        LeaseState::RW => OplockLevel::Exclusive,
        LeaseState::NONE => OplockLevel::None,
        _ => OplockLevel::II,
    }
}
