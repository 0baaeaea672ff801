//! The workloads of a stream, and the assignment of clients to workloads.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::protocol::BreakPolicy;
use crate::protocol::break_policy::in_words;

/// A named group of clients with the same sections and pace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    pub name: Arc<str>,
    pub clients: u32,
    /// The clients' names in a document. Those of a script are `<workload>/<id>`, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_names: Option<Arc<[Arc<str>]>>,
    /// The way in which its clients answer breaks, unless an open states its own.
    #[serde(default, skip_serializing_if = "BreakPolicy::is_default", with = "in_words")]
    pub on_break: BreakPolicy,
    /// Whether each client's setup runs again, at its next boundary, when a reload moves the client
    /// to a later generation. If not, the setup of the later generation is made and discarded, so
    /// that its iterations must not use a handle that it opened. A document does not have this field.
    #[serde(default, skip)]
    pub setup_on_reload: bool,
}

impl Workload {
    /// Creates a workload whose clients are named by their numbers.
    pub fn new(name: &str, clients: u32) -> Workload {
        let on_break = BreakPolicy::default();
        let name = name.into();
        Workload { name, clients, client_names: None, on_break, setup_on_reload: false }
    }
}

/// Maximum number of clients of a stream.
pub const MAX_CLIENTS: u32 = 1_000_000;
/// Maximum number of workloads. More would be a mistake, and each is a part of every report.
pub const MAX_WORKLOADS: usize = 1_000;

/// The workloads in the order in which their clients are numbered. Finding the workload of a
/// client takes a time that grows with the logarithm of their number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workloads {
    list: Vec<Workload>,
    stretches: Vec<Stretch>,
}

/// Successive numbers of clients of one workload.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    /// The number after the last.
    end: u32,
    /// The index of the workload. None for the run-wide client, where other clients come after it.
    workload: Option<usize>,
    /// The number of the first of them within the workload.
    first_id: u32,
}

impl Workloads {
    /// Returns the number that follows the clients of all workloads. In a stream that is the number
    /// of these clients. In a run whose stream was reloaded, numbers of clients that have left and
    /// that of the run-wide client may be among them.
    pub fn clients(&self) -> u32 {
        self.stretches.last().map_or(0, |last| last.end)
    }

    /// Returns the workload that a client belongs to, and its number there.
    pub fn of(&self, client: u32) -> Option<(usize, u32)> {
        let at = self.stretches.partition_point(|stretch| stretch.end <= client);
        let Stretch { workload, first_id, .. } = *self.stretches.get(at)?;
        let first = at.checked_sub(1).map_or(0, |before| self.stretches[before].end);
        Some((workload?, first_id + (client - first)))
    }

    /// Returns, for each workload, the numbers of its clients in the order of their numbers within
    /// the workload.
    pub(super) fn numbers_by_workload(&self) -> Vec<Vec<u32>> {
        let mut numbers = vec![Vec::new(); self.list.len()];
        for client in 0..self.clients() {
            if let Some((workload, _)) = self.of(client) {
                numbers[workload].push(client);
            }
        }
        numbers
    }

    /// Leaves the number of the run-wide client to it. Clients that are appended come after it.
    pub(super) fn reserve(&mut self, run_client: u32) {
        if self.clients() == run_client {
            self.stretches.push(Stretch { end: run_client + 1, workload: None, first_id: 0 });
        }
    }

    /// Gives the next number to the client `id` of a workload, whose clients before it have theirs.
    pub(super) fn append(&mut self, workload: usize, id: u32) {
        let end = self.clients() + 1;
        match self.stretches.last_mut() {
            Some(last) if last.workload == Some(workload) => last.end = end,
            _ => self.stretches.push(Stretch { end, workload: Some(workload), first_id: id }),
        }
    }

    /// Returns these clients with another list of the workloads that their numbers refer to.
    pub(super) fn with_list(self, list: Vec<Workload>) -> Workloads {
        Workloads { list, ..self }
    }

    /// Returns the number of the run-wide client, if it has one among the clients of workloads.
    pub(super) fn run_client(&self) -> Option<u32> {
        let its = self.stretches.iter().find(|stretch| stretch.workload.is_none())?;
        Some(its.end - 1)
    }
}

impl FromIterator<Workload> for Workloads {
    fn from_iter<I: IntoIterator<Item = Workload>>(workloads: I) -> Workloads {
        let list: Vec<Workload> = workloads.into_iter().collect();
        // Too many clients for a `u32` are refused before, in scripts and in documents.
        let mut end = 0_u32;
        let stretches = list.iter().enumerate().map(|(at, workload)| {
            end = end.saturating_add(workload.clients);
            Stretch { end, workload: Some(at), first_id: 0 }
        });
        Workloads { stretches: stretches.collect(), list }
    }
}

impl From<Vec<Workload>> for Workloads {
    fn from(workloads: Vec<Workload>) -> Workloads {
        workloads.into_iter().collect()
    }
}

impl Deref for Workloads {
    type Target = [Workload];

    fn deref(&self) -> &[Workload] {
        &self.list
    }
}

impl<'w> IntoIterator for &'w Workloads {
    type Item = &'w Workload;
    type IntoIter = std::slice::Iter<'w, Workload>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_by_its_number_through_all_workloads() {
        let sizes = [2, 0, 1, 3, 0];
        let workloads: Workloads =
            sizes.iter().map(|&clients| Workload::new("w", clients)).collect();
        let found: Vec<_> = (0..8).map(|client| workloads.of(client)).collect();
        let expected =
            [Some((0, 0)), Some((0, 1)), Some((2, 0)), Some((3, 0)), Some((3, 1)), Some((3, 2))];
        assert_eq!(found, [&expected[..], &[None, None]].concat());
        assert_eq!(workloads.clients(), 6);
        assert_eq!((Workloads::default().clients(), Workloads::default().of(0)), (0, None));
    }
}
