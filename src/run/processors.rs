//! The use of the processors while the run measured: this process by its CPU clock, the rest of the
//! host by `/proc` of Linux.

use std::fs;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use super::shards::THREAD_NAME;
use crate::observability::Processors;
use crate::observability::trust::HostProcessors;

/// A watch that samples the processors when measuring begins and when it ends.
#[derive(Default)]
pub struct ProcessorWatch {
    began: Option<Look>,
    ended: Option<Look>,
    continued: u32,
}

struct Look {
    at_ns: u64,
    process_ns: u64,
    shards: Vec<ShardTime>,
    throttling: Vec<Throttling>,
    host: Option<Ticks>,
}

/// The kernel's counters for one thread that issues operations.
struct ShardTime {
    thread: String,
    /// Time on a processor.
    spent_ns: u64,
    /// Time in which the thread was ready to run and waited for a processor.
    waited_ns: u64,
}

/// The accounting periods of a limit on processor time (a cgroup) that applies to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Throttling {
    cgroup: String,
    periods: u64,
    throttled: u64,
}

/// The first line of `/proc/stat` (proc(5)), and the number of processors it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    cores: usize,
    all: u64,
    idle: u64,
    stolen: u64,
}

impl ProcessorWatch {
    /// Samples the processors when `measuring` becomes true for the first time, and when it then
    /// becomes false. Must be called at each change.
    pub fn note(&mut self, measuring: bool, now_ns: u64) {
        match (&self.began, &self.ended) {
            (None, _) if measuring => self.began = Some(Look::now(now_ns)),
            (Some(_), None) if !measuring => self.ended = Some(Look::now(now_ns)),
            _ => {}
        }
    }

    /// Counts a SIGCONT, which continues a stopped process, if it comes while measuring.
    pub fn note_continued(&mut self) {
        self.continued += u32::from(self.began.is_some() && self.ended.is_none());
    }

    /// Returns the use of the processors while measuring; None if nothing was measured.
    pub fn seen(&self) -> Option<Processors> {
        let seen = Look::between(self.began.as_ref()?, self.ended.as_ref()?)?;
        Some(Processors { continued: self.continued, ..seen })
    }
}

impl Look {
    fn now(at_ns: u64) -> Look {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        Look {
            at_ns,
            process_ns: used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64,
            shards: shard_times(),
            throttling: throttling(),
            host: fs::read_to_string("/proc/stat").ok().and_then(|stat| Ticks::read(&stat)),
        }
    }

    fn between(began: &Look, ended: &Look) -> Option<Processors> {
        let passed_ns = ended.at_ns.checked_sub(began.at_ns).filter(|ns| *ns > 0)? as f64;
        let used = ended.process_ns.saturating_sub(began.process_ns) as f64 / passed_ns;
        let most = |of: fn(&ShardTime) -> u64| {
            let parts = began.shards.iter().filter_map(|first| {
                let last = ended.shards.iter().find(|last| last.thread == first.thread)?;
                Some(of(last).saturating_sub(of(first)) as f64 / passed_ns)
            });
            parts.reduce(f64::max)
        };
        let throttled = began.throttling.iter().filter_map(|first| {
            let last = ended.throttling.iter().find(|last| last.cgroup == first.cgroup)?;
            let periods = last.periods.checked_sub(first.periods).filter(|count| *count > 0)?;
            Some(last.throttled.saturating_sub(first.throttled) as f64 / periods as f64)
        });
        let throttled = throttled.reduce(f64::max);
        Some(Processors {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            used,
            busiest_shard: most(|shard| shard.spent_ns),
            longest_wait: most(|shard| shard.waited_ns),
            throttled,
            continued: 0,
            host: began
                .host
                .zip(ended.host)
                .and_then(|(began, ended)| Ticks::between(began, ended, used)),
        })
    }
}

/// Reads `/proc/<pid>/task/<tid>/schedstat` of each shard's thread: the time it spent on a
/// processor, then the time it waited for one (sched-stats in the kernel's documentation).
fn shard_times() -> Vec<ShardTime> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let time = |thread: fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        if !name.starts_with(THREAD_NAME) {
            return None;
        }
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let mut figures = schedstat.split_whitespace().map(|figure| figure.parse().ok());
        let (spent_ns, waited_ns) = (figures.next()??, figures.next()??);
        let thread = thread.file_name().to_string_lossy().into_owned();
        Some(ShardTime { thread, spent_ns, waited_ns })
    };
    threads.filter_map(|thread| time(thread.ok()?)).collect()
}

/// Reads `cpu.stat` of the cgroup this process is in and of those above it, in version 2
/// or 1 (cgroup-v2 and cgroup-v1 in the kernel's documentation).
fn throttling() -> Vec<Throttling> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut limits = Vec::new();
    for (root, path) in cgroups.lines().filter_map(cpu_cgroup) {
        for path in Path::new(path).ancestors() {
            let cgroup = format!("{root}/{}", path.display());
            let stat = fs::read_to_string(format!("{cgroup}/cpu.stat")).unwrap_or_default();
            limits.extend(Throttling::read(cgroup, &stat));
        }
    }
    limits
}

/// Returns the location of the processor controller, if a line of `/proc/self/cgroup` has it: the
/// root of its hierarchy, and the path of the cgroup in it.
fn cpu_cgroup(line: &str) -> Option<(&'static str, &str)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.trim_start_matches('/');
    if number == "0" && controllers.is_empty() {
        return Some(("/sys/fs/cgroup", path));
    }
    controllers.split(',').any(|name| name == "cpu").then_some(("/sys/fs/cgroup/cpu", path))
}

impl Throttling {
    fn read(cgroup: String, stat: &str) -> Option<Throttling> {
        let figure = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        let (periods, throttled) = (figure("nr_periods ")?, figure("nr_throttled ")?);
        Some(Throttling { cgroup, periods, throttled })
    }
}

impl Ticks {
    fn read(stat: &str) -> Option<Ticks> {
        let mut lines = stat.lines();
        let total = lines.next()?.strip_prefix("cpu ")?;
        // The fields are user nice system idle iowait irq softirq steal. User includes guest times.
        let figures: Vec<u64> =
            total.split_whitespace().take(8).map_while(|figure| figure.parse().ok()).collect();
        Some(Ticks {
            cores: lines.take_while(|line| line.starts_with("cpu")).count(),
            all: figures.iter().sum(),
            idle: figures.get(3)? + figures.get(4)?,
            stolen: *figures.get(7)?,
        })
    }

    /// Returns the host's use between two samples. `used` is the number of cores that this process
    /// kept busy meanwhile.
    fn between(began: Ticks, ended: Ticks, used: f64) -> Option<HostProcessors> {
        let all = ended.all.checked_sub(began.all).filter(|ticks| *ticks > 0)? as f64;
        let cores = |from: u64, to: u64| to.saturating_sub(from) as f64 / all * ended.cores as f64;
        let stolen = cores(began.stolen, ended.stolen);
        let busy = ended.cores as f64 - cores(began.idle, ended.idle) - stolen;
        Some(HostProcessors { cores: ended.cores, others: (busy - used).max(0.0), stolen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 0 50 800 20 5 5 20 0 0\ncpu0 50 0 25 400 10 2 3 10 0 0\ncpu1 50 0 25 400 10 3 2 10 0 0\nintr 1\n";

    #[test]
    fn the_rest_of_the_host_is_what_was_neither_idle_nor_ours_nor_stolen() {
        let began = Ticks::read(STAT).unwrap();
        assert_eq!(began, Ticks { cores: 2, all: 1_000, idle: 820, stolen: 20 });
        // Of 200 ticks on 2 cores: 60 idle, 20 stolen, 120 busy.
        let ended = Ticks { all: 1_200, idle: 880, stolen: 40, ..began };
        let host = Ticks::between(began, ended, 0.5).unwrap();
        let rounded = |cores: f64| (cores * 1e6).round() / 1e6;
        assert_eq!((host.cores, rounded(host.stolen)), (2, 0.2));
        assert_eq!(rounded(host.others), 0.7);
        assert_eq!(Ticks::between(began, began, 0.5), None, "no tick has passed");
    }

    #[test]
    fn a_malformed_proc_stat_is_not_believed() {
        assert_eq!(Ticks::read(""), None);
        assert_eq!(Ticks::read("cpu  1 2 3\n"), None);
        assert_eq!(Ticks::read("intr 5\n"), None);
    }

    #[test]
    fn times_are_counted_between_the_two_looks() {
        let look = |at_ns, process_ns, shards: &[(&str, u64, u64)], throttled| Look {
            at_ns,
            process_ns,
            shards: shards
                .iter()
                .map(|&(thread, spent_ns, waited_ns)| ShardTime {
                    thread: thread.to_string(),
                    spent_ns,
                    waited_ns,
                })
                .collect(),
            throttling: vec![
                Throttling { cgroup: "above".into(), periods: at_ns, throttled: 900 },
                Throttling { cgroup: "own".into(), periods: at_ns / 10, throttled },
            ],
            host: None,
        };
        let began = look(1_000, 500, &[("7", 100, 7), ("8", 0, 0), ("9", 0, 0)], 3);
        let ended = look(2_000, 3_000, &[("8", 200, 300), ("7", 1_000, 107)], 28);
        let seen = Look::between(&began, &ended).unwrap();
        assert_eq!((seen.used, seen.busiest_shard, seen.host), (2.5, Some(0.9), None));
        assert_eq!((seen.longest_wait, seen.throttled), (Some(0.3), Some(0.25)));
        assert_eq!(Look::between(&began, &began), None);
    }

    #[test]
    fn the_processor_controller_is_found_in_both_versions_of_cgroups() {
        assert_eq!(cpu_cgroup("0::/user/run.scope"), Some(("/sys/fs/cgroup", "user/run.scope")));
        assert_eq!(cpu_cgroup("4:cpu,cpuacct:/docker/1"), Some(("/sys/fs/cgroup/cpu", "docker/1")));
        assert_eq!(cpu_cgroup("2:cpuacct:/"), None);
        assert_eq!(cpu_cgroup("9:name=systemd:/"), None);
        assert_eq!(cpu_cgroup("nonsense"), None);
    }

    #[test]
    fn throttling_is_read_in_both_versions() {
        let version_2 = "usage_usec 1\nnr_periods 8\nnr_throttled 5\nthrottled_usec 70\n";
        let version_1 = "nr_periods 8\nnr_throttled 5\nthrottled_time 70000\n";
        let expected = Some(Throttling { cgroup: "own".into(), periods: 8, throttled: 5 });
        assert_eq!(Throttling::read("own".into(), version_2), expected);
        assert_eq!(Throttling::read("own".into(), version_1), expected);
        assert_eq!(Throttling::read("own".into(), "usage_usec 1\n"), None);
    }

    #[test]
    fn being_continued_before_measuring_does_not_count() {
        let mut watch = ProcessorWatch::default();
        watch.note_continued();
        watch.note(true, 10);
        watch.note_continued();
        watch.note(false, 20);
        assert_eq!(watch.seen().unwrap().continued, 1);
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
