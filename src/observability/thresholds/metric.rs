//! The metrics that a threshold can be about, and the words for them.

use serde::Serialize;

use super::super::breaks::{BreakStats, GrantedCounts};
use super::super::distribution::Distribution;
use super::super::failures::StatusKey;
use super::custom::{self, CustomFigure, CustomKinds};
use super::suggestions::{not_a_statistic, short, unknown_metric, wrong};
use crate::ir::OperationType;
use crate::ir::foreign_words::{STATISTICS, TIMES};
use crate::protocol::{NtStatus, nearest};

/// A figure of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    Service(Subject, Statistic),
    Response(Subject, Statistic),
    /// Operations sent, or iterations finished.
    Count(Subject),
    /// Operations sent, or iterations finished, per second.
    Rate(Subject),
    /// Operations sent that failed.
    Failed(Subject),
    IterationsLate,
    IterationsDropped,
    IterationsSkipped,
    IterationsCut,
    /// Operations of any type that failed.
    Errors,
    /// The share of failed operations among those sent.
    ErrorShare,
    ErrorsWith(StatusKey),
    Delay(Delay, Statistic),
    Disconnected(DisconnectedFigure),
    /// Opens that were granted this caching, one of [`GrantedCounts::CACHING`].
    Granted(&'static str),
    /// Opens with this create action, one of [`GrantedCounts::actions`].
    Became(&'static str),
    Breaks(BreakCount),
    /// The time from a break's notice to its acknowledgement.
    BreakWait(Statistic),
    /// The time from a break's notice to its end, if it wants an answer.
    BreakLength(Statistic),
    /// Bytes read or written.
    Bytes(OperationType),
    ByteRate(OperationType),
    /// A metric that a script declares.
    Custom {
        name: String,
        figure: CustomFigure,
        unit: Unit,
    },
}

/// A part of an operation's time that is kept by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Lateness,
    Backlog,
    Handoff,
    Pickup,
}

/// A figure of the time in which clients had no connection, which is kept by phase too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectedFigure {
    /// The sum over clients, in seconds.
    ClientSeconds,
    Clients,
    Longest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Operation(OperationType),
    /// Operations of all types.
    All,
    Iterations,
}

/// The breaks that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakCount {
    All,
    Oplock,
    Lease,
    Acknowledged,
    NotAsked,
    Refused,
    Closed,
    ConnectionLost,
    Ignored,
    TimedOut,
    Cut,
    /// Operations that waited for the end of a break, which are not breaks.
    BlockedOperations,
}

impl BreakCount {
    const NAMES: [(&str, BreakCount); 12] = [
        ("count", BreakCount::All),
        ("oplock", BreakCount::Oplock),
        ("lease", BreakCount::Lease),
        ("acknowledged", BreakCount::Acknowledged),
        ("not_asked", BreakCount::NotAsked),
        ("refused", BreakCount::Refused),
        ("closed", BreakCount::Closed),
        ("connection_lost", BreakCount::ConnectionLost),
        ("ignored", BreakCount::Ignored),
        ("timed_out", BreakCount::TimedOut),
        ("cut", BreakCount::Cut),
        ("blocked", BreakCount::BlockedOperations),
    ];

    pub fn of(self, breaks: &BreakStats) -> u64 {
        match self {
            BreakCount::All => breaks.count(),
            BreakCount::Oplock => breaks.oplock,
            BreakCount::Lease => breaks.lease,
            BreakCount::Acknowledged => breaks.acknowledged,
            BreakCount::NotAsked => breaks.not_asked,
            BreakCount::Refused => breaks.refused,
            BreakCount::Closed => breaks.closed,
            BreakCount::ConnectionLost => breaks.connection_lost,
            BreakCount::Ignored => breaks.ignored,
            BreakCount::TimedOut => breaks.timed_out,
            BreakCount::Cut => breaks.cut,
            BreakCount::BlockedOperations => breaks.blocked,
        }
    }
}

/// A statistic of a distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    P50,
    P90,
    P95,
    P99,
    P999,
    Min,
    Mean,
    Max,
}

/// The unit of a metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Unit {
    /// A time: microseconds in a summary, nanoseconds inside smbench.
    #[serde(rename = "us")]
    Time,
    /// A share, from 0 to 1.
    #[serde(rename = "share")]
    Share,
    /// A number of operations, iterations or the like.
    #[serde(rename = "count")]
    Count,
    /// The same per second.
    #[serde(rename = "per_s")]
    PerSecond,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Bytes per second.
    #[serde(rename = "bytes_per_s")]
    BytesPerSecond,
    /// The unit that the script chose for its metric.
    #[serde(rename = "number")]
    Number,
}

impl Unit {
    /// Returns a value as it is in a summary.
    pub fn in_summary(self, value: f64) -> f64 {
        if self == Unit::Time { value / 1e3 } else { value }
    }
}

impl Statistic {
    pub const NAMES: [(&str, Statistic); 8] = [
        ("p50", Statistic::P50),
        ("p90", Statistic::P90),
        ("p95", Statistic::P95),
        ("p99", Statistic::P99),
        ("p999", Statistic::P999),
        ("min", Statistic::Min),
        ("mean", Statistic::Mean),
        ("max", Statistic::Max),
    ];

    fn from_name(word: &str) -> Option<Statistic> {
        Self::NAMES.iter().find(|(name, _)| *name == word).map(|(_, statistic)| *statistic)
    }

    /// Returns the statistic in the unit of the recorded values: nanoseconds for times.
    pub fn of(self, distribution: &Distribution) -> f64 {
        let quantile = |quantile| distribution.quantile_ns(quantile) as f64;
        match self {
            Statistic::P50 => quantile(0.5),
            Statistic::P90 => quantile(0.9),
            Statistic::P95 => quantile(0.95),
            Statistic::P99 => quantile(0.99),
            Statistic::P999 => quantile(0.999),
            Statistic::Min => distribution.min_ns() as f64,
            Statistic::Mean => distribution.mean_ns(),
            Statistic::Max => distribution.max_ns() as f64,
        }
    }
}

impl Unit {
    /// Returns how a value of this unit is written, as the continuation of "is".
    pub(super) fn described(self) -> &'static str {
        match self {
            Unit::Time => "a time: write it with its unit, such as 20ms or 1.5s",
            Unit::Share => "a share: write it in percent, such as 1%, or below 1, such as 0.01",
            Unit::Count => "a count: write a whole number, such as 100",
            Unit::PerSecond => "a number a second: write it plain, such as 500 or 500/s",
            Unit::Bytes => "a size: write it in bytes or with its unit, such as 64MiB",
            Unit::BytesPerSecond => {
                "a number of bytes a second: write it as a size, such as 100MiB or 100MiB/s"
            }
            Unit::Number => "a number: write it plain, such as 0.5",
        }
    }
}

/// Returns whether a name that begins with `head` is reserved for smbench's own figures.
pub fn is_reserved(head: &str) -> bool {
    HEADS.contains(&head) || operation_type(head).is_some()
}

impl Metric {
    /// Parses the part of a threshold before its operator. Never panics, whatever the string is.
    ///
    /// # Errors
    /// A message with the word that is wrong and the nearest right one.
    pub(super) fn parse(text: &str, custom: &CustomKinds) -> Result<Metric, String> {
        let words: Vec<&str> = text.split('.').collect();
        let (head, rest) = words.split_first().map_or(("", &[][..]), |(head, rest)| (*head, rest));
        if let Some(operation) = operation_type(head) {
            if operation == OperationType::Open
                && let Some(granted) = granted(rest)
            {
                return granted;
            }
            return of_subject(Subject::Operation(operation), head, rest);
        }
        match head {
            "all" => of_subject(Subject::All, head, rest),
            "iterations" => of_subject(Subject::Iterations, head, rest),
            "lateness" => delay(Delay::Lateness, head, rest),
            "backlog" => delay(Delay::Backlog, head, rest),
            "handoff" => delay(Delay::Handoff, head, rest),
            "pickup" => delay(Delay::Pickup, head, rest),
            "disconnected" => disconnected(rest),
            "errors" => errors(rest),
            "breaks" => breaks(rest),
            "bytes" => bytes(rest),
            _ => custom::parse(text, custom)?.ok_or_else(|| unknown_metric(text, head)),
        }
    }

    pub fn unit(&self) -> Unit {
        match self {
            Metric::Service(..)
            | Metric::Response(..)
            | Metric::Delay(..)
            | Metric::Disconnected(DisconnectedFigure::Longest)
            | Metric::BreakWait(_)
            | Metric::BreakLength(_) => Unit::Time,
            Metric::Count(_)
            | Metric::Failed(_)
            | Metric::IterationsLate
            | Metric::IterationsDropped
            | Metric::IterationsSkipped
            | Metric::IterationsCut
            | Metric::Granted(_)
            | Metric::Became(_)
            | Metric::Breaks(_)
            | Metric::Disconnected(DisconnectedFigure::Clients)
            | Metric::Errors
            | Metric::ErrorsWith(_) => Unit::Count,
            Metric::Rate(_) => Unit::PerSecond,
            Metric::ErrorShare => Unit::Share,
            Metric::Bytes(_) => Unit::Bytes,
            Metric::ByteRate(_) => Unit::BytesPerSecond,
            Metric::Disconnected(DisconnectedFigure::ClientSeconds) => Unit::Number,
            Metric::Custom { unit, .. } => *unit,
        }
    }

    /// Returns whether the value can only grow during a run.
    pub(super) fn grows(&self) -> bool {
        match self {
            Metric::Custom { figure, .. } => *figure == CustomFigure::Count,
            metric => matches!(metric.unit(), Unit::Count | Unit::Bytes),
        }
    }

    /// Returns whether it is one of the figures of `errors`.
    pub(super) fn is_of_errors(&self) -> bool {
        matches!(self, Metric::Errors | Metric::ErrorShare | Metric::ErrorsWith(_))
    }
}

fn operation_type(word: &str) -> Option<OperationType> {
    OperationType::ALL.into_iter().find(|operation| operation.name() == word)
}

fn of_subject(subject: Subject, head: &str, rest: &[&str]) -> Result<Metric, String> {
    let iterations = subject == Subject::Iterations;
    match rest {
        ["service", rest @ ..] => {
            statistic(&format!("{head}.service"), rest).map(|of| Metric::Service(subject, of))
        }
        ["response", rest @ ..] => {
            statistic(&format!("{head}.response"), rest).map(|of| Metric::Response(subject, of))
        }
        ["count"] => Ok(Metric::Count(subject)),
        ["rate"] => Ok(Metric::Rate(subject)),
        ["failed"] if !iterations => Ok(Metric::Failed(subject)),
        ["late"] if iterations => Ok(Metric::IterationsLate),
        ["dropped"] if iterations => Ok(Metric::IterationsDropped),
        ["skipped"] if iterations => Ok(Metric::IterationsSkipped),
        ["cut"] if iterations => Ok(Metric::IterationsCut),
        [word] if Statistic::from_name(word).is_some() => {
            Err(format!("{head}.{word} of what? Write {head}.response.{word}"))
        }
        [word] if let Some(here) = STATISTICS.find(word) => {
            Err(format!("{head}.{word} of what? Write {head}.response.{here}"))
        }
        [word, ..] if let Some(here) = TIMES.find(word) => {
            Err(format!("unknown figure of {head} '{word}': here it is {here}"))
        }
        _ if iterations => Err(wrong(
            head,
            rest,
            &["response", "service", "count", "rate", "late", "dropped", "skipped", "cut"],
        )),
        _ => {
            let all =
                ["response", "service", "count", "rate", "failed", "granted", "create_action"];
            let open = subject == Subject::Operation(OperationType::Open);
            Err(wrong(head, rest, if open { &all } else { &all[..5] }))
        }
    }
}

fn disconnected(rest: &[&str]) -> Result<Metric, String> {
    let figure = match rest {
        ["client_seconds"] => DisconnectedFigure::ClientSeconds,
        ["clients"] => DisconnectedFigure::Clients,
        ["longest"] => DisconnectedFigure::Longest,
        more => return Err(wrong("disconnected", more, &["client_seconds", "clients", "longest"])),
    };
    Ok(Metric::Disconnected(figure))
}

fn delay(delay: Delay, head: &str, rest: &[&str]) -> Result<Metric, String> {
    statistic(head, rest).map(|statistic| Metric::Delay(delay, statistic))
}

fn statistic(head: &str, rest: &[&str]) -> Result<Statistic, String> {
    let names = Statistic::NAMES.map(|(name, _)| name);
    match rest {
        [word] => Statistic::from_name(word).ok_or_else(|| {
            not_a_statistic(head, word).unwrap_or_else(|| wrong(head, rest, &names))
        }),
        ["p99", "9"] => Err(format!("{head}.p99.9 is written {head}.p999")),
        _ => Err(wrong(head, rest, &names)),
    }
}

fn errors(rest: &[&str]) -> Result<Metric, String> {
    let [word] = rest else {
        return Err(wrong("errors", rest, &["count", "rate", "ACCESS_DENIED"]));
    };
    match *word {
        "count" => return Ok(Metric::Errors),
        "rate" => return Ok(Metric::ErrorShare),
        _ => {}
    }
    if let Some(key) = StatusKey::from_name(word) {
        return Ok(Metric::ErrorsWith(key));
    }
    let bare = word.to_uppercase();
    let bare = bare.strip_prefix("STATUS_").unwrap_or(&bare);
    let statuses = NtStatus::KNOWN.iter().filter_map(|status| status.name()?.get(7..));
    let known = ["count", "rate"].into_iter().chain(StatusKey::other_names()).chain(statuses);
    match nearest(bare, known) {
        Some(near) => {
            Err(format!("errors: unknown status '{}': did you mean '{near}'?", short(bare)))
        }
        None => Err(format!(
            "unknown figure of errors '{}': there is count, rate and the name of a status, such as errors.ACCESS_DENIED",
            short(word)
        )),
    }
}

fn breaks(rest: &[&str]) -> Result<Metric, String> {
    match rest {
        ["lasted", rest @ ..] => statistic("breaks.lasted", rest).map(Metric::BreakLength),
        ["waited", rest @ ..] => statistic("breaks.waited", rest).map(Metric::BreakWait),
        [word]
            if let Some((_, count)) = BreakCount::NAMES.iter().find(|(name, _)| name == word) =>
        {
            Ok(Metric::Breaks(*count))
        }
        _ => {
            let counts = BreakCount::NAMES.iter().map(|(name, _)| *name);
            Err(wrong("breaks", rest, &counts.chain(["waited", "lasted"]).collect::<Vec<_>>()))
        }
    }
}

/// Parses the figures that only opens have. Returns None for other words.
fn granted(rest: &[&str]) -> Option<Result<Metric, String>> {
    let one_of = |what: &str, rest: &[&str], known: &[&'static str]| match rest {
        [word] if let Some(name) = known.iter().find(|name| *name == word) => Ok(*name),
        _ => Err(wrong(&format!("open.{what}"), rest, known)),
    };
    match rest {
        ["granted", rest @ ..] => {
            Some(one_of("granted", rest, &GrantedCounts::CACHING).map(Metric::Granted))
        }
        ["create_action", rest @ ..] => {
            Some(one_of("create_action", rest, &GrantedCounts::actions()).map(Metric::Became))
        }
        _ => None,
    }
}

fn bytes(rest: &[&str]) -> Result<Metric, String> {
    let operation = match rest {
        ["read", ..] => OperationType::Read,
        ["written", ..] => OperationType::Write,
        _ => return Err(wrong("bytes", rest, &["read", "written"])),
    };
    match &rest[1..] {
        ["count"] => Ok(Metric::Bytes(operation)),
        ["rate"] => Ok(Metric::ByteRate(operation)),
        more => Err(wrong(&format!("bytes.{}", rest[0]), more, &["count", "rate"])),
    }
}

pub(super) const HEADS: [&str; 10] = [
    "all",
    "iterations",
    "errors",
    "bytes",
    "lateness",
    "backlog",
    "handoff",
    "pickup",
    "breaks",
    "disconnected",
];
