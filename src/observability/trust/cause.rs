//! The most likely cause of a late generator, with the evidence.

use serde::Serialize;

use super::super::rounding::{nonzero, percent, share};
use super::evidence::{Evidence, HostProcessors, NEAR, NOTABLE, Processors};

/// The likely cause of a verdict `generator-limited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Operations waited for a permit (`--limit`).
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
    #[serde(rename = "machine")]
    Host,
}

/// The shares of what held operations up, in nanoseconds or in operations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub limit: u128,
    pub generation: u128,
    /// The share of neither: this program's own delay.
    pub own: u128,
}

/// Returns the cause that accounts for most of the shares, and a sentence about it. `what` says of
/// what they are shares, such as `the delay was spent waiting`.
pub(super) fn likely(shares: Shares, what: &str, evidence: &Evidence<'_>) -> (Cause, String) {
    let Shares { limit, generation, own } = shares;
    let part = |part: u128| percent(part, limit + generation + own, 0);
    let (cause, why) = if limit >= generation && limit >= own {
        let named = evidence.limit.map_or_else(String::new, |limit| format!(" {limit}"));
        let why = format!("--limit{named}: {} of {what} for a permit", part(limit));
        (Cause::Limit, why)
    } else if generation >= own {
        let mut why = format!(
            "the stream: {} of {what} for operations that were not generated yet; {}",
            part(generation),
            match evidence.generators {
                _ if !evidence.script => "one thread reads them all from the document".into(),
                1 => "one thread generates them all (--generators)".into(),
                threads => format!("{threads} threads generate them (--generators)"),
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

/// Returns the cause of a delay that is this program's own, and a sentence about it.
pub(super) fn own_delays(evidence: &Evidence<'_>) -> (Cause, String) {
    let (cause, why) = own_delay(evidence);
    (cause, format!("likely cause: {why}"))
}

/// Returns the cause of a delay that was a wait for neither the limit nor the stream.
fn own_delay(evidence: &Evidence<'_>) -> (Cause, String) {
    let Some(processors) = evidence.processors else {
        let why = "the host: the delay was waiting for neither --limit nor the stream";
        return (Cause::Host, why.into());
    };
    let used = use_of_cores(&processors, evidence);
    if let Some(throttled) = processors.throttled.filter(|throttled| *throttled >= NOTABLE) {
        let why = format!(
            "the limit on processor time of this process's cgroup (a container's): it was throttled in {} of its periods, while {used}",
            share(throttled, 0)
        );
        return (Cause::Throttled, why);
    }
    if processors.used_up() {
        return (Cause::Cpu, format!("the processors: {used}"));
    }
    if let Some(busy) = processors.busiest_shard.filter(|_| processors.shard_used_up()) {
        let why = format!(
            "the processors: a thread that issues operations was busy {} of the time, while {used}; --shards sets how many such threads there are",
            share(busy, 0)
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
            "other programs: a thread that issues operations waited for a processor {} of the time, while {used}",
            share(waited, 0)
        ),
        None => format!("the host: {used}"),
    };
    let cause = if waited.is_some() { Cause::Others } else { Cause::Host };
    if let Some(HostProcessors { cores, others, stolen }) = processors.host {
        why += &format!(", other processes {} of the host's {cores}", nonzero(others, 1));
        if stolen >= 0.05 {
            why += &format!(", and the hypervisor gave {stolen:.1} to other virtual machines");
        }
        if waited.is_none() && processors.used + others + stolen < NEAR * cores as f64 {
            why += "; on average that leaves some free, so look for stalls: paging, power saving, a virtual machine that is paused";
        }
    }
    (cause, why)
}

fn use_of_cores(processors: &Processors, evidence: &Evidence<'_>) -> String {
    let server = if evidence.server_in_process { ", the server included," } else { "" };
    format!(
        "this process{server} used {} of {} cores",
        nonzero(processors.used, 1),
        processors.cores
    )
}
