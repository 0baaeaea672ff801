//! The pace of a workload: what begins its iterations, and the schedule of its arrivals.

use mlua::{Function, UserData};

use super::arrivals::{Ramp, Rates, Spacing, Stretch};
use super::values::unknown;
use crate::ir::{Late, Phase};

/// The value of a workload's `pace`.
#[derive(Clone)]
pub(super) enum Pace {
    /// A closed loop: an operation waits for the one before.
    Closed,
    /// An open loop: iterations arrive independently of the end of earlier ones.
    Open(OpenPace),
}

impl UserData for Pace {}

/// The options of `bench.open_loop`, or of several open loops for the phases.
#[derive(Clone)]
pub(super) struct OpenPace {
    pub rate: Rate,
    pub arrivals: ByPhase,
    /// The `file:line` of the call, or of the function for the gaps.
    pub line: String,
}

/// The spacing of arrivals and the fate of late ones: the same in all phases, or by phase.
#[derive(Clone)]
pub(super) enum ByPhase {
    Alike(Manner, Late),
    Apart(Vec<(String, (Manner, Late))>),
}

/// The spacing of arrivals at the given rate.
#[derive(Clone, PartialEq)]
pub(super) enum Manner {
    Constant,
    Poisson,
    Function { function: Function, line: String },
}

/// The schedule of a workload's arrivals.
pub(super) struct Schedule {
    /// The fates of late arrivals, each with the time in nanoseconds from which it holds.
    pub lates: Vec<(u64, Late)>,
    pub rates: Rates,
    pub stretches: Vec<Stretch>,
    /// The functions of [`Spacing::Function`], and the line of each.
    pub functions: Vec<(Function, String)>,
}

#[derive(Clone)]
pub(super) enum Rate {
    Steady(f64),
    /// A rate for each phase name, sorted.
    ByPhase(Vec<(String, PhaseRate)>),
}

#[derive(Clone, Copy)]
pub(super) struct PhaseRate {
    /// The rate at the start of the phase, or `None` for the rate at the end of the phase before.
    pub from: Option<f64>,
    pub to: f64,
}

impl Rate {
    /// Returns this `rate` as the rate of a single phase, if it can be one.
    pub fn of_one_phase(&self) -> Option<PhaseRate> {
        match self {
            Rate::Steady(rate) => Some(PhaseRate { from: Some(*rate), to: *rate }),
            Rate::ByPhase(ends) => {
                let end = |name: &str| ends.iter().find(|(known, _)| known == name);
                let known = usize::from(end("from").is_some()) + 1;
                let to = end("to").filter(|_| known == ends.len())?.1.to;
                Some(PhaseRate { from: end("from").map(|(_, rate)| rate.to), to })
            }
        }
    }
}

impl OpenPace {
    /// Returns the schedule of arrivals over the run's phases, which have the names that the
    /// script gave them.
    ///
    /// # Errors
    /// A message about what does not fit the phases, in the words of the script.
    pub fn schedule(&self, phases: &[Phase]) -> Result<Schedule, String> {
        let (lates, stretches, functions) = (Vec::new(), Vec::new(), Vec::new());
        let rates = self.rates(phases)?;
        let mut schedule = Schedule { lates, rates, stretches, functions };
        match &self.arrivals {
            ByPhase::Alike(manner, late) => {
                schedule.begin(0, manner);
                schedule.lates.push((0, *late));
            }
            ByPhase::Apart(arrivals) => {
                let (mut start_ns, mut last) = (0, None);
                for phase in phases {
                    let of_phase = arrivals.iter().find(|(name, _)| *name == phase.name);
                    if let Some((_, (manner, late))) = of_phase {
                        // The sequence goes on if the next phase has the same spacing, and begins
                        // afresh if not.
                        if last != Some(manner) {
                            schedule.begin(start_ns, manner);
                        }
                        last = Some(manner);
                        schedule.lates.push((start_ns, *late));
                    }
                    start_ns += phase.duration_ns;
                }
            }
        }
        Ok(schedule)
    }

    fn rates(&self, phases: &[Phase]) -> Result<Rates, String> {
        let never = "so no iteration would ever arrive";
        let rates = match &self.rate {
            Rate::Steady(0.0) => return Err(format!("rate is 0, {never}")),
            Rate::Steady(rate) => return Ok(Rates::new(&[], *rate)),
            Rate::ByPhase(rates) => rates,
        };
        let (what, one_for_all, pause) = match self.arrivals {
            ByPhase::Alike(..) => ("rate", "make rate a number", "0"),
            ByPhase::Apart(_) => ("pace", "give one pace", "bench.open_loop { rate = 0 }"),
        };
        let of = |name: &str| rates.iter().find(|(known, _)| known == name).map(|(_, rate)| *rate);
        if phases.is_empty() {
            return Err(format!(
                "{what} goes by phase, and the script has no phases: add bench.phases, or {one_for_all}"
            ));
        }
        let names = || phases.iter().map(|phase| phase.name.as_str());
        if let Some((name, _)) = rates.iter().find(|(name, _)| !names().any(|known| known == name))
        {
            return Err(format!("{what}: {}", unknown("phase", name, names())));
        }
        if let Some(name) = names().find(|name| of(name).is_none()) {
            return Err(format!("{what} does not name phase '{name}'; {pause} makes it a pause"));
        }
        if phases.first().and_then(|phase| of(&phase.name)?.from).is_none() {
            return Err(format!(
                "rate of phase '{}' has no from: only a later phase can begin where the one before ended",
                phases[0].name
            ));
        }
        let mut ramps = Vec::with_capacity(phases.len());
        let mut last = 0.0;
        for Phase { name, duration_ns, .. } in phases {
            let PhaseRate { from, to } = of(name).unwrap_or(PhaseRate { from: None, to: last });
            ramps.push(Ramp { duration_ns: *duration_ns, from: from.unwrap_or(last), to });
            last = to;
        }
        if ramps.iter().all(|ramp| ramp.from == 0.0 && ramp.to == 0.0) {
            return Err(format!("rate is 0 in every phase, {never}"));
        }
        Ok(Rates::new(&ramps, last))
    }
}

impl Schedule {
    fn begin(&mut self, start_ns: u64, manner: &Manner) {
        let spacing = match manner {
            Manner::Constant => Spacing::Constant,
            Manner::Poisson => Spacing::Poisson,
            Manner::Function { function, line } => {
                self.functions.push((function.clone(), line.clone()));
                Spacing::Function(self.functions.len() - 1)
            }
        };
        self.stretches.push(Stretch { start_ns, spacing });
    }
}
