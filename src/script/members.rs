//! The globals that scripts see, the methods and fields of their objects, and the errors about
//! unknown ones.

use std::sync::LazyLock;

use crate::ir::foreign_words::{METHODS, METHODS_WITHOUT_EQUIVALENT};
use crate::ir::{FileControl, HandleOperation, OperationType};
use crate::observability::custom_metrics::MetricKind;
use crate::protocol::nearest;

/// Globals that are kept. Everything else of the base library is removed.
pub(super) const GLOBALS: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "bench",
    "bit32",
    "buffer",
    "coroutine",
    "error",
    "getmetatable",
    "ipairs",
    "math",
    "next",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "require",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "typeof",
    "unpack",
    "utf8",
    "xpcall",
];

/// Every method and field of a client.
pub(super) static CLIENT_METHODS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let operations = OperationType::ALL.map(OperationType::name);
    operations.into_iter().chain(["think", "at", "running", "step"]).chain(CLIENT_FIELDS).collect()
});

/// Members of a client that are fields.
const CLIENT_FIELDS: [&str; 3] = ["id", "user", "iteration"];

/// Every method of `rng`.
pub(super) const RNG_METHODS: &[&str] =
    &["int", "float", "bool", "exp", "normal", "lognormal", "pareto", "zipf", "pick", "shuffle"];

/// The method that updates each kind.
pub(super) const METRIC_METHODS: [(&str, MetricKind); 4] = [
    ("add", MetricKind::Counter),
    ("set", MetricKind::Gauge),
    ("observe", MetricKind::Rate),
    ("record", MetricKind::Histogram),
];

/// Returns the methods of a client that take a handle first.
fn methods_with_a_handle() -> impl Iterator<Item = &'static str> {
    HandleOperation::TYPES.iter().chain(FileControl::TYPES).map(|operation| operation.name())
}

/// Returns an error about a method or field that an object does not have, and suggests another.
/// `members` are the members of a client or of `rng`, if the object is known.
pub(super) fn unknown_member(what: &str, word: &str, members: Option<&[&str]>) -> String {
    if RNG_METHODS.contains(&word) {
        return format!(
            "'{word}' belongs to rng, the second argument: function(c, rng) … rng:{word}(…)"
        );
    }
    if what == "method" && CLIENT_FIELDS.contains(&word) {
        return format!("'{word}' is a field of the client: write c.{word}, not c:{word}()");
    }
    if CLIENT_METHODS.contains(&word) {
        return format!(
            "'{word}' belongs to the client, the first argument: function(c, rng) … c:{word}(…)"
        );
    }
    if METRIC_METHODS.iter().any(|(method, _)| *method == word) {
        return format!(
            "'{word}' belongs to a metric: a counter has add, a gauge set, a rate observe, a histogram record"
        );
    }
    if let Some(here) = METHODS.find(word) {
        return format!("unknown {what} '{word}': here it is '{here}'");
    }
    let objects = [("a client", CLIENT_METHODS.as_slice()), ("rng", RNG_METHODS)];
    let objects: Vec<(&str, &[&str])> = objects
        .into_iter()
        .filter(|(_, has)| members.is_none_or(|members| *has == members))
        .collect();
    let listed = |(object, has): &(&str, &[&str])| format!("{object} has {}", has.join(", "));
    let shown: String = word.chars().take(60).collect();
    let all = objects.iter().flat_map(|(_, has)| has.iter().copied());
    if members != Some(RNG_METHODS)
        && let Some(advice) = METHODS_WITHOUT_EQUIVALENT.find(word)
    {
        return format!("unknown {what} '{shown}': {advice}; {}", listed(&objects[0]));
    }
    match nearest(word, all) {
        Some(near) => {
            let whose = objects.iter().find(|(_, has)| has.contains(&near));
            let whose = whose.map(listed).unwrap_or_default();
            format!("unknown {what} '{shown}': did you mean '{near}'? ({whose})")
        }
        None => {
            let listed: Vec<String> = objects.iter().map(listed).collect();
            format!("unknown {what} '{shown}': {}", listed.join("; "))
        }
    }
}

/// Returns an error that explains how handles are used, after one was used as an object with
/// members.
pub(super) fn no_member_of_a_handle(name: &str) -> String {
    let methods: Vec<&str> = methods_with_a_handle().collect();
    let meant = METHODS.find(name).or_else(|| nearest(name, methods_with_a_handle()));
    let meant = match meant.filter(|meant| methods.contains(meant)) {
        Some("read" | "write") | None => String::new(),
        Some(meant) => format!("; did you mean c:{meant}(h)?"),
    };
    let name: String = name.chars().take(60).collect();
    format!(
        "a handle has no '{name}': handles are given to the client's methods {}, such as c:read(h, 0, 4096) and c:close(h){meant}",
        methods.join(", ")
    )
}

/// Returns an error about a method that was called with a dot.
pub(super) fn with_a_colon(method: &str) -> String {
    let object = if RNG_METHODS.contains(&method) {
        "rng"
    } else if METRIC_METHODS.iter().any(|(known, _)| *known == method) {
        "metric"
    } else {
        "c"
    };
    format!("methods are called with a colon: write {object}:{method}(…), not {object}.{method}(…)")
}
