//! The life of a run as one pure state machine: stages, phases and the cut.

use crate::ir::{Phase, Section};

/// The stages of a run, in order. Every shard ends a stage before any shard begins the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Connect,
    /// The run-wide client's `bench.setup`.
    RunSetup,
    /// Every client's `setup`.
    Setup,
    /// The fetching of every client's first operations, so that time zero does not wait for
    /// the generator.
    Fill,
    /// The time from zero to the cut or the end of the stream, and then the drain.
    Measure,
    Teardown,
    RunTeardown,
    Finished,
}

impl Stage {
    /// Returns the section of the stream that the stage issues.
    pub fn section(self) -> Option<Section> {
        match self {
            Stage::RunSetup | Stage::Setup => Some(Section::Setup),
            Stage::Fill | Stage::Measure => Some(Section::Iteration),
            Stage::Teardown | Stage::RunTeardown => Some(Section::Teardown),
            Stage::Connect | Stage::Finished => None,
        }
    }

    /// Returns whether the stage is the run-wide client's rather than the others'.
    pub fn is_run_wide(self) -> bool {
        matches!(self, Stage::RunSetup | Stage::RunTeardown)
    }

    fn next(self) -> Stage {
        match self {
            Stage::Connect => Stage::RunSetup,
            Stage::RunSetup => Stage::Setup,
            Stage::Setup => Stage::Fill,
            Stage::Fill => Stage::Measure,
            Stage::Measure => Stage::Teardown,
            Stage::Teardown => Stage::RunTeardown,
            Stage::RunTeardown | Stage::Finished => Stage::Finished,
        }
    }
}

/// The reason why a run ended before its stream or its phases did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// Ctrl-C, SIGTERM or SIGHUP.
    Interrupted,
    /// The key that ends a run without an end of its own, whose measurement is whole.
    Quit,
    /// A hook of the script that ended the run.
    Aborted,
    /// An operation of setup that failed unexpectedly.
    SetupFailed,
    /// A failed threshold that may end the run; the message says which.
    Threshold(String),
    /// A stream that broke off; the message says where.
    Source(String),
    /// A connection that could not be made before the run.
    Connect(String),
    /// A defect of this program.
    Internal(String),
}

/// A phase on the run's clock, in nanoseconds from time zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseSpan {
    pub start_ns: u64,
    /// The end of the phase. None if it lasts until the stream ends.
    pub end_ns: Option<u64>,
    pub record: bool,
}

impl PhaseSpan {
    /// Returns the phase of an instant while measuring. The last phase includes everything
    /// after it.
    pub fn at(phases: &[PhaseSpan], stage: Stage, origin_ns: u64, at_ns: u64) -> Option<u16> {
        if stage != Stage::Measure {
            return None;
        }
        let at_ns = at_ns.saturating_sub(origin_ns);
        let after = phases.partition_point(|phase| phase.start_ns <= at_ns);
        u16::try_from(after.saturating_sub(1)).ok()
    }

    /// Returns the spans of consecutive phases. Without phases there is one recorded span
    /// without end.
    pub fn chain(phases: &[Phase]) -> Vec<PhaseSpan> {
        if phases.is_empty() {
            return vec![PhaseSpan { start_ns: 0, end_ns: None, record: true }];
        }
        let mut start_ns = 0_u64;
        phases
            .iter()
            .map(|phase| {
                let end_ns = start_ns.saturating_add(phase.duration_ns);
                let span = PhaseSpan { start_ns, end_ns: Some(end_ns), record: phase.record };
                start_ns = end_ns;
                span
            })
            .collect()
    }
}

/// The orders that every shard follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    pub stage: Stage,
    /// The instant from which the stage's `At` times count: time zero, in `Measure`.
    pub origin_ns: u64,
    /// Whether to discard operations that are not issued.
    pub cut: bool,
    /// The time at which operations that still run are given up.
    pub give_up_ns: Option<u64>,
}

/// The timeline of a run, which keeps `shards` shards in step. Callers report what they finish
/// and when.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub orders: Orders,
    shards: usize,
    arrived: usize,
    drain_ns: u64,
    /// The time from the last arrival to time zero, so that every shard is ready for it.
    lead_ns: u64,
    end_ns: Option<u64>,
    reason: Option<CutReason>,
    stopped: bool,
    /// Whether the run ended before its phases were measured to their end.
    cut_short: bool,
    /// The time at which measuring began.
    zero_ns: Option<u64>,
    /// The time at which measuring ended: at the cut, or when the last shard ran out of operations.
    cut_ns: Option<u64>,
    /// The time at which each stage began.
    entered: Vec<(Stage, u64)>,
}

impl Timeline {
    pub fn new(shards: usize, phases: &[PhaseSpan], drain_ns: u64, lead_ns: u64) -> Timeline {
        let end_ns = phases.last().and_then(|last| last.end_ns);
        let entered = vec![(Stage::Connect, 0)];
        Timeline { shards, drain_ns, lead_ns, end_ns, entered, ..Timeline::default() }
    }

    /// Returns why the run ended early, if it did.
    pub fn reason(&self) -> Option<&CutReason> {
        self.reason.as_ref()
    }

    /// Returns whether what still ran was given up at once, before its bound.
    pub fn was_stopped(&self) -> bool {
        self.stopped
    }

    /// Returns whether the run ended before its phases, or a stream without phases, were
    /// measured to their end.
    pub fn was_cut_short(&self) -> bool {
        self.cut_short
    }

    /// Returns when measuring began and ended, in nanoseconds from the run's origin. While
    /// measuring goes on, both are the beginning.
    pub fn measured_ns(&self) -> Option<(u64, u64)> {
        let zero_ns = self.zero_ns?;
        Some((zero_ns, self.cut_ns.unwrap_or(zero_ns).max(zero_ns)))
    }

    /// Returns the stages that were entered, in order, the present one last.
    pub fn entered(&self) -> impl Iterator<Item = Stage> + '_ {
        self.entered.iter().map(|(stage, _)| *stage)
    }

    /// Returns how long the run spent in the finished stages chosen by `of`, in nanoseconds.
    pub fn spent_ns(&self, of: impl Fn(Stage) -> bool) -> u64 {
        let ends = self.entered.iter().skip(1).map(|(_, began_ns)| *began_ns);
        let spans = self.entered.iter().zip(ends);
        spans.filter(|((stage, _), _)| of(*stage)).map(|((_, began), ended)| ended - began).sum()
    }

    /// Records that a shard has finished `stage`. Returns whether the orders changed.
    pub fn arrive(&mut self, stage: Stage, now_ns: u64) -> bool {
        if stage != self.orders.stage || stage == Stage::Finished {
            return false;
        }
        self.arrived += 1;
        if self.arrived < self.shards {
            return false;
        }
        self.arrived = 0;
        let next = match (stage, self.reason.is_some()) {
            (Stage::Connect, true) => Stage::Finished,
            (Stage::RunSetup | Stage::Setup | Stage::Fill, true) => Stage::Teardown,
            _ => stage.next(),
        };
        self.enter(next, now_ns);
        true
    }

    /// Takes back that a shard has finished `stage`. Returns false if the stage has ended.
    pub fn resume(&mut self, stage: Stage) -> bool {
        let resumes = stage == self.orders.stage && self.arrived > 0;
        if resumes {
            self.arrived -= 1;
        }
        resumes
    }

    fn enter(&mut self, stage: Stage, now_ns: u64) {
        self.entered.push((stage, now_ns));
        self.orders.stage = stage;
        self.orders.cut = false;
        self.orders.origin_ns = now_ns;
        match stage {
            Stage::Measure => {
                let zero_ns = now_ns.saturating_add(self.lead_ns);
                self.orders.origin_ns = zero_ns;
                self.zero_ns = Some(zero_ns);
                if let Some(end_ns) = self.planned_end_ns() {
                    self.orders.give_up_ns = Some(end_ns.saturating_add(self.drain_ns));
                }
            }
            Stage::Teardown => {
                let ended = self.cut_ns.unwrap_or(self.end_by(now_ns));
                self.cut_ns = Some(ended);
                self.orders.give_up_ns = Some(ended.saturating_add(self.drain_ns));
            }
            _ => {}
        }
    }

    /// Returns when the last phase ends, on the run's clock.
    fn planned_end_ns(&self) -> Option<u64> {
        Some(self.zero_ns?.saturating_add(self.end_ns?))
    }

    /// Returns when measuring ends: now, or at the end of the last phase if that came before.
    fn end_by(&self, now_ns: u64) -> u64 {
        self.planned_end_ns().map_or(now_ns, |end_ns| end_ns.min(now_ns))
    }

    fn note_end(&mut self, now_ns: u64) {
        let quit = self.orders.stage == Stage::Measure && self.reason == Some(CutReason::Quit);
        let measured = quit
            || self.orders.stage > Stage::Measure
            || self.planned_end_ns().is_some_and(|end_ns| end_ns <= now_ns);
        self.cut_short |= !measured;
    }

    /// Ends the run early. The first reason stands. Returns whether the orders changed.
    pub fn cut(&mut self, reason: CutReason, now_ns: u64) -> bool {
        if self.reason.is_some() {
            return false;
        }
        self.reason = Some(reason);
        self.note_end(now_ns);
        if self.orders.stage >= Stage::Teardown {
            return false;
        }
        // While the last phase drains, measuring has ended and the drain's bound stands.
        let cut_ns = self.end_by(now_ns);
        self.cut_ns = Some(cut_ns);
        self.orders.cut = true;
        self.orders.give_up_ns = Some(cut_ns.saturating_add(self.drain_ns));
        true
    }

    /// Ends the run where it stands, without drain or teardown, because a shard is broken and
    /// the others would wait for it for ever.
    pub fn abort(&mut self, reason: CutReason, now_ns: u64) {
        self.reason = Some(reason);
        self.note_end(now_ns);
        self.cut_ns.get_or_insert(self.end_by(now_ns));
        self.enter(Stage::Finished, now_ns);
    }

    /// Gives up what still runs, at once, and grants teardown no time either.
    pub fn stop(&mut self, now_ns: u64) {
        self.stopped = true;
        self.note_end(now_ns);
        self.drain_ns = 0;
        self.reason.get_or_insert(CutReason::Interrupted);
        self.cut_ns.get_or_insert(self.end_by(now_ns));
        self.orders.cut = true;
        self.orders.give_up_ns = Some(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        let phases = [Phase { name: "main".into(), duration_ns: 1_000, record: true }];
        Timeline::new(2, &PhaseSpan::chain(&phases), 500, 10)
    }

    fn all_arrive(timeline: &mut Timeline, now_ns: u64) {
        let stage = timeline.orders.stage;
        assert!(!timeline.arrive(stage, now_ns));
        assert!(timeline.arrive(stage, now_ns));
    }

    #[test]
    fn no_shard_begins_a_stage_before_all_have_ended_the_one_before() {
        let mut timeline = timeline();
        for stage in [Stage::RunSetup, Stage::Setup, Stage::Fill, Stage::Measure] {
            all_arrive(&mut timeline, 100);
            assert_eq!(timeline.orders.stage, stage);
        }
        assert_eq!(timeline.zero_ns, Some(110));
        assert_eq!(timeline.orders.give_up_ns, Some(1_610));
        for stage in [Stage::Teardown, Stage::RunTeardown, Stage::Finished] {
            all_arrive(&mut timeline, 1_200);
            assert_eq!(timeline.orders.stage, stage);
        }
        assert_eq!(timeline.cut_ns, Some(1_110));
        assert_eq!(timeline.orders.give_up_ns, Some(1_610), "teardown shares the drain's bound");
    }

    #[test]
    fn a_shard_can_take_its_arrival_back_until_all_others_have_arrived() {
        let mut timeline = timeline();
        assert!(!timeline.resume(Stage::Connect), "it has not arrived");
        assert!(!timeline.arrive(Stage::Connect, 1));
        assert!(timeline.resume(Stage::Connect));
        assert!(!timeline.arrive(Stage::Connect, 2), "the other shard");
        assert!(timeline.arrive(Stage::Connect, 3));
        assert!(!timeline.resume(Stage::Connect), "the stage has ended");
    }

    #[test]
    fn a_failed_setup_skips_to_teardown() {
        let mut timeline = timeline();
        all_arrive(&mut timeline, 0);
        all_arrive(&mut timeline, 0);
        assert!(timeline.cut(CutReason::SetupFailed, 5));
        assert!(!timeline.cut(CutReason::Interrupted, 6), "the first reason stands");
        all_arrive(&mut timeline, 7);
        assert_eq!(timeline.orders.stage, Stage::Teardown);
        assert_eq!(timeline.zero_ns, None);
    }

    #[test]
    fn times_near_the_end_of_the_clock_do_not_wrap_to_its_start() {
        let phases = [Phase { name: "long".into(), duration_ns: u64::MAX, record: true }];
        let mut timeline = Timeline::new(2, &PhaseSpan::chain(&phases), u64::MAX, 10);
        while timeline.orders.stage != Stage::Measure {
            all_arrive(&mut timeline, 100);
        }
        assert_eq!(timeline.orders.give_up_ns, Some(u64::MAX));
        assert!(timeline.cut(CutReason::Interrupted, 200));
        assert_eq!(timeline.orders.give_up_ns, Some(u64::MAX));
        all_arrive(&mut timeline, 300);
        assert_eq!(timeline.orders.give_up_ns, Some(u64::MAX));
        assert_eq!(timeline.cut_ns, Some(200));
    }

    #[test]
    fn a_run_that_was_stopped_has_no_time_for_teardown_either() {
        let mut timeline = timeline();
        while timeline.orders.stage != Stage::Measure {
            all_arrive(&mut timeline, 100);
        }
        assert!(!timeline.arrive(Stage::Measure, 150), "one shard is done before the stop");
        timeline.cut(CutReason::Interrupted, 150);
        timeline.stop(200);
        assert!(timeline.arrive(Stage::Measure, 201));
        assert_eq!(timeline.orders.stage, Stage::Teardown);
        assert!(timeline.orders.give_up_ns.is_some_and(|give_up_ns| give_up_ns <= 201));
    }

    #[test]
    fn a_run_that_is_ended_by_a_key_while_it_measures_is_whole() {
        let mut timeline = Timeline::new(1, &PhaseSpan::chain(&[]), 500, 0);
        timeline.cut(CutReason::Quit, 5);
        assert!(timeline.was_cut_short(), "nothing is measured before time zero");

        let mut timeline = Timeline::new(1, &PhaseSpan::chain(&[]), 500, 0);
        while timeline.orders.stage != Stage::Measure {
            timeline.arrive(timeline.orders.stage, 100);
        }
        assert!(timeline.cut(CutReason::Quit, 1_000));
        assert!(timeline.orders.cut && !timeline.was_cut_short());
        assert_eq!(timeline.measured_ns(), Some((100, 1_000)));
        assert_eq!(timeline.orders.give_up_ns, Some(1_500));
        assert!(!timeline.cut(CutReason::Interrupted, 1_100), "the first reason stands");
        timeline.stop(1_200);
        assert_eq!(timeline.reason(), Some(&CutReason::Quit));
        assert!(timeline.was_stopped() && !timeline.was_cut_short());
    }

    #[test]
    fn an_interrupt_during_the_drain_lengthens_neither_the_measurement_nor_the_drain() {
        let mut timeline = timeline();
        while timeline.orders.stage != Stage::Measure {
            all_arrive(&mut timeline, 100);
        }
        let bound = timeline.orders.give_up_ns;
        timeline.cut(CutReason::Interrupted, 1_400);
        assert_eq!(timeline.orders.give_up_ns, bound);
        all_arrive(&mut timeline, 1_500);
        assert_eq!((timeline.cut_ns, timeline.orders.give_up_ns), (Some(1_110), bound));
    }

    #[test]
    fn a_failed_connection_ends_the_run() {
        let mut timeline = timeline();
        timeline.cut(CutReason::Connect("refused".into()), 5);
        all_arrive(&mut timeline, 7);
        assert_eq!(timeline.orders.stage, Stage::Finished);
    }

    #[test]
    fn a_stage_that_is_over_cannot_be_finished_again() {
        let mut timeline = timeline();
        all_arrive(&mut timeline, 0);
        assert!(!timeline.arrive(Stage::Connect, 1));
        assert!(!timeline.arrive(Stage::Connect, 1));
        assert_eq!(timeline.orders.stage, Stage::RunSetup);
    }
}
