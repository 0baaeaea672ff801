//! Counts of what servers granted, and of the breaks by which they took it back.

use std::collections::BTreeMap;

use serde::Serialize;

use super::distribution::Distribution;
use super::failures::{StatusCounts, StatusKey};
use super::summarize::{micros, times};
use super::summary::Times;
use crate::ir::event::{BreakEnd, BreakEvent};
use crate::protocol::create::OplockLevel;
use crate::protocol::{Break, Caching, CreateAction, Granted, LeaseState};

/// Counts of opens, by what the server granted and by create action.
#[derive(Clone, Debug, Default)]
pub struct GrantedCounts {
    oplocks: [u64; OPLOCKS.len()],
    /// Leases, indexed by the bits of their state.
    leases: [u64; 8],
    actions: [u64; 4],
}

const OPLOCKS: [OplockLevel; 4] =
    [OplockLevel::None, OplockLevel::II, OplockLevel::Exclusive, OplockLevel::Batch];
const ACTIONS: [CreateAction; 4] = [
    CreateAction::Superseded,
    CreateAction::Opened,
    CreateAction::Created,
    CreateAction::Overwritten,
];

impl GrantedCounts {
    /// The names of the caching that opens may be granted, for hooks and thresholds. `none` stands
    /// for no oplock as well as for a lease without rights.
    pub const CACHING: [&str; 8] = ["none", "ii", "exclusive", "batch", "R", "RH", "RW", "RWH"];

    pub fn actions() -> [&'static str; 4] {
        ACTIONS.map(CreateAction::name)
    }

    /// Returns the number of opens that were granted `name`, one of [`GrantedCounts::CACHING`].
    pub fn of_caching(&self, name: &str) -> u64 {
        let named =
            |(caching, count): (Caching, u64)| if caching.name() == name { count } else { 0 };
        self.by_caching().map(named).sum()
    }

    pub fn of_action(&self, name: &str) -> u64 {
        self.by_action().get(name).copied().unwrap_or_default()
    }

    fn by_caching(&self) -> impl Iterator<Item = (Caching, u64)> {
        let oplocks = OPLOCKS.into_iter().map(Caching::Oplock).zip(self.oplocks);
        let leases = (0..).map(|bits| Caching::Lease(LeaseState::from_bits(bits)));
        oplocks.chain(leases.zip(self.leases))
    }

    pub fn add(&mut self, granted: &Granted) {
        self.actions[granted.action as usize] += 1;
        match granted.caching() {
            Caching::Lease(state) => self.leases[state.bits() as usize] += 1,
            Caching::Oplock(level) => {
                let at = OPLOCKS.iter().position(|known| *known == level).unwrap_or_default();
                self.oplocks[at] += 1;
            }
        }
    }

    /// Returns whether any open was granted something that the server can take back.
    pub fn has_caching(&self) -> bool {
        self.oplocks[1..].iter().chain(&self.leases[1..]).any(|count| *count > 0)
    }

    pub fn merge(&mut self, other: &GrantedCounts) {
        let mine = self.oplocks.iter_mut().chain(&mut self.leases).chain(&mut self.actions);
        let theirs = other.oplocks.iter().chain(&other.leases).chain(&other.actions);
        mine.zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Returns the counts by what was granted: `batch`, `lease RWH`, `none`.
    pub(super) fn by_name(&self) -> BTreeMap<String, u64> {
        let name = |caching: Caching| match caching {
            Caching::Oplock(_) => caching.name().to_string(),
            Caching::Lease(state) => format!("lease {state}"),
        };
        let some = self.by_caching().filter(|(_, count)| *count > 0);
        some.map(|(caching, count)| (name(caching), count)).collect()
    }

    pub(super) fn by_action(&self) -> BTreeMap<&'static str, u64> {
        let counts = ACTIONS.map(CreateAction::name).into_iter().zip(self.actions);
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// The breaks of one workload in one phase, which is the phase in which their notices came.
#[derive(Clone, Debug, Default)]
pub struct BreakStats {
    pub oplock: u64,
    pub lease: u64,
    pub not_asked: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub closed: u64,
    pub connection_lost: u64,
    pub ignored: u64,
    pub timed_out: u64,
    pub cut: u64,
    refusals: StatusCounts,
    /// Times from the notice to the acknowledgement, where one was sent.
    pub waited: Distribution,
    /// Times from the notice to the end, of the breaks that wanted an answer.
    pub lasted: Distribution,
    /// The number of operations that waited for the end of a break, and their total wait.
    pub blocked: u64,
    blocked_ns: u128,
}

impl BreakStats {
    pub fn add(&mut self, event: &BreakEvent) {
        match event.notice {
            Break::Oplock(_) => self.oplock += 1,
            Break::Lease(_) => self.lease += 1,
        }
        match event.end {
            BreakEnd::NotAsked => self.not_asked += 1,
            BreakEnd::Acknowledged => self.acknowledged += 1,
            BreakEnd::Refused(status) => {
                self.refused += 1;
                *self.refusals.entry(StatusKey::Status(status)) += 1;
            }
            BreakEnd::Closed => self.closed += 1,
            BreakEnd::ConnectionLost => self.connection_lost += 1,
            BreakEnd::Ignored => self.ignored += 1,
            BreakEnd::TimedOut => self.timed_out += 1,
            BreakEnd::Cut => self.cut += 1,
        }
        if let Some(acknowledged_ns) = event.acknowledged_ns {
            self.waited.record(acknowledged_ns.saturating_sub(event.noticed_ns));
        }
        if event.end != BreakEnd::NotAsked {
            self.lasted.record(event.ended_ns.saturating_sub(event.noticed_ns));
        }
        self.blocked += u64::from(event.blocked);
        self.blocked_ns += u128::from(event.blocked_ns);
    }

    pub fn count(&self) -> u64 {
        self.oplock + self.lease
    }

    pub fn merge(&mut self, other: &BreakStats) {
        for (mine, theirs) in [
            (&mut self.oplock, other.oplock),
            (&mut self.lease, other.lease),
            (&mut self.not_asked, other.not_asked),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.refused, other.refused),
            (&mut self.closed, other.closed),
            (&mut self.connection_lost, other.connection_lost),
            (&mut self.ignored, other.ignored),
            (&mut self.timed_out, other.timed_out),
            (&mut self.cut, other.cut),
            (&mut self.blocked, other.blocked),
        ] {
            *mine += theirs;
        }
        self.blocked_ns += other.blocked_ns;
        self.refusals.merge(&other.refusals);
        self.waited.merge(&other.waited);
        self.lasted.merge(&other.lasted);
    }

    pub(super) fn summary(&self) -> BreakSummary {
        BreakSummary {
            oplock: self.oplock,
            lease: self.lease,
            not_asked: self.not_asked,
            acknowledged: self.acknowledged,
            refused: self.refused,
            closed: self.closed,
            connection_lost: self.connection_lost,
            ignored: self.ignored,
            timed_out: self.timed_out,
            cut: self.cut,
            refusals: self.refusals.iter().map(|(key, count)| (key.name(), *count)).collect(),
            waited_us: times(&self.waited),
            lasted_us: times(&self.lasted),
            blocked_operations: self.blocked,
            blocked_us: micros(u64::try_from(self.blocked_ns).unwrap_or(u64::MAX)),
            elsewhere: None,
        }
    }
}

/// Breaks by what was broken (`oplock`, `lease`), and the same breaks by how they ended
/// (`not_asked` to `cut`). A break counts in the phase in which its notice came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BreakSummary {
    /// Breaks of oplocks.
    pub oplock: u64,
    /// Breaks of leases.
    pub lease: u64,
    /// Breaks for which the server wanted no answer.
    pub not_asked: u64,
    /// Breaks whose answer the server accepted.
    pub acknowledged: u64,
    /// The server refused the answer.
    pub refused: u64,
    /// Breaks whose file was closed before the answer.
    pub closed: u64,
    /// The connection was lost before the answer.
    pub connection_lost: u64,
    /// `on_break` says to give no answer, and the server gave up, after 35 s of its own.
    pub ignored: u64,
    /// An answer was meant, and the server had taken none when it gave up, after 35 s of its
    /// own.
    pub timed_out: u64,
    /// The run ended before the break did.
    pub cut: u64,
    /// Number of refused answers by NT status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<String, u64>,
    /// From the notice to the acknowledgement, in microseconds; absent where none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<Times>,
    /// From the notice to the end, however it came, in microseconds: for this long the server
    /// kept others from the file. Absent where no break wanted an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasted_us: Option<Times>,
    /// Operations that waited for the end of a break before they were issued. One that waited
    /// for two counts twice.
    pub blocked_operations: u64,
    /// Microseconds that they waited, together.
    pub blocked_us: f64,
    /// Breaks outside of the recorded phases, which no other figure here counts; absent in
    /// phases and workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<u64>,
}

impl BreakSummary {
    pub fn count(&self) -> u64 {
        self.oplock + self.lease
    }
}
