//! The lines of a watched run about its reloads: one for each, and the comparison of the last two
//! generations.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::observability::GenerationFigures;
use crate::observability::number_text::{grouped, time, with_commas};
use crate::observability::rounding::nonzero;
use crate::observability::text::printable;

/// The target of the log events, which `SMBENCH_LOG=reload=off` turns off.
pub const RELOAD_TARGET: &str = "reload";

/// The time after the move of the last client in which the figures of a generation settle.
pub const SETTLING: Duration = Duration::from_secs(5);
/// The time between two comparisons meanwhile.
pub const COMPARED_EVERY: Duration = Duration::from_secs(1);

/// Maximum number of changed files that a line names.
const MAX_NAMED: usize = 3;
const MAX_PATH_CHARS: usize = 100;
const MAX_REASON_CHARS: usize = 4_000;

/// An event of a reload, about which there is a line.
#[derive(Clone, Debug, PartialEq)]
pub enum ReloadEvent {
    /// The new generation was accepted, and clients move to it.
    Accepted {
        generation: u32,
        /// The time from the change of a file, or from the request.
        took: Duration,
        /// The files that changed. There are none if the reload was requested.
        changed: Vec<PathBuf>,
        clients: MovingClients,
    },
    /// The new generation cannot be run.
    Refused {
        /// The generation that goes on.
        current: u32,
        reason: String,
    },
    /// A reload was requested, and nothing has changed.
    Unchanged { current: u32 },
    /// Clients have not reached a boundary in time, and are cut.
    GraceOver { generation: u32, cut: u32, grace: Duration },
    /// The figures of a generation have settled, or it ends.
    Settled { new: GenerationFigures, old: GenerationFigures },
}

/// The numbers of clients that a reload moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovingClients {
    pub moving: u32,
    /// Clients that only the new generation has, and those that only the old one has.
    pub added: u32,
    pub retired: u32,
}

/// The lines of a run's reloads.
#[derive(Clone, Copy, Debug)]
pub struct ReloadLines {
    /// Whether all lines are written. If not, as with `--quiet`, only problems are.
    pub all: bool,
}

impl ReloadLines {
    /// Writes the line of an event.
    pub fn write(self, event: &ReloadEvent) {
        let text = event.text();
        match event {
            ReloadEvent::Refused { current, .. } => {
                tracing::warn!(target: RELOAD_TARGET, generation = current, "{text}");
            }
            ReloadEvent::GraceOver { generation, cut, .. } => {
                tracing::warn!(target: RELOAD_TARGET, generation, cut, "{text}");
            }
            _ if !self.all => {}
            ReloadEvent::Unchanged { current } => {
                tracing::info!(target: RELOAD_TARGET, generation = current, "{text}");
            }
            ReloadEvent::Accepted { generation, took, changed, clients } => {
                let changed = changed_names(changed, usize::MAX);
                tracing::info!(
                    target: RELOAD_TARGET,
                    generation,
                    took_ms = milliseconds(*took),
                    changed,
                    moving = clients.moving,
                    added = clients.added,
                    retired = clients.retired,
                    "{text}"
                );
            }
            ReloadEvent::Settled { new, old } => tracing::info!(
                target: RELOAD_TARGET,
                generation = new.number,
                operations = new.operations,
                operations_per_s = thousandths(new.operations_per_s),
                p50_us = new.p50_us.map(thousandths),
                p99_us = new.p99_us.map(thousandths),
                failed = new.failed,
                before = old.number,
                before_operations = old.operations,
                before_operations_per_s = thousandths(old.operations_per_s),
                before_p50_us = old.p50_us.map(thousandths),
                before_p99_us = old.p99_us.map(thousandths),
                before_failed = old.failed,
                "{text}"
            ),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    thousandths(time.as_secs_f64() * 1e3)
}

/// Rounds a number to three decimals.
fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

impl ReloadEvent {
    /// Returns the line, without its end.
    pub fn text(&self) -> String {
        match self {
            ReloadEvent::Accepted { generation, took, changed, clients } => {
                let took = time(took.as_micros() as f64);
                let since = match changed.is_empty() {
                    true => "it was requested".to_string(),
                    false => format!("the change of {}", changed_names(changed, MAX_NAMED)),
                };
                format!(
                    "reload: generation {generation} accepted {took} after {since}; {}",
                    clients.text()
                )
            }
            ReloadEvent::Refused { current, reason } => {
                let reason: Vec<String> =
                    reason.lines().map(|line| printable(line, MAX_REASON_CHARS)).collect();
                format!("reload refused, generation {current} goes on: {}", reason.join("; "))
            }
            ReloadEvent::Unchanged { current } => {
                format!("reload: nothing has changed, generation {current} goes on")
            }
            ReloadEvent::GraceOver { generation, cut, grace } => format!(
                "reload: {} reached no boundary within --reload-grace ({grace:?}): the rest of {} iteration is discarded before {} to generation {generation}",
                clients(*cut),
                if *cut == 1 { "its" } else { "their" },
                if *cut == 1 { "it moves" } else { "they move" },
            ),
            ReloadEvent::Settled { new, old } => format!(
                "reload: generation {}, {}: {}; generation {}: {}",
                new.number,
                moved(new),
                compared(new, Some(old)),
                old.number,
                compared(old, None)
            ),
        }
    }
}

impl MovingClients {
    fn text(self) -> String {
        let MovingClients { moving, added, retired } = self;
        let verb = |count: u32, one: &str, many: &str| match count {
            1 => one.to_string(),
            _ => many.to_string(),
        };
        let mut parts = Vec::new();
        if moving > 0 {
            let (verb, their) = (verb(moving, "moves", "move"), verb(moving, "its", "their"));
            parts.push(format!("{} {verb} at {their} next iteration", clients(moving)));
        }
        if added > 0 {
            parts.push(format!("{} {}", clients(added), verb(added, "joins", "join")));
        }
        if retired > 0 {
            parts.push(format!("{} {}", clients(retired), verb(retired, "leaves", "leave")));
        }
        match parts.is_empty() {
            true => "no client moves".into(),
            false => parts.join(", "),
        }
    }
}

fn clients(count: impl Into<u64>) -> String {
    let count = count.into();
    format!("{} client{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Returns the names of changed files, at most `most` of them, without the current directory: the
/// files that a script loads have absolute paths.
fn changed_names(changed: &[PathBuf], most: usize) -> String {
    let directory = std::env::current_dir().unwrap_or_default();
    let shown = |path: &Path| {
        let near = path.strip_prefix(&directory).unwrap_or(path);
        printable(&near.display().to_string(), MAX_PATH_CHARS)
    };
    let mut names: Vec<String> = changed.iter().take(most).map(|path| shown(path)).collect();
    let rest = changed.len() - names.len();
    let last = match rest {
        0 => names.pop(),
        rest => Some(format!("{rest} more file{}", if rest == 1 { "" } else { "s" })),
    };
    match (names.is_empty(), last) {
        (_, None) => String::new(),
        (true, Some(last)) => last,
        (false, Some(last)) => format!("{} and {last}", names.join(", ")),
    }
}

/// Returns how many clients of a generation have moved to it.
fn moved(figures: &GenerationFigures) -> String {
    let GenerationFigures { clients_there, clients: all, .. } = *figures;
    match clients_there >= all {
        true if all == 1 => "the client moved".into(),
        true => format!("all {} moved", clients(all)),
        false => format!("{} of {} moved", grouped(clients_there), clients(all)),
    }
}

/// Returns the comparison for the progress line of a terminal, which is short enough for 80 columns.
pub fn comparison(new: &GenerationFigures, old: &GenerationFigures) -> String {
    let mut text = format!("gen {}", new.number);
    if new.clients_there < new.clients {
        let (there, all) = (grouped(new.clients_there), grouped(new.clients));
        text += &format!(", {there}/{all} clients");
    }
    if new.operations == 0 {
        return format!("{text}: no operations yet");
    }
    let [rate, p50, p99] = changes(new, Some(old)).map(|change| prefixed(" ", change, ""));
    text += &format!(
        ": {} ops/s{rate}  p50 {}{p50}  p99 {}{p99}",
        per_second(new),
        time(new.p50_us.unwrap_or_default()),
        time(new.p99_us.unwrap_or_default())
    );
    if new.failed > 0 {
        text += &format!("  {} failed", grouped(new.failed));
    }
    text
}

/// Returns the figures of a generation, with the changes from those of another one.
fn compared(figures: &GenerationFigures, before: Option<&GenerationFigures>) -> String {
    if figures.operations == 0 {
        return "no operations".into();
    }
    let [rate, p50, p99] = changes(figures, before).map(|change| prefixed(" (", change, ")"));
    format!(
        "{} operations/s{rate}, p50 {}{p50}, p99 {}{p99}, {} failed",
        per_second(figures),
        time(figures.p50_us.unwrap_or_default()),
        time(figures.p99_us.unwrap_or_default()),
        grouped(figures.failed),
    )
}

fn per_second(figures: &GenerationFigures) -> String {
    with_commas(&nonzero(figures.operations_per_s, 0))
}

/// Returns the changes of the rate, p50 and p99, where there is something to compare with.
fn changes(new: &GenerationFigures, old: Option<&GenerationFigures>) -> [Option<String>; 3] {
    let old = old.filter(|old| old.operations > 0);
    let of: [fn(&GenerationFigures) -> f64; 3] = [
        |figures| figures.operations_per_s,
        |figures| figures.p50_us.unwrap_or_default(),
        |figures| figures.p99_us.unwrap_or_default(),
    ];
    of.map(|of| old.and_then(|old| percent_change(of(old), of(new))))
}

fn prefixed(before: &str, change: Option<String>, after: &str) -> String {
    change.map_or_else(String::new, |change| format!("{before}{change}{after}"))
}

/// Returns the change from one number to another in percent, with its sign: one decimal below
/// 10 %. None if there is nothing to compare with.
fn percent_change(from: f64, to: f64) -> Option<String> {
    let percent = 100.0 * (to - from) / from;
    if !percent.is_finite() || from <= 0.0 {
        return None;
    }
    let decimals = if percent.abs() < 9.95 { 1 } else { 0 };
    let digits = format!("{:.decimals$}", percent.abs());
    let sign = match percent {
        _ if percent.abs() < 0.05 => "±",
        percent if percent < 0.0 => "-",
        _ => "+",
    };
    Some(format!("{sign}{} %", with_commas(&digits)))
}

/// The settling of the figures of a new generation, after its acceptance.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    /// The time at which the last client was seen to have moved.
    moved: Option<Instant>,
    next: Instant,
}

/// The part of a settling generation's figures that is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlingShow {
    /// The comparison in the progress line.
    Comparison,
    /// The line with the settled figures. Nothing follows.
    Settled,
}

impl Settling {
    /// Begins at the acceptance of a generation.
    pub fn begin(now: Instant) -> Settling {
        Settling { moved: None, next: now + COMPARED_EVERY }
    }

    /// Returns the time at which [`Settling::look`] is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Returns what to show of the figures at this time.
    pub fn look(&mut self, new: &GenerationFigures, now: Instant) -> SettlingShow {
        self.next = now + COMPARED_EVERY;
        if new.clients_there < new.clients {
            return SettlingShow::Comparison;
        }
        let moved = *self.moved.get_or_insert(now);
        match now.saturating_duration_since(moved) >= SETTLING {
            true => SettlingShow::Settled,
            false => SettlingShow::Comparison,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: GenerationFigures = GenerationFigures {
        number: 1,
        operations_per_s: 1_107.4,
        p50_us: Some(1_240.0),
        p99_us: Some(5_790.0),
        operations: 11_074,
        failed: 0,
        clients_there: 0,
        clients: 40,
    };

    fn new() -> GenerationFigures {
        GenerationFigures {
            number: 2,
            operations_per_s: 1_240.2,
            p50_us: Some(1_200.0),
            p99_us: Some(8_100.0),
            operations: 6_201,
            failed: 3,
            clients_there: 40,
            clients: 40,
        }
    }

    fn accepted(changed: &[&str], clients: MovingClients) -> String {
        let changed = changed.iter().map(PathBuf::from).collect();
        let took = Duration::from_micros(18_000);
        ReloadEvent::Accepted { generation: 2, took, changed, clients }.text()
    }

    #[test]
    fn an_accepted_generation_names_what_changed_and_who_moves() {
        let forty = MovingClients { moving: 40, ..MovingClients::default() };
        assert_eq!(
            accepted(&["office.lua"], forty),
            "reload: generation 2 accepted 18.0 ms after the change of office.lua; 40 clients move at their next iteration"
        );
        let mixed = MovingClients { moving: 1, added: 1_000, retired: 2 };
        assert_eq!(
            accepted(&["a.lua", "b.lua"], mixed),
            "reload: generation 2 accepted 18.0 ms after the change of a.lua and b.lua; 1 client moves at its next iteration, 1,000 clients join, 2 clients leave"
        );
        let many = accepted(&["a", "b", "c", "d", "e"], forty);
        assert!(many.contains("the change of a, b, c and 2 more files; "), "{many}");
        let here = std::env::current_dir().unwrap();
        let near = accepted(&[here.join("lib/m.lua").to_str().unwrap()], forty);
        assert!(near.contains("the change of lib/m.lua; "), "{near}");
        let hostile = accepted(&["a\x1b[2J.lua"], forty);
        assert!(hostile.contains("a\\u{1b}[2J.lua"), "{hostile}");
        let requested = accepted(&[], MovingClients::default());
        assert_eq!(
            requested,
            "reload: generation 2 accepted 18.0 ms after it was requested; no client moves"
        );
    }

    #[test]
    fn a_refusal_is_one_line_with_the_place_and_the_reason() {
        let reason = "office.lua:14: attempt to call a nil value\nin workload 'w'\x07".to_string();
        assert_eq!(
            ReloadEvent::Refused { current: 3, reason }.text(),
            "reload refused, generation 3 goes on: office.lua:14: attempt to call a nil value; in workload 'w'\\u{7}"
        );
        assert_eq!(
            ReloadEvent::Unchanged { current: 1 }.text(),
            "reload: nothing has changed, generation 1 goes on"
        );
        let grace = Duration::from_secs(30);
        assert_eq!(
            ReloadEvent::GraceOver { generation: 2, cut: 1, grace }.text(),
            "reload: 1 client reached no boundary within --reload-grace (30s): the rest of its iteration is discarded before it moves to generation 2"
        );
    }

    #[test]
    fn settled_figures_are_compared_with_those_of_the_generation_before() {
        assert_eq!(
            ReloadEvent::Settled { new: new(), old: OLD }.text(),
            "reload: generation 2, all 40 clients moved: 1,240 operations/s (+12 %), p50 1.20 ms (-3.2 %), p99 8.10 ms (+40 %), 3 failed; generation 1: 1,107 operations/s, p50 1.24 ms, p99 5.79 ms, 0 failed"
        );
        let moving = GenerationFigures { clients_there: 31, ..new() };
        assert_eq!(
            comparison(&moving, &OLD),
            "gen 2, 31/40 clients: 1,240 ops/s +12 %  p50 1.20 ms -3.2 %  p99 8.10 ms +40 %  3 failed"
        );
        let good = GenerationFigures { failed: 0, ..new() };
        let line = comparison(&good, &OLD);
        assert_eq!(line, "gen 2: 1,240 ops/s +12 %  p50 1.20 ms -3.2 %  p99 8.10 ms +40 %");
        assert!("⠋ run  12.3 s  ".chars().count() + line.chars().count() < 80, "{line}");
        let idle = GenerationFigures { operations: 0, ..new() };
        assert_eq!(comparison(&idle, &OLD), "gen 2: no operations yet");
        let first = GenerationFigures { operations: 0, ..OLD };
        assert_eq!(
            comparison(&new(), &first),
            "gen 2: 1,240 ops/s  p50 1.20 ms  p99 8.10 ms  3 failed"
        );
    }

    #[test]
    fn a_change_has_a_sign_and_the_decimals_that_suit_it() {
        let of = |from, to| percent_change(from, to).unwrap();
        assert_eq!(
            [of(100.0, 103.24), of(100.0, 90.04), of(100.0, 100.01), of(1.0, 31.0), of(2.0, 0.0)],
            ["+3.2 %", "-10 %", "±0.0 %", "+3,000 %", "-100 %"]
        );
        assert_eq!(percent_change(0.0, 5.0), None);
    }

    #[test]
    fn figures_are_compared_each_second_and_settle_after_the_last_client_has_moved() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut settling = Settling::begin(begin);
        assert_eq!(settling.next(), at(1));
        let moving = GenerationFigures { clients_there: 31, ..new() };
        assert_eq!(settling.look(&moving, at(1)), SettlingShow::Comparison);
        assert_eq!(settling.look(&moving, at(20)), SettlingShow::Comparison);
        assert_eq!(settling.next(), at(21));
        assert_eq!(settling.look(&new(), at(21)), SettlingShow::Comparison);
        assert_eq!(settling.look(&new(), at(25)), SettlingShow::Comparison);
        assert_eq!(settling.look(&new(), at(26)), SettlingShow::Settled);
    }
}
