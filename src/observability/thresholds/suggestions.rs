//! Messages about words that name no metric, with the word that was probably meant.

use super::metric::{HEADS, Statistic};
use crate::ir::OperationType;
use crate::protocol::nearest;

/// The most names that a message lists.
const MANY: usize = 24;

/// Returns the name here of a statistic that other tools call `word`.
pub(super) fn elsewhere(word: &str) -> Option<&'static str> {
    match word {
        "avg" | "average" => Some("mean"),
        "med" | "median" => Some("p50"),
        _ => None,
    }
}

/// Returns the message for other tools' statistics, and for percentiles that are not kept. It
/// suggests no similar percentile, which would answer another question.
pub(super) fn not_a_statistic(head: &str, word: &str) -> Option<String> {
    if let Some(here) = elsewhere(word) {
        return Some(format!("unknown figure of {head} '{word}': here it is '{here}'"));
    }
    let digits = word.strip_prefix('p')?.trim_matches(['(', ')']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let names = Statistic::NAMES.map(|(name, _)| name);
    let hint = match names.iter().find(|name| name[1..] == *digits) {
        Some(here) => format!("write {head}.{here}"),
        None => format!("there is {}", names.join(", ")),
    };
    Some(format!("unknown figure of {head} '{}': {hint}", short(word)))
}

/// The names of figures in other tools, and their names here.
const ELSEWHERE: [(&str, &str); 8] = [
    ("http_req_duration", "all.response.p95"),
    ("latency", "all.response.p95"),
    ("duration", "all.response.p95"),
    ("http_req_failed", "errors.rate"),
    ("error_rate", "errors.rate"),
    ("http_reqs", "all.rate"),
    ("throughput", "all.rate"),
    ("iops", "all.rate"),
];

pub(super) fn unknown_metric(text: &str, head: &str) -> String {
    if let Some((_, here)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == head) {
        return format!("unknown metric '{head}': write a figure such as '{here}'");
    }
    let heads = OperationType::ALL.map(OperationType::name).into_iter().chain(HEADS);
    match nearest(head, heads) {
        Some(near) => format!("unknown metric '{}': did you mean '{near}'?", short(head)),
        None => format!(
            "unknown metric '{}': there is {}, each type of operation (open, read, …) and what the script declares",
            short(text),
            HEADS.join(", ")
        ),
    }
}

/// Returns the message for words after `head` that are not one of `known`.
pub(super) fn wrong(head: &str, rest: &[&str], known: &[&str]) -> String {
    let all = known.join(", ");
    match rest {
        [] | [""] => format!("{0} of what? Write {0}.{1} (there is {all})", short(head), known[0]),
        [word, _, ..] if known.contains(word) => {
            format!("'{}' after {}.{word} means nothing", short(&rest[1..].join(".")), short(head))
        }
        [word, ..] => unknown(&format!("figure of {}", short(head)), word, known),
    }
}

/// Returns the message for a word that is none of `known`.
pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let word = short(word);
    match nearest(&word, known.iter().copied()) {
        Some(near) => format!("unknown {what} '{word}': did you mean '{near}'?"),
        None if known.is_empty() || known.len() > MANY => format!("unknown {what} '{word}'"),
        None => format!("unknown {what} '{word}': there is {}", known.join(", ")),
    }
}

/// Returns as much of a word as a message quotes.
pub(super) fn short(word: &str) -> String {
    word.chars().take(60).collect()
}
