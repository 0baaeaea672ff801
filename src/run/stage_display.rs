//! The stages and phases of a run, as its progress shows them.

use std::sync::Arc;
use std::time::Duration;

use crate::ir::Phase;
use crate::ir::source::WHOLE_PHASE;
use crate::observability::live::Live;
use crate::observability::progress::{ProgressDisplay, ProgressStage};
use crate::scheduler::timeline::Orders;
use crate::scheduler::{PhaseSpan, Stage, Timeline};

/// The progress of a run, and the stages that it has shown. The progress ends when this is dropped.
pub struct StageDisplay {
    progress: ProgressDisplay,
    /// The number of clients whose operations are made ahead of time zero.
    clients: u32,
    /// The number of stages that were shown.
    shown: usize,
}

impl StageDisplay {
    /// Starts to show progress: at first, that `clients` connect.
    pub fn start(enabled: bool, live: Arc<Live>, clients: u32) -> StageDisplay {
        let progress = ProgressDisplay::new(enabled, live);
        progress.stage(ProgressStage::Connecting { clients });
        StageDisplay { progress, clients, shown: 0 }
    }

    /// Shows a comparison of two generations in the progress line of a terminal, until it is None
    /// again.
    pub fn compare(&self, comparison: Option<String>) {
        self.progress.compare(comparison);
    }

    /// Shows each stage that was entered since the previous call, even if it has ended meanwhile.
    pub fn entered(&mut self, timeline: &Timeline) {
        for stage in timeline.entered().skip(self.shown) {
            self.shown += 1;
            let shown = match stage {
                Stage::RunSetup | Stage::Setup => ProgressStage::Setup,
                Stage::Fill => ProgressStage::Preparing { clients: self.clients },
                Stage::Teardown | Stage::RunTeardown => ProgressStage::Teardown,
                Stage::Connect | Stage::Measure | Stage::Finished => continue,
            };
            self.progress.stage(shown);
        }
    }

    /// Shows the phase that is measured. Returns the time at which that phase ends by itself, in
    /// nanoseconds.
    pub fn measured(
        &self,
        orders: &Orders,
        (spans, phases): (&[PhaseSpan], &[Phase]),
        now_ns: u64,
    ) -> Option<u64> {
        if orders.stage != Stage::Measure {
            return None;
        }
        let at_ns = now_ns.saturating_sub(orders.origin_ns);
        let index = spans.partition_point(|span| span.start_ns <= at_ns).saturating_sub(1);
        let end_ns = spans.get(index)?.end_ns;
        if orders.cut || end_ns.is_some_and(|end_ns| end_ns <= at_ns) {
            self.progress.stage(ProgressStage::Draining);
            return None;
        }
        self.progress.stage(ProgressStage::Phase {
            name: phases.get(index).map_or_else(|| WHOLE_PHASE.into(), |phase| phase.name.clone()),
            duration: phases.get(index).map(|phase| Duration::from_nanos(phase.duration_ns)),
        });
        end_ns.map(|end_ns| orders.origin_ns.saturating_add(end_ns))
    }
}
