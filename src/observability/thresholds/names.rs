//! The names of metrics, and messages about words that name none.

use std::sync::LazyLock;

use super::super::breaks::GrantedCounts;
use super::super::distribution::Statistic;
use super::super::failures::StatusKey;
use super::super::metrics::Delay;
use super::metric::{
    BreakCount, Counted, CustomKinds, CustomValue, DisconnectedValue, IterationCount, Metric,
    MetricKind, StepValue, Subject, Timed, Unit,
};
use crate::ir::OperationType;
use crate::ir::event::BreakEnd;
use crate::ir::foreign_words::{self, STATISTICS, TIMES};
use crate::ir::step::check_step_name;
use crate::protocol::{NtStatus, nearest};

/// The words that may come next in a name, each with what it leads to.
type Words = Vec<(&'static str, Name)>;

/// A name up to one of its words.
enum Name {
    Complete(Metric),
    Incomplete(Words),
}

/// The first words of all metrics, as [`metrics`] returns them.
static METRICS: LazyLock<Words> = LazyLock::new(metrics);

/// Returns the first words of all metrics but those that a script declares. Those of operation
/// types are the last.
fn metrics() -> Words {
    let named = [
        ("all", of_operations(Subject::All)),
        ("iterations", of_iterations()),
        ("step", vec![(ANY_STEP, Name::Incomplete(of_steps()))]),
        ("errors", of_errors()),
        ("bytes", of_bytes()),
        ("lateness", statistics(Timed::Delay(Delay::Lateness))),
        ("backlog", statistics(Timed::Delay(Delay::Backlog))),
        ("handoff", statistics(Timed::Delay(Delay::Handoff))),
        ("pickup", statistics(Timed::Delay(Delay::Pickup))),
        ("breaks", of_breaks()),
        ("disconnected", of_disconnected()),
    ];
    let operations = OperationType::ALL
        .map(|operation| (operation.name(), of_operations(Subject::Operation(operation))));
    named
        .into_iter()
        .chain(operations)
        .map(|(head, words)| (head, Name::Incomplete(words)))
        .collect()
}

/// Stands for the name of any step, in the words that come after `step`.
const ANY_STEP: &str = "<name>";

/// Returns the words after the name of a step, which [`parse`] puts into the metric.
fn of_steps() -> Words {
    let of = |value| Metric::Step { name: String::new(), value };
    let statistics = complete(Statistic::NAMES, |statistic| of(StepValue::Response(statistic)));
    let counts = [
        ("count", StepValue::Count),
        ("rate", StepValue::PerSecond),
        ("failed", StepValue::Failed),
        ("skipped", StepValue::Skipped),
        ("cut", StepValue::Cut),
    ];
    let mut words = vec![("response", Name::Incomplete(statistics))];
    words.extend(complete(counts, of));
    words
}

/// Returns words that each complete the name of a metric.
fn complete<T>(
    words: impl IntoIterator<Item = (&'static str, T)>,
    metric: impl Fn(T) -> Metric,
) -> Words {
    words.into_iter().map(|(word, of)| (word, Name::Complete(metric(of)))).collect()
}

fn of_errors() -> Words {
    let words = [
        ("count", Metric::Count(Counted::Errors)),
        ("rate", Metric::ErrorShare),
        // Stands for the names of all statuses in messages.
        ("ACCESS_DENIED", errors_with(StatusKey::Status(NtStatus::ACCESS_DENIED))),
    ];
    complete(words, |metric| metric)
}

fn errors_with(status: StatusKey) -> Metric {
    Metric::Count(Counted::ErrorsWith(status))
}

fn of_bytes() -> Words {
    [("read", OperationType::Read), ("written", OperationType::Write)]
        .map(|(word, operation)| (word, Name::Incomplete(counts(Counted::Bytes(operation)))))
        .into()
}

fn of_disconnected() -> Words {
    let words = [
        ("client_seconds", DisconnectedValue::ClientSeconds),
        ("clients", DisconnectedValue::Clients),
        ("longest", DisconnectedValue::Longest),
    ];
    complete(words, Metric::Disconnected)
}

fn counts(counted: Counted) -> Words {
    let words = [("count", Metric::Count(counted)), ("rate", Metric::PerSecond(counted))];
    complete(words, |metric| metric)
}

fn statistics(times: Timed) -> Words {
    complete(Statistic::NAMES, |statistic| Metric::Time(times, statistic))
}

fn times_and_counts(subject: Subject) -> Words {
    let mut words = vec![
        ("response", Name::Incomplete(statistics(Timed::Response(subject)))),
        ("service", Name::Incomplete(statistics(Timed::Service(subject)))),
    ];
    words.extend(counts(Counted::Ended(subject)));
    words
}

fn of_operations(subject: Subject) -> Words {
    let mut words = times_and_counts(subject);
    words.push(("failed", Name::Complete(Metric::Count(Counted::Failed(subject)))));
    if subject == Subject::Operation(OperationType::Open) {
        let of = |names: &[&'static str], counted: fn(&'static str) -> Counted| {
            let named = names.iter().map(|name| (*name, *name));
            Name::Incomplete(complete(named, |name| Metric::Count(counted(name))))
        };
        words.push(("granted", of(&GrantedCounts::CACHING, Counted::Granted)));
        words.push(("create_action", of(&GrantedCounts::actions(), Counted::CreateAction)));
    }
    words
}

fn of_iterations() -> Words {
    let counts = [
        ("late", IterationCount::Late),
        ("dropped", IterationCount::Dropped),
        ("skipped", IterationCount::Skipped),
        ("cut", IterationCount::Cut),
    ];
    let mut words = times_and_counts(Subject::Iterations);
    words.extend(complete(counts, |count| Metric::Count(Counted::Iterations(count))));
    words
}

fn of_breaks() -> Words {
    let counts = [
        ("count", BreakCount::All),
        ("oplock", BreakCount::Oplock),
        ("lease", BreakCount::Lease),
        ("blocked", BreakCount::BlockedOperations),
    ];
    let ends = BreakEnd::NAMES.map(|(name, end)| (name, BreakCount::Ended(end)));
    let counts = counts.into_iter().chain(ends);
    let mut words = complete(counts, |count| Metric::Count(Counted::Breaks(count)));
    words.push(("waited", Name::Incomplete(statistics(Timed::BreakWait))));
    words.push(("lasted", Name::Incomplete(statistics(Timed::BreakLength))));
    words
}

/// Returns whether names that begin with `head` are reserved for smbench's own metrics.
pub fn is_reserved(head: &str) -> bool {
    METRICS.iter().any(|(word, _)| *word == head)
}

/// Parses the part of a threshold before its operator. Never panics, whatever the string is.
///
/// # Errors
/// A message with the word that is wrong and the nearest right one.
pub(super) fn parse(text: &str, custom: &CustomKinds) -> Result<Metric, String> {
    let words: Vec<&str> = text.split('.').collect();
    if let ["errors", word] = words[..]
        && let Some(status) = StatusKey::from_name(word)
    {
        return Ok(errors_with(status));
    }
    let mut known = &*METRICS;
    for (at, word) in words.iter().enumerate() {
        let (before, after) = (words[..at].join("."), &words[at + 1..]);
        let is_step = matches!(known[..], [(ANY_STEP, _)]) && !word.is_empty();
        if is_step {
            check_step_name(word).map_err(|error| error.to_string())?;
        }
        match known.iter().find(|(name, _)| name == word || is_step) {
            Some((_, Name::Incomplete(words))) => known = words,
            Some((_, Name::Complete(metric))) if after.is_empty() => {
                return Ok(of_step(metric.clone(), words[1]));
            }
            Some(_) if *word == "p99" && *after == ["9"] => {
                return Err(format!("write {before}.p999 for {before}.p99.9"));
            }
            Some(_) => {
                let after = short(&after.join("."));
                return Err(format!("nothing may follow {before}.{word}: remove '.{after}'"));
            }
            None if at == 0 => {
                return parse_custom(text, custom)?.ok_or_else(|| unknown_metric(text, word));
            }
            None => return Err(unknown_word(&before, word, &names(known))),
        }
    }
    Err(incomplete(text, &names(known)))
}

/// Returns the metric with the name of its step, if it is about one.
fn of_step(mut metric: Metric, step: &str) -> Metric {
    if let Metric::Step { name, .. } = &mut metric {
        *name = step.into();
    }
    metric
}

fn names(words: &Words) -> Vec<&'static str> {
    words.iter().map(|(name, _)| *name).collect()
}

/// Returns the values of a metric of this kind: the word, its meaning, and the unit.
fn values((kind, unit): (MetricKind, Unit)) -> Vec<(&'static str, CustomValue, Unit)> {
    let count = ("count", CustomValue::Count, Unit::Count);
    match kind {
        MetricKind::Counter => vec![count, ("rate", CustomValue::PerSecond, Unit::PerSecond)],
        MetricKind::Rate => vec![("rate", CustomValue::Share, Unit::Share), count],
        MetricKind::Gauge => vec![
            ("value", CustomValue::Last, Unit::Number),
            ("min", CustomValue::Of(Statistic::Min), Unit::Number),
            ("max", CustomValue::Of(Statistic::Max), Unit::Number),
        ],
        MetricKind::Histogram => {
            let of = |(name, statistic)| (name, CustomValue::Of(statistic), unit);
            Statistic::NAMES.map(of).into_iter().chain([count]).collect()
        }
    }
}

/// Parses a value of a custom metric. All but the last word is the metric's name. Returns None if
/// no metric has this name or a similar one.
fn parse_custom(text: &str, custom: &CustomKinds) -> Result<Option<Metric>, String> {
    let words = |kind| -> Vec<&str> { values(kind).into_iter().map(|(word, ..)| word).collect() };
    if let Some(&kind) = custom.get(text) {
        return Err(incomplete(text, &words(kind)));
    }
    let (name, word) = text.rsplit_once('.').unwrap_or((text, ""));
    let Some(&kind) = custom.get(name) else {
        return match nearest(name, custom.keys().map(String::as_str)) {
            Some(near) => Err(format!("unknown metric '{}': did you mean '{near}'?", short(name))),
            None => Ok(None),
        };
    };
    match values(kind).into_iter().find(|(known, ..)| *known == word) {
        Some((_, value, unit)) => Ok(Some(Metric::Custom { name: name.into(), value, unit })),
        None => Err(unknown_word(name, word, &words(kind))),
    }
}

/// The most names that a message lists.
const MANY: usize = 24;

fn unknown_metric(text: &str, head: &str) -> String {
    if let Some(here) = foreign_words::METRICS.find(head) {
        return format!("unknown metric '{head}': write a metric such as '{here}'");
    }
    let is_operation = |word: &&str| OperationType::ALL.iter().any(|known| known.name() == *word);
    let heads = names(&METRICS);
    match nearest(head, heads.iter().copied()) {
        Some(near) => format!("unknown metric '{}': did you mean '{near}'?", short(head)),
        None => format!(
            "unknown metric '{}': a metric begins with {}, a type of operation (open, read, …) or the name of a metric that the script declares",
            short(text),
            heads.into_iter().filter(|word| !is_operation(word)).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Returns the message for a name that ends too early.
fn incomplete(name: &str, known: &[&str]) -> String {
    if known == [ANY_STEP] {
        return "'step' is not a whole metric: write the name of a step after it, such as step.save.response.p99".into();
    }
    let (name, all) = (short(name), known.join(", "));
    let first = known.first().unwrap_or(&"");
    format!("'{name}' is not a whole metric: write {name}.{first}, for example (one of {all})")
}

/// Returns the message for a word after `before` that is none of `known`. It suggests no similar
/// percentile, which would be the answer to another question.
fn unknown_word(before: &str, word: &str, known: &[&str]) -> String {
    if word.is_empty() {
        return incomplete(before, known);
    }
    let before = short(before);
    let unknown_metric = format!("unknown metric '{before}.{}'", short(word));
    let is_statistic = known.contains(&"p50");
    let digits = word.strip_prefix('p').map(|digits| digits.trim_matches(['(', ')']));
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let statistic = Statistic::NAMES.iter().map(|(name, _)| *name).find(|name| *name == word);
    if known.contains(&"response") {
        if let Some(here) = STATISTICS.find(word).or(statistic) {
            return format!("{unknown_metric}: write {before}.response.{here}");
        }
        if (word == "service" || TIMES.contains(&word)) && !known.contains(&"service") {
            return format!("{unknown_metric}: write {before}.response");
        }
        if TIMES.contains(&word) {
            return format!(
                "{unknown_metric}: write {before}.response for the time since it was due, or {before}.service for the time since it was sent"
            );
        }
    } else if is_statistic {
        if let Some(here) = STATISTICS.find(word) {
            return format!("{unknown_metric}: write {before}.{here}");
        }
        if let Some(digits) = digits.filter(|digits| !digits.is_empty()) {
            return match known.iter().find(|name| name[1..] == *digits) {
                Some(here) => format!("{unknown_metric}: write {before}.{here}"),
                None => format!("{unknown_metric}: the statistics are {}", known.join(", ")),
            };
        }
    } else if before == "errors" {
        return unknown_error(word);
    }
    match nearest(&short(word), known.iter().copied()) {
        Some(near) => format!("{unknown_metric}: did you mean '{before}.{near}'?"),
        None => format!("{unknown_metric}: after {before} comes one of {}", known.join(", ")),
    }
}

fn unknown_error(word: &str) -> String {
    let bare = word.to_uppercase();
    let bare = bare.strip_prefix("STATUS_").unwrap_or(&bare);
    let statuses = NtStatus::KNOWN.iter().filter_map(|status| status.name()?.get(7..));
    let known = ["count", "rate"].into_iter().chain(StatusKey::other_names()).chain(statuses);
    match nearest(bare, known) {
        Some(near) => {
            format!("unknown status '{}': did you mean 'errors.{near}'?", short(bare))
        }
        None => format!(
            "unknown metric 'errors.{}': write errors.count, errors.rate, or errors with the name of a status, such as errors.ACCESS_DENIED",
            short(word)
        ),
    }
}

/// Returns the message for a name that is none of `known`, which are all there are.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let name = short(name);
    match nearest(&name, known.iter().copied()) {
        Some(near) => format!("unknown {what} '{name}': did you mean '{near}'?"),
        None if known.is_empty() || known.len() > MANY => format!("unknown {what} '{name}'"),
        None => format!("unknown {what} '{name}': use one of {}", known.join(", ")),
    }
}

/// Returns the beginning of a word, as much as a message quotes.
pub(super) fn short(word: &str) -> String {
    word.chars().take(60).collect()
}
