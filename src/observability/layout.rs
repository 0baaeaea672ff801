//! The phases and workloads that measurements are kept apart by.

use std::sync::Arc;
use std::time::Duration;

use crate::ir::source::{RUN_CLIENT, WHOLE_PHASE};
use crate::ir::units::nanoseconds;
use crate::ir::{Phase, Section, StreamHeader};

/// The phases and workloads that measurements are kept apart by, the same for all shards of a run.
///
/// A reload may add workloads and clients to a run. They come after those that are there, so that
/// the numbers of clients and the indexes of workloads stay. Only the index of the run-wide client's
/// workload moves, because it is the last. An index is therefore valid for the layout that returned
/// it.
#[derive(Debug)]
pub struct Layout {
    pub header: Arc<StreamHeader>,
    phases: Vec<Phase>,
    /// The index of each client's workload. The run-wide client counts as a workload after the
    /// others.
    workload_of: Vec<u32>,
    late_bound_ns: u64,
}

impl Layout {
    /// Creates the layout of a run. `phases` are the phases it really has, which the command line
    /// may have changed. Without any, all iterations count as one recorded phase.
    pub fn new(header: Arc<StreamHeader>, mut phases: Vec<Phase>, late_bound: Duration) -> Layout {
        if phases.is_empty() {
            phases.push(Phase { name: WHOLE_PHASE.into(), duration_ns: 0, record: true });
        }
        let workloads = &header.workloads;
        let run_wide = workloads.len() as u32;
        let workload_of = (0..workloads.clients())
            .map(|client| workloads.of(client).map_or(run_wide, |(index, _)| index as u32))
            .collect();
        let late_bound_ns = nanoseconds(late_bound);
        Layout { header, phases, workload_of, late_bound_ns }
    }

    /// Returns the layout of the same run after a reload. The workloads of `header` begin with those
    /// of this layout.
    pub fn grown(&self, header: Arc<StreamHeader>) -> Layout {
        Layout::new(header, self.phases.clone(), Duration::from_nanos(self.late_bound_ns))
    }

    /// Returns whether this layout has a workload or a client that `other` does not have.
    pub(super) fn is_beyond(&self, other: &Layout) -> bool {
        self.size() > other.size()
    }

    fn size(&self) -> (usize, usize) {
        (self.workloads(), self.workload_of.len())
    }

    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    pub fn late_bound_ns(&self) -> u64 {
        self.late_bound_ns
    }

    /// Returns the number of workloads, including that of the run-wide client, which is the last.
    pub(super) fn workloads(&self) -> usize {
        self.header.workloads.len() + 1
    }

    pub fn workload(&self, client_idx: u32) -> usize {
        let run_wide = self.header.workloads.len();
        self.workload_of.get(client_idx as usize).map_or(run_wide, |index| *index as usize)
    }

    pub(super) fn workload_name(&self, workload: usize) -> &str {
        self.header.workloads.get(workload).map_or(RUN_CLIENT, |workload| &workload.name)
    }

    /// Returns the index of a section or phase: phases, then setup, then teardown.
    pub fn slot(&self, section: Section, phase: Option<u16>) -> usize {
        match section {
            Section::Setup => self.setup(),
            Section::Teardown => self.setup() + 1,
            Section::Iteration => phase.map_or(0, usize::from).min(self.phases.len() - 1),
        }
    }

    pub fn setup(&self) -> usize {
        self.phases.len()
    }

    pub(super) fn phase_name(&self, index: u16) -> Option<&str> {
        self.phases.get(usize::from(index)).map(|phase| phase.name.as_str())
    }

    /// Returns whether the summary's `totals` count what happens in a slot.
    pub(super) fn is_recorded(&self, slot: usize) -> bool {
        self.phases.get(slot).is_some_and(|phase| phase.record)
    }

    /// Returns the part of the time from time zero to `since_zero_ns` that is in recorded phases,
    /// in nanoseconds.
    pub(super) fn recorded_ns(&self, since_zero_ns: u64) -> u64 {
        let mut left_ns = since_zero_ns;
        let mut recorded_ns = 0;
        for phase in &self.phases {
            // The one phase of a run that declares none has no length.
            let length_ns = if phase.duration_ns == 0 { u64::MAX } else { phase.duration_ns };
            let spent_ns = left_ns.min(length_ns);
            left_ns -= spent_ns;
            recorded_ns += if phase.record { spent_ns } else { 0 };
        }
        recorded_ns
    }

    pub(super) fn slots(&self) -> usize {
        self.phases.len() + 2
    }
}
