//! What one holder, an oplock or a lease, may cache, and how it loses it.

use crate::protocol::create::OplockLevel;
use crate::protocol::{LeaseState, NtStatus};

/// How long a break waits for its acknowledgement: what Windows and Samba take
/// (MS-SMB2 3.3.2.1 and 3.3.2.5 with their product notes; Samba's
/// OPLOCK_BREAK_TIMEOUT). Measured with Samba 4.17: 35.0 s.
pub const BREAK_TIMEOUT_NS: u64 = 35_000_000_000;

/// An oplock is kept as the lease it amounts to: level II caches reads,
/// exclusive writes too, batch handles too (MS-FSA 2.1.1.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// Held until a break is acknowledged.
    pub state: LeaseState,
    breaking: Option<Breaking>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Breaking {
    /// What the client was told it may keep.
    to: LeaseState,
    /// What may remain after all: less than `to` where more was taken since.
    finally: LeaseState,
    /// Follows the answer to another break, for which somebody still waits.
    follows: bool,
    deadline_ns: u64,
}

/// A break the client is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: LeaseState,
    pub to: LeaseState,
    /// Without it the change has happened.
    pub acknowledged: bool,
}

/// An oplock knows no handle caching without write caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Oplock,
    Lease,
}

impl Cached {
    pub fn new(state: LeaseState) -> Cached {
        Cached { state, breaking: None }
    }

    pub fn is_breaking(&self) -> bool {
        self.breaking.is_some()
    }

    /// Takes caching away. A holder of read caching alone just loses it; any
    /// other is asked, and has it until it has acknowledged. Whoever disturbs
    /// must wait for that, with the deadline returned, where it takes write or
    /// handle caching: readers' data is still good, and written data is not
    /// there yet (MS-FSA 2.1.4.12). While one break follows another, everybody
    /// in the way waits for the last.
    pub fn take(
        &mut self,
        kind: Kind,
        taken: LeaseState,
        now_ns: u64,
    ) -> (Option<Change>, Option<u64>) {
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
    ) -> Option<Change> {
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
        Some(Change { from, to, acknowledged })
    }

    /// The client keeps `state`. What had to go meanwhile is taken at once, in
    /// steps: reads are left until nothing else is, as Windows does it
    /// (smbtorture smb2.lease.breaking3).
    ///
    /// # Errors
    /// As MS-SMB2 3.3.5.22.2: STATUS_UNSUCCESSFUL where nothing is broken,
    /// STATUS_REQUEST_NOT_ACCEPTED where the client wants more than it may.
    pub fn acknowledge(
        &mut self,
        state: LeaseState,
        now_ns: u64,
    ) -> Result<Option<Change>, NtStatus> {
        let breaking = self.breaking.ok_or(NtStatus::UNSUCCESSFUL)?;
        if !breaking.to.contains(state) {
            return Err(NtStatus::REQUEST_NOT_ACCEPTED);
        }
        *self = Cached::new(state);
        let finally = (state & breaking.finally).legal();
        let to = if state == LeaseState::R { finally } else { finally | (state & LeaseState::R) };
        Ok(self.reduce((to, finally), true, now_ns))
    }

    /// All is lost, as after a break that was not acknowledged in time
    /// (MS-SMB2 3.3.6.1, 3.3.6.4) or was answered with nonsense (3.3.5.22.1).
    pub fn lose(&mut self) {
        *self = Cached::default();
    }

    /// Whether the time to acknowledge has just passed; all is lost then.
    pub fn expire(&mut self, now_ns: u64) -> bool {
        let expired = self.breaking.is_some_and(|breaking| breaking.deadline_ns <= now_ns);
        if expired {
            self.lose();
        }
        expired
    }
}

fn left(kind: Kind, state: LeaseState, taken: LeaseState) -> LeaseState {
    let left = (state - taken).legal();
    match kind {
        Kind::Oplock if left != state => left & LeaseState::R,
        _ => left,
    }
}

/// The state an oplock amounts to.
pub fn state_of(level: OplockLevel) -> LeaseState {
    match level {
        OplockLevel::None | OplockLevel::Lease => LeaseState::NONE,
        OplockLevel::II => LeaseState::R,
        OplockLevel::Exclusive => LeaseState::RW,
        OplockLevel::Batch => LeaseState::RWH,
    }
}

/// The oplock that amounts to no more than the state.
pub fn level_of(state: LeaseState) -> OplockLevel {
    match state {
        LeaseState::RWH => OplockLevel::Batch,
        LeaseState::RW => OplockLevel::Exclusive,
        LeaseState::NONE => OplockLevel::None,
        _ => OplockLevel::II,
    }
}
