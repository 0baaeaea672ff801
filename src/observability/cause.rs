//! What most likely made a generator late, with the evidence.

use serde::Serialize;

use super::trust::{Evidence, percent};

/// The likely cause of a verdict `generator-limited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Operations waited for a place in `--limit`.
    Limit,
    /// The script or document did not make operations fast enough.
    Generation,
    /// This process had no processor time left.
    Cpu,
    /// The limit on processor time of a container or another cgroup.
    Throttled,
    /// Somebody stopped this process (SIGSTOP) and had it continue.
    Stopped,
    /// Other programs, which kept the processors busy.
    Others,
    /// None of these: a stall of the host, or of the host of a virtual machine.
    Machine,
}

/// What the processors did while the run measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Processors {
    /// That this process may use.
    pub cores: usize,
    /// How many of them it kept busy, on average.
    pub used: f64,
    /// The part of the time the busiest of the threads that issue operations
    /// was busy.
    pub busiest_shard: Option<f64>,
    /// The part of the time the thread of these that waited longest was ready to run and
    /// had no processor.
    pub longest_wait: Option<f64>,
    /// The part of its accounting periods in which the cgroup was throttled, where it has a
    /// limit on processor time.
    pub throttled: Option<f64>,
    /// How often this process was made to continue (SIGCONT).
    pub continued: u32,
    /// Of the whole machine, where that can be seen.
    pub machine: Option<Machine>,
}

/// How many processors of the machine were busy beside this process, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    pub cores: usize,
    /// With other processes and the kernel.
    pub others: f64,
    /// With other guests of a virtual machine's host.
    pub stolen: f64,
}

/// The part of a core, or of all, from which it counts as used up.
const NEAR: f64 = 0.85;
/// The part of the time from which throttling, or waiting for a processor, is worth naming.
const NOTABLE: f64 = 0.05;

impl Processors {
    fn used_up(&self) -> bool {
        self.used >= NEAR * self.cores as f64
    }

    fn shard_used_up(&self) -> bool {
        self.busiest_shard.is_some_and(|busy| busy >= NEAR)
    }
}

/// What held operations up, in nanoseconds or in operations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub limit: u128,
    pub generation: u128,
    /// Neither: this program's own.
    pub own: u128,
}

/// The cause that accounts for most of `what`, and a sentence about it.
pub(super) fn likely(shares: Shares, what: &str, evidence: &Evidence<'_>) -> (Cause, String) {
    let Shares { limit, generation, own } = shares;
    let share = |part: u128| percent(part, limit + generation + own);
    let (cause, why) = if limit >= generation && limit >= own {
        let named = evidence.limit.map_or_else(String::new, |limit| format!(" {limit}"));
        let why = format!(
            "--limit{named}: {:.0} % of {what} was waiting for a place in it",
            share(limit)
        );
        (Cause::Limit, why)
    } else if generation >= own {
        let mut why = format!(
            "the stream: {:.0} % of {what} was waiting for operations that were not made yet; {}",
            share(generation),
            match evidence.generators {
                _ if !evidence.script => "one thread reads them all from the document".into(),
                1 => "one thread makes them all (--generators)".into(),
                threads => format!("{threads} threads make them (--generators)"),
            }
        );
        if let Some(processors) = evidence.processors.filter(Processors::used_up) {
            why += &format!(", and {}", use_of_cores(&processors, evidence));
        }
        (Cause::Generation, why)
    } else {
        return own_delays(evidence);
    };
    (cause, format!("likely cause: {why}"))
}

/// As [`likely`], of a delay that is this program's own.
pub(super) fn own_delays(evidence: &Evidence<'_>) -> (Cause, String) {
    let (cause, why) = own_delay(evidence);
    (cause, format!("likely cause: {why}"))
}

/// Of a delay that was waiting for neither the limit nor the stream.
fn own_delay(evidence: &Evidence<'_>) -> (Cause, String) {
    let Some(processors) = evidence.processors else {
        let why = "the machine: the delay was neither waiting for --limit nor for the stream";
        return (Cause::Machine, why.into());
    };
    let used = use_of_cores(&processors, evidence);
    if let Some(throttled) = processors.throttled.filter(|throttled| *throttled >= NOTABLE) {
        let why = format!(
            "the limit on processor time of this process's cgroup (a container's): it was throttled in {:.0} % of its periods, while {used}",
            100.0 * throttled
        );
        return (Cause::Throttled, why);
    }
    if processors.used_up() {
        return (Cause::Cpu, format!("the processors: {used}"));
    }
    if let Some(busy) = processors.busiest_shard.filter(|_| processors.shard_used_up()) {
        let why = format!(
            "the processors: a thread that issues operations was busy {:.0} % of the time, while {used}; --shards sets how many such threads there are",
            100.0 * busy
        );
        return (Cause::Cpu, why);
    }
    if processors.continued > 0 {
        let times = if processors.continued == 1 { "once" } else { "several times" };
        let why = format!("this process was stopped and continued {times} (SIGSTOP, SIGCONT)");
        return (Cause::Stopped, why);
    }
    let waited = processors.longest_wait.filter(|waited| *waited >= NOTABLE);
    let mut why = match waited {
        Some(waited) => format!(
            "other programs: a thread that issues operations waited for a processor {:.0} % of the time, while {used}",
            100.0 * waited
        ),
        None => format!("the machine: {used}"),
    };
    let cause = if waited.is_some() { Cause::Others } else { Cause::Machine };
    if let Some(Machine { cores, others, stolen }) = processors.machine {
        why += &format!(", other processes {others:.1} of the machine's {cores}");
        if stolen >= 0.05 {
            why += &format!(", and the host of this virtual machine took {stolen:.1}");
        }
        if waited.is_none() && processors.used + others + stolen < NEAR * cores as f64 {
            why += "; on average that leaves some free, so look for stalls: paging, power saving, a virtual machine that is paused";
        }
    }
    (cause, why)
}

fn use_of_cores(processors: &Processors, evidence: &Evidence<'_>) -> String {
    let server = if evidence.server_in_process { ", the server included," } else { "" };
    format!("this process{server} used {:.1} of {} cores", processors.used, processors.cores)
}
