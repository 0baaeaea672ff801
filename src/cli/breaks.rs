//! The report's lines on caching rights: what was granted, and how it was broken.

use super::number_format::{counted, grouped, tail, time};
use crate::ir::OperationType;
use crate::observability::Summary;
use crate::observability::breaks::BreakSummary;

/// Returns the lines on grants and breaks; none if the server granted nothing.
pub(super) fn breaks(summary: &Summary) -> Vec<String> {
    let Some(breaks) = &summary.breaks else { return Vec::new() };
    let opens = summary.operations.get(&OperationType::Open);
    let granted = opens.map(|opens| listed(&opens.granted)).filter(|granted| !granted.is_empty());
    let mut lines: Vec<String> =
        granted.into_iter().map(|granted| format!("granted     {granted}")).collect();
    if breaks.count() > 0 {
        let kinds = [(breaks.oplock, "oplock"), (breaks.lease, "lease")];
        lines.push(format!("breaks      {}", some(&kinds)));
        lines.push(format!("            {}", ends(breaks)));
    }
    if let Some(times) = &breaks.waited_us {
        lines.push(format!("            acknowledged after {}", tail(&times.tail)));
    }
    let unacknowledged = breaks.count() > breaks.acknowledged + breaks.not_asked;
    if let Some(times) = breaks.lasted_us.as_ref().filter(|_| unacknowledged) {
        lines.push(format!("            finished after {}", tail(&times.tail)));
    }
    if breaks.blocked_operations > 0 {
        lines.push(format!(
            "            operations waited {} for them to finish, {} in total",
            counted(breaks.blocked_operations, "time"),
            time(breaks.blocked_us),
        ));
    }
    if let Some(elsewhere) = breaks.elsewhere {
        lines.push(format!(
            "{} outside the recorded phases, counted separately",
            counted(elsewhere, "break")
        ));
    }
    lines
}

fn ends(breaks: &BreakSummary) -> String {
    some(&[
        (breaks.acknowledged, "acknowledged"),
        (breaks.not_asked, "that needed no answer"),
        (breaks.refused, "acknowledged and refused"),
        (breaks.closed, "ended by a close"),
        (breaks.connection_lost, "ended by a lost connection"),
        (breaks.ignored, "ignored until the server gave up"),
        (breaks.timed_out, "not answered before the server gave up"),
        (breaks.cut, "cut"),
    ])
}

fn some(counts: &[(u64, &str)]) -> String {
    let some = counts.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{} {what}", grouped(*count))).collect::<Vec<_>>().join(", ")
}

fn listed(counts: &std::collections::BTreeMap<String, u64>) -> String {
    let counts: Vec<(u64, &str)> =
        counts.iter().map(|(name, count)| (*count, name.as_str())).collect();
    some(&counts)
}
