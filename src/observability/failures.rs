//! Failures by status: their number, and the first few operations of each.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layout::Layout;
use super::merge::Merge;
#[cfg(test)]
use crate::ir::OperationType;
use crate::ir::{CompletionEvent, CompletionStatus, Failure};
use crate::protocol::NtStatus;

/// Operations kept per status.
const FIRST: usize = 5;
/// Distinct statuses kept; all further ones share one entry.
const MAX_STATUSES: usize = 64;
/// The longest part of an error's message that is kept, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 300;

/// The status by which an operation is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusKey {
    Status(NtStatus),
    TimedOut,
    ConnectionLost,
    ClientError,
    Panicked,
    PayloadUnreadable,
    /// A status after the first 64 distinct ones.
    Other,
}

impl StatusKey {
    pub fn of(failure: &Failure) -> StatusKey {
        match failure {
            Failure::Status(status) => StatusKey::Status(*status),
            Failure::TimedOut => StatusKey::TimedOut,
            Failure::ConnectionLost(_) => StatusKey::ConnectionLost,
            Failure::Client(_) => StatusKey::ClientError,
            Failure::Panicked(_) => StatusKey::Panicked,
            Failure::Payload(_) => StatusKey::PayloadUnreadable,
        }
    }

    /// The keys that are not an NT status, by name.
    const OTHERS: [(&str, StatusKey); 5] = [
        ("TIMED_OUT", StatusKey::TimedOut),
        ("CONNECTION_LOST", StatusKey::ConnectionLost),
        ("CLIENT_ERROR", StatusKey::ClientError),
        ("PANICKED", StatusKey::Panicked),
        ("PAYLOAD_UNREADABLE", StatusKey::PayloadUnreadable),
    ];

    /// Returns the names of the keys that are not an NT status.
    pub fn other_names() -> impl Iterator<Item = &'static str> {
        Self::OTHERS.iter().map(|(name, _)| *name)
    }

    /// Parses the name of a key, the name of an NT status with or without its prefix, or the number
    /// of a status (`0xC0000022`). Case does not matter.
    pub fn from_name(name: &str) -> Option<StatusKey> {
        let upper = name.to_ascii_uppercase();
        if let Some((_, key)) = Self::OTHERS.iter().find(|(known, _)| *known == upper) {
            return Some(*key);
        }
        let number = || {
            let digits = upper.strip_prefix("0X").filter(|digits| !digits.starts_with('+'))?;
            u32::from_str_radix(digits, 16).ok().map(NtStatus)
        };
        NtStatus::from_name(&upper).or_else(number).map(StatusKey::Status)
    }

    /// Returns the name, with which the message of the [`Failure`] begins.
    pub fn name(self) -> String {
        match self {
            StatusKey::Status(status) => status.to_string(),
            key => Self::OTHERS
                .iter()
                .find(|(_, known)| *known == key)
                .map_or("OTHER", |(name, _)| name)
                .into(),
        }
    }
}

/// Values by status. In practice there are few statuses; the bound is for a server that makes them
/// up.
#[derive(Clone, Debug, Default)]
pub struct ByStatus<T>(Vec<(StatusKey, T)>);

pub type StatusCounts = ByStatus<u64>;
pub type Failures = ByStatus<Occurrences>;

impl<T: Default> ByStatus<T> {
    pub fn entry(&mut self, key: StatusKey) -> &mut T {
        let known = self.0.iter().position(|(known, _)| *known == key);
        if known.is_none() && self.0.len() >= MAX_STATUSES && key != StatusKey::Other {
            return self.entry(StatusKey::Other);
        }
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push((key, T::default()));
        }
        &mut self.0[at].1
    }

    pub fn iter(&self) -> impl Iterator<Item = (StatusKey, &T)> {
        self.0.iter().map(|(key, kept)| (*key, kept))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Merge + Default> Merge for ByStatus<T> {
    fn merge(&mut self, other: &ByStatus<T>) {
        other.iter().for_each(|(key, value)| self.entry(key).merge(value));
    }
}

impl StatusCounts {
    pub fn get(&self, key: StatusKey) -> u64 {
        self.iter().find(|(known, _)| *known == key).map_or(0, |(_, count)| *count)
    }

    /// Returns the counts by the names of the statuses, as the summary has them.
    pub(super) fn by_name(&self) -> BTreeMap<String, u64> {
        self.iter().map(|(key, count)| (key.name(), *count)).collect()
    }
}

impl Failures {
    /// Returns the failures, the most frequent first.
    pub fn by_count(&self) -> Vec<FailureGroup> {
        let mut failures: Vec<_> = self.iter().collect();
        failures.sort_by_key(|(key, found)| (std::cmp::Reverse(found.count), *key));
        let group = |(key, found): (StatusKey, &Occurrences)| FailureGroup {
            status: key.name(),
            code: if let StatusKey::Status(status) = key { Some(status.0) } else { None },
            operations: found.clone(),
        };
        failures.into_iter().map(group).collect()
    }
}

/// One operation that failed or was skipped. Its strings are not escaped: the code that prints
/// them does that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OperationRecord {
    /// The document's id, or the numbers of the client and of the operation (`0-17`).
    pub op_id: String,
    /// Name of the client.
    pub client: String,
    #[cfg_attr(test, schemars(with = "OperationType"))]
    pub operation: &'static str,
    /// The path it names, or that its handle was opened with; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Name of the phase; absent in setup and teardown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// When it ended, in microseconds from the run's origin (connections made, before setup).
    pub at_us: u64,
    /// The reason why the operation failed or was skipped, in words.
    pub message: String,
    /// The time at which it ended in nanoseconds, and the numbers of its client and of the
    /// operation. Records are sorted by these.
    #[serde(skip)]
    order: (u64, u32, u32),
}

impl OperationRecord {
    pub fn new(event: &CompletionEvent, path: Option<&str>, layout: &Layout) -> OperationRecord {
        let operation = &event.operation;
        let message = match &event.execution.status {
            CompletionStatus::Failed(failure) => failure.to_string(),
            CompletionStatus::Skipped { cause_seq } => {
                format!("its handle was not open because of {}-{cause_seq}", operation.client_idx)
            }
            CompletionStatus::Succeeded(_) | CompletionStatus::Cut => String::new(),
        };
        OperationRecord {
            op_id: operation.op_id(),
            client: layout.header.client_name(operation.client_idx),
            operation: operation.operation_type().name(),
            path: path.map(str::to_owned),
            phase: event.phase.and_then(|phase| layout.phase_name(phase)).map(str::to_owned),
            at_us: event.times.completed_ns / 1_000,
            message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
            order: (event.times.completed_ns, operation.client_idx, operation.seq),
        }
    }
}

/// Operations, and the first few of them in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Occurrences {
    /// Number of these operations.
    pub count: u64,
    /// The first few of them.
    pub first: Vec<OperationRecord>,
}

impl Occurrences {
    /// Counts an operation. `describe` is called only while there is room for its result.
    pub fn add(&mut self, describe: impl FnOnce() -> OperationRecord) {
        self.count += 1;
        if self.first.len() < FIRST {
            self.first.push(describe());
        }
    }
}

impl Merge for Occurrences {
    /// Adds `other`, and keeps the earliest operations of both.
    fn merge(&mut self, other: &Occurrences) {
        self.count += other.count;
        self.first.extend_from_slice(&other.first);
        self.first.sort_by_key(|record| record.order);
        self.first.truncate(FIRST);
    }
}

/// Operations that failed with one status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailureGroup {
    /// An NT status, or TIMED_OUT, CONNECTION_LOST, CLIENT_ERROR, PANICKED or
    /// PAYLOAD_UNREADABLE; OTHER stands for all statuses beyond the first 64.
    pub status: String,
    /// The NT status as a number; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    #[serde(flatten)]
    pub operations: Occurrences,
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{completion, layout, read};
    use super::*;

    fn at(at_ns: u64) -> OperationRecord {
        let mut event = completion(0, 0, read(1), CompletionStatus::Failed(Failure::TimedOut));
        event.times.completed_ns = at_ns;
        OperationRecord::new(&event, None, &layout())
    }

    #[test]
    fn merging_keeps_the_five_that_came_first_over_all() {
        let (mut a, mut b) = (Occurrences::default(), Occurrences::default());
        (0..10).for_each(|i| a.add(|| at(i * 10_000)));
        (0..10).for_each(|i| b.add(|| at(i * 10_000 + 5_000)));
        a.merge(&b);
        assert_eq!(a.count, 20);
        let times: Vec<u64> = a.first.iter().map(|operation| operation.at_us).collect();
        assert_eq!(times, [0, 5, 10, 15, 20]);
    }

    #[test]
    fn a_server_that_makes_up_statuses_does_not_fill_the_memory() {
        let (mut failures, mut counts) = (Failures::default(), StatusCounts::default());
        for number in 0..10_000 {
            failures.entry(StatusKey::Status(NtStatus(number))).add(|| at(0));
            *counts.entry(StatusKey::Status(NtStatus(number))) += 1;
        }
        let by_count = failures.by_count();
        assert_eq!(by_count.len(), MAX_STATUSES + 1);
        assert_eq!(by_count[0].status, StatusKey::Other.name());
        assert_eq!(by_count.iter().map(|group| group.operations.count).sum::<u64>(), 10_000);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
        assert_eq!(counts.iter().count(), MAX_STATUSES + 1);
    }

    #[test]
    fn keys_have_the_names_of_failures() {
        for failure in [
            Failure::Status(NtStatus::SHARING_VIOLATION),
            Failure::Status(NtStatus(0xC0DE_0001)),
            Failure::TimedOut,
            Failure::ConnectionLost("reset".into()),
            Failure::Client("nonsense".into()),
            Failure::Panicked("index".into()),
            Failure::Payload("blob /a is not a regular file".into()),
        ] {
            let key = StatusKey::of(&failure);
            let name = failure.to_string().split(':').next().unwrap().to_string();
            assert_eq!(key.name(), name);
            assert_eq!(StatusKey::from_name(&name), Some(key));
        }
        let denied = Some(StatusKey::Status(NtStatus::ACCESS_DENIED));
        assert_eq!(StatusKey::from_name("access_denied"), denied);
        for none in ["", "OTHER", "0x", "0x+1", "0x123456789", "ACCESS"] {
            assert_eq!(StatusKey::from_name(none), None, "{none:?}");
        }
    }
}
