//! Messages about words that name no metric, with the word that was probably meant.

use super::metric::{HEADS, Statistic};
use crate::ir::OperationType;
use crate::ir::foreign_words::{METRICS, STATISTICS};
use crate::protocol::nearest;

/// The most names that a message lists.
const MANY: usize = 24;

/// Returns the message for other tools' statistics, and for percentiles that are not kept. It
/// suggests no similar percentile, which would answer another question.
pub(super) fn not_a_statistic(head: &str, word: &str) -> Option<String> {
    if let Some(here) = STATISTICS.find(word) {
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

pub(super) fn unknown_metric(text: &str, head: &str) -> String {
    if let Some(here) = METRICS.find(head) {
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
