//! What the processors did while the run measured: of this process by its CPU
//! clock, of the rest by what Linux shows under `/proc`.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

use super::shards::THREAD_NAME;
use crate::observability::Processors;
use crate::observability::cause::Machine;

/// Looks at the processors when measuring begins and when it ends.
#[derive(Default)]
pub struct ProcessorWatch {
    began: Option<Look>,
    ended: Option<Look>,
}

struct Look {
    at_ns: u64,
    process_ns: u64,
    /// Of each thread that issues operations.
    shards_ns: Vec<(String, u64)>,
    machine: Option<Ticks>,
}

/// The first line of `/proc/stat` (proc(5)), and how many processors it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    cores: usize,
    all: u64,
    idle: u64,
    stolen: u64,
}

impl ProcessorWatch {
    /// Told again and again whether the run is measuring.
    pub fn note(&mut self, measuring: bool, now_ns: u64) {
        match (&self.began, &self.ended) {
            (None, _) if measuring => self.began = Some(Look::now(now_ns)),
            (Some(_), None) if !measuring => self.ended = Some(Look::now(now_ns)),
            _ => {}
        }
    }

    /// Nothing where nothing was measured.
    pub fn seen(&self) -> Option<Processors> {
        Look::between(self.began.as_ref()?, self.ended.as_ref()?)
    }
}

impl Look {
    fn now(at_ns: u64) -> Look {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        Look {
            at_ns,
            process_ns: used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64,
            shards_ns: shards_ns(),
            machine: fs::read_to_string("/proc/stat").ok().and_then(|stat| Ticks::read(&stat)),
        }
    }

    fn between(began: &Look, ended: &Look) -> Option<Processors> {
        let passed_ns = ended.at_ns.checked_sub(began.at_ns).filter(|ns| *ns > 0)? as f64;
        let used = ended.process_ns.saturating_sub(began.process_ns) as f64 / passed_ns;
        let busy = began.shards_ns.iter().filter_map(|(thread, began_ns)| {
            let (_, ended_ns) = ended.shards_ns.iter().find(|(other, _)| other == thread)?;
            Some(ended_ns.saturating_sub(*began_ns) as f64 / passed_ns)
        });
        Some(Processors {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            used,
            busiest_shard: busy.reduce(f64::max),
            machine: began
                .machine
                .zip(ended.machine)
                .and_then(|(began, ended)| Ticks::between(began, ended, used)),
        })
    }
}

/// The time each shard's thread has spent on a processor, by thread: the first
/// figure of `/proc/<pid>/task/<tid>/schedstat` (sched-stats in the kernel's
/// documentation).
fn shards_ns() -> Vec<(String, u64)> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let spent = |thread: fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        if !name.starts_with(THREAD_NAME) {
            return None;
        }
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let spent_ns = schedstat.split_whitespace().next()?.parse().ok()?;
        Some((thread.file_name().to_string_lossy().into_owned(), spent_ns))
    };
    threads.filter_map(|thread| spent(thread.ok()?)).collect()
}

impl Ticks {
    fn read(stat: &str) -> Option<Ticks> {
        let mut lines = stat.lines();
        let total = lines.next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guest times are in user's.
        let figures: Vec<u64> =
            total.split_whitespace().take(8).map_while(|figure| figure.parse().ok()).collect();
        Some(Ticks {
            cores: lines.take_while(|line| line.starts_with("cpu")).count(),
            all: figures.iter().sum(),
            idle: figures.get(3)? + figures.get(4)?,
            stolen: *figures.get(7)?,
        })
    }

    /// Given how many cores this process kept busy meanwhile.
    fn between(began: Ticks, ended: Ticks, used: f64) -> Option<Machine> {
        let all = ended.all.checked_sub(began.all).filter(|ticks| *ticks > 0)? as f64;
        let cores = |from: u64, to: u64| to.saturating_sub(from) as f64 / all * ended.cores as f64;
        let stolen = cores(began.stolen, ended.stolen);
        let busy = ended.cores as f64 - cores(began.idle, ended.idle) - stolen;
        Some(Machine { cores: ended.cores, others: (busy - used).max(0.0), stolen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 0 50 800 20 5 5 20 0 0\ncpu0 50 0 25 400 10 2 3 10 0 0\ncpu1 50 0 25 400 10 3 2 10 0 0\nintr 1\n";

    #[test]
    fn the_rest_of_the_machine_is_what_was_neither_idle_nor_ours_nor_stolen() {
        let began = Ticks::read(STAT).unwrap();
        assert_eq!(began, Ticks { cores: 2, all: 1_000, idle: 820, stolen: 20 });
        // Of 200 ticks on 2 cores: 60 idle, 20 stolen, 120 busy.
        let ended = Ticks { all: 1_200, idle: 880, stolen: 40, ..began };
        let machine = Ticks::between(began, ended, 0.5).unwrap();
        let rounded = |cores: f64| (cores * 1e6).round() / 1e6;
        assert_eq!((machine.cores, rounded(machine.stolen)), (2, 0.2));
        assert_eq!(rounded(machine.others), 0.7);
        assert_eq!(Ticks::between(began, began, 0.5), None, "no tick has passed");
    }

    #[test]
    fn what_is_no_proc_stat_is_not_believed() {
        assert_eq!(Ticks::read(""), None);
        assert_eq!(Ticks::read("cpu  1 2 3\n"), None);
        assert_eq!(Ticks::read("intr 5\n"), None);
    }

    #[test]
    fn cores_used_are_processor_time_over_the_time_that_passed() {
        let look = |at_ns, process_ns, shards_ns: &[(&str, u64)]| Look {
            at_ns,
            process_ns,
            shards_ns: shards_ns.iter().map(|(thread, ns)| (thread.to_string(), *ns)).collect(),
            machine: None,
        };
        let began = look(1_000, 500, &[("7", 100), ("8", 0), ("9", 0)]);
        let ended = look(2_000, 3_000, &[("8", 200), ("7", 1_000)]);
        let seen = Look::between(&began, &ended).unwrap();
        assert_eq!((seen.used, seen.busiest_shard, seen.machine), (2.5, Some(0.9), None));
        assert_eq!(Look::between(&began, &began), None);
    }

    #[test]
    fn only_the_time_between_the_first_and_the_last_of_measuring_counts() {
        let mut watch = ProcessorWatch::default();
        for (now_ns, measuring) in [(5, false), (10, true), (20, true), (30, false), (40, true)] {
            watch.note(measuring, now_ns);
        }
        let at_ns = |look: &Option<Look>| look.as_ref().map(|look| look.at_ns);
        assert_eq!((at_ns(&watch.began), at_ns(&watch.ended)), (Some(10), Some(30)));
        assert_eq!(ProcessorWatch::default().seen(), None);
    }
}
