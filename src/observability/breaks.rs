//! Counts of what servers granted, and of the breaks by which they took it back.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::{Serialize, Serializer};

use super::distribution::{Distribution, Times, micros};
use super::failures::{StatusCounts, StatusKey};
use super::merge::{Merge, merge_fields};
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

merge_fields!(GrantedCounts { oplocks, leases, actions });

/// Numbers of breaks by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakEnds([u64; BreakEnd::NAMES.len()]);

impl Merge for BreakEnds {
    fn merge(&mut self, other: &BreakEnds) {
        self.0.merge(&other.0);
    }
}

impl Index<BreakEnd> for BreakEnds {
    type Output = u64;

    fn index(&self, end: BreakEnd) -> &u64 {
        &self.0[end as usize]
    }
}

impl Serialize for BreakEnds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(BreakEnd::NAMES.map(|(name, end)| (name, self[end])))
    }
}

#[cfg(test)]
impl schemars::JsonSchema for BreakEnds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BreakEnds".into()
    }

    /// Returns the schema of an object with one count for each [`BreakEnd`]. The doc comment of the
    /// variant describes the count.
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let ends = BreakEnd::json_schema(generator).to_value();
        let mut properties = serde_json::Map::new();
        for end in ends["oneOf"].as_array().expect("each end has a description") {
            let description =
                format!("Breaks with this end: {}", end["description"].as_str().unwrap());
            let mut count = generator.subschema_for::<u64>();
            count.insert("description".into(), description.into());
            properties.insert(end["const"].as_str().unwrap().into(), count.to_value());
        }
        let names = BreakEnd::NAMES.map(|(name, _)| name);
        schemars::json_schema!({ "type": "object", "properties": properties, "required": names })
    }
}

/// Numbers of breaks by what was broken (`oplock`, `lease`), and of the same breaks by how they
/// ended (`not_asked` to `cut`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BreakCounts {
    /// Breaks of oplocks.
    pub oplock: u64,
    /// Breaks of leases.
    pub lease: u64,
    #[serde(flatten)]
    pub ends: BreakEnds,
    /// Operations that waited for the end of a break before they were issued. One that waited
    /// for two counts twice.
    pub blocked_operations: u64,
}

merge_fields!(BreakCounts { oplock, lease, ends, blocked_operations });

impl BreakCounts {
    /// Returns the number of breaks.
    pub fn all(&self) -> u64 {
        self.oplock + self.lease
    }
}

/// The breaks of one workload in one phase, which is the phase in which their notices came.
#[derive(Clone, Debug, Default)]
pub struct BreakStats {
    pub counts: BreakCounts,
    refusals: StatusCounts,
    /// Times from the notice to the acknowledgement, where one was sent.
    pub waited: Distribution,
    /// Times from the notice to the end of the break, over the breaks that required an answer.
    pub lasted: Distribution,
    /// The total wait of the operations that waited for the end of a break.
    blocked_ns: u128,
}

merge_fields!(BreakStats { counts, refusals, waited, lasted, blocked_ns });

impl BreakStats {
    pub fn add(&mut self, event: &BreakEvent) {
        match event.notice {
            Break::Oplock(_) => self.counts.oplock += 1,
            Break::Lease(_) => self.counts.lease += 1,
        }
        self.counts.ends.0[event.end as usize] += 1;
        if let Some(status) = event.refusal {
            *self.refusals.entry(StatusKey::Status(status)) += 1;
        }
        if let Some(acknowledged_ns) = event.acknowledged_ns {
            self.waited.record(acknowledged_ns.saturating_sub(event.noticed_ns));
        }
        if event.end != BreakEnd::NotAsked {
            self.lasted.record(event.ended_ns.saturating_sub(event.noticed_ns));
        }
        self.counts.blocked_operations += u64::from(event.blocked);
        self.blocked_ns += u128::from(event.blocked_ns);
    }

    pub(super) fn summary(&self) -> BreakSummary {
        BreakSummary {
            counts: self.counts,
            refusals: self.refusals.by_name(),
            waited_us: self.waited.times(),
            lasted_us: self.lasted.times(),
            blocked_us: micros(u64::try_from(self.blocked_ns).unwrap_or(u64::MAX)),
            elsewhere: None,
        }
    }
}

/// Breaks and their times. A break counts in the phase in which its notice came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BreakSummary {
    #[serde(flatten)]
    pub counts: BreakCounts,
    /// Number of refused answers by NT status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<String, u64>,
    /// Times from the notice to the acknowledgement, in microseconds; absent if none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<Times>,
    /// Times from the notice to the end of the break, whatever ended it, in microseconds. During
    /// this time the server kept other clients from the file. Absent if no break required an
    /// answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasted_us: Option<Times>,
    /// Microseconds that the blocked operations waited, together.
    pub blocked_us: f64,
    /// Breaks outside of the recorded phases, which no other number here counts; absent in
    /// phases and workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<u64>,
}
