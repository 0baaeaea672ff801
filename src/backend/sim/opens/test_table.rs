//! Clients with opens, for the tests of the model. Each client has one connection. The time stands
//! still unless a test moves it.

use super::access::{READ_DATA, SHARE_ALL, Sharing, WRITE_DATA};
use super::{AttemptResult, BreakCause, Initiator, OpenRequest, OpenTable, RequestedCaching};
use crate::protocol::create::OplockLevel;
use crate::protocol::{
    Acknowledgement, Break, FileId, GrantedLease, LeaseBreak, LeaseKey, LeaseState, NtStatus,
    OplockBreak,
};

pub const FILE: u64 = 7;

#[derive(Default)]
pub struct TestTable {
    pub table: OpenTable,
    pub now_ns: u64,
    pub locked: bool,
    pub last_number: u64,
    pub breaks: Vec<(u32, Break)>,
}

/// The result of an attempt to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    Opened { number: u64, oplock: OplockLevel, lease: Option<GrantedLease> },
    Waits { until_ns: u64 },
}

impl Tried {
    pub fn number(self) -> u64 {
        match self {
            Tried::Opened { number, .. } => number,
            Tried::Waits { .. } => panic!("the open waits"),
        }
    }

    pub fn oplock(self) -> OplockLevel {
        match self {
            Tried::Opened { oplock, .. } => oplock,
            Tried::Waits { .. } => panic!("the open waits"),
        }
    }

    pub fn lease(self) -> LeaseState {
        self.granted().state
    }

    pub fn granted(self) -> GrantedLease {
        match self {
            Tried::Opened { lease: Some(lease), .. } => lease,
            other => panic!("no lease: {other:?}"),
        }
    }
}

/// Returns the state with these letters, such as `"RWH"`.
pub fn state(letters: &str) -> LeaseState {
    letters.chars().fold(LeaseState::NONE, |state, letter| {
        state
            | match letter {
                'R' => LeaseState::R,
                'W' => LeaseState::W,
                _ => LeaseState::H,
            }
    })
}

pub fn key(number: u8) -> LeaseKey {
    [number; 16]
}

/// Returns a request for a lease of version 2 without a parent key.
pub fn lease(number: u8, letters: &str) -> RequestedCaching {
    RequestedCaching::Lease {
        key: key(number),
        state: state(letters),
        parent_key: None,
        has_epoch: true,
    }
}

pub fn oplock(level: OplockLevel) -> RequestedCaching {
    RequestedCaching::Oplock(level)
}

/// Returns an open that reads and writes, and shares everything.
pub fn wanted(client: u32, caching: RequestedCaching) -> OpenRequest {
    OpenRequest {
        number: 0,
        connection: client.into(),
        client,
        sharing: Sharing { access: READ_DATA | WRITE_DATA, share: SHARE_ALL },
        overwrites: false,
        directory: false,
        caching,
    }
}

/// Returns a break of a lease, with the client that receives it and epoch 0. Only a lease of reads
/// alone needs no acknowledgement.
pub fn lease_break(client: u32, number: u8, from: &str, to: &str) -> (u32, Break) {
    let (current, new) = (state(from), state(to));
    let what = LeaseBreak {
        key: key(number),
        current,
        new,
        epoch: 0,
        acknowledgement_required: current != LeaseState::R,
    };
    (client, Break::Lease(what))
}

pub fn oplock_break(client: u32, open: u64, level: OplockLevel) -> (u32, Break) {
    let file_id = FileId { persistent: open, volatile: open };
    (client, Break::Oplock(OplockBreak { file_id, level }))
}

impl TestTable {
    pub fn try_open(&mut self, wanted: OpenRequest) -> Result<Tried, NtStatus> {
        self.try_open_of(FILE, wanted)
    }

    pub fn try_open_of(&mut self, file: u64, mut wanted: OpenRequest) -> Result<Tried, NtStatus> {
        self.last_number += 1;
        wanted.number = self.last_number;
        let mut notices = Vec::new();
        let step = self.table.admit(Some(file), &wanted, self.now_ns, &mut notices);
        self.note(notices);
        if let AttemptResult::Wait(wait) = step? {
            return Ok(Tried::Waits { until_ns: wait.until_ns });
        }
        let (oplock, lease) = self.table.add(file, &wanted, self.locked);
        Ok(Tried::Opened { number: wanted.number, oplock, lease })
    }

    pub fn open(&mut self, client: u32, caching: RequestedCaching) -> Tried {
        self.try_open(wanted(client, caching)).unwrap()
    }

    /// Opens a file while every break that this causes is answered as the server wants it. Returns
    /// the breaks as well.
    pub fn open_answered(
        &mut self,
        client: u32,
        caching: RequestedCaching,
    ) -> (Tried, Vec<(u32, Break)>) {
        let mut all = Vec::new();
        loop {
            let tried = self.open(client, caching);
            let breaks = self.breaks();
            if let Tried::Opened { .. } = tried {
                all.extend(breaks);
                return (tried, all);
            }
            assert!(!breaks.is_empty(), "waits for nothing");
            for (client, what) in breaks {
                self.answer(client, what.acknowledgement()).unwrap();
                all.push((client, what));
            }
        }
    }

    pub fn answer(&mut self, client: u32, answer: Acknowledgement) -> Result<(), NtStatus> {
        let mut notices = Vec::new();
        let (file, now_ns) = (Some(FILE), self.now_ns);
        let answered = self.table.acknowledge(client, answer, file, now_ns, &mut notices);
        self.note(notices);
        answered
    }

    pub fn answer_lease(&mut self, client: u32, number: u8, letters: &str) -> Result<(), NtStatus> {
        let (key, state) = (key(number), state(letters));
        self.answer(client, Acknowledgement::Lease { key, state })
    }

    pub fn answer_oplock(
        &mut self,
        client: u32,
        open: u64,
        level: OplockLevel,
    ) -> Result<(), NtStatus> {
        let file_id = FileId { persistent: open, volatile: open };
        self.answer(client, Acknowledgement::Oplock { file_id, level })
    }

    /// Disturbs the file, and returns whether the operation must wait.
    pub fn break_for(&mut self, who: Initiator, cause: BreakCause) -> bool {
        let mut notices = Vec::new();
        let step = self.table.break_for(FILE, who, cause, self.now_ns, &mut notices);
        self.note(notices);
        matches!(step, AttemptResult::Wait(_))
    }

    pub fn close(&mut self, number: u64) {
        self.table.close(FILE, number);
    }

    pub fn held(&mut self, number: u64) -> LeaseState {
        self.table.held(FILE, number, self.now_ns).unwrap()
    }

    /// Returns the breaks since the last call, with the clients that received them. Epochs are set
    /// to 0.
    pub fn breaks(&mut self) -> Vec<(u32, Break)> {
        let mut breaks = self.breaks_with_epochs();
        for (_, what) in &mut breaks {
            if let Break::Lease(lease) = what {
                lease.epoch = 0;
            }
        }
        breaks
    }

    pub fn breaks_with_epochs(&mut self) -> Vec<(u32, Break)> {
        std::mem::take(&mut self.breaks)
    }

    fn note(&mut self, notices: Vec<super::BreakNotice>) {
        let breaks = notices.into_iter().map(|notice| (notice.connection as u32, notice.what));
        self.breaks.extend(breaks);
    }
}

/// Returns a disturber that has no lease.
pub fn who(client: u32, open: u64) -> Initiator {
    Initiator { open, client, key: None }
}

/// Returns the owner of a lease, as a disturber.
pub fn owner(client: u32, open: u64, number: u8) -> Initiator {
    Initiator { open, client, key: Some(key(number)) }
}
