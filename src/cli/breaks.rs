//! The report's lines on caching rights: what was granted, and how it was broken.

use super::number_format::{counted, grouped, tail, time};
use crate::ir::OperationType;
use crate::ir::event::BreakEnd;
use crate::observability::Summary;
use crate::observability::breaks::BreakCounts;

/// Returns the lines on grants and breaks; none if the server granted nothing.
pub(super) fn breaks(summary: &Summary) -> Vec<String> {
    let Some(breaks) = &summary.breaks else { return Vec::new() };
    let opens = summary.operations.get(&OperationType::Open);
    let granted = opens.iter().flat_map(|opens| &opens.granted);
    let granted = some(granted.map(|(name, count)| (*count, name.as_str())));
    let mut lines = Vec::new();
    if !granted.is_empty() {
        lines.push(format!("granted     {granted}"));
    }
    let counts = &breaks.counts;
    if counts.all() > 0 {
        let kinds = [(counts.oplock, "oplock"), (counts.lease, "lease")];
        lines.push(format!("breaks      {}", some(kinds)));
        lines.push(format!("            {}", ends(counts)));
    }
    if let Some(times) = &breaks.waited_us {
        lines.push(format!("            acknowledged after {}", tail(&times.tail)));
    }
    let answered = counts.ends[BreakEnd::Acknowledged] + counts.ends[BreakEnd::NotAsked];
    if let Some(times) = breaks.lasted_us.as_ref().filter(|_| counts.all() > answered) {
        lines.push(format!("            finished after {}", tail(&times.tail)));
    }
    if counts.blocked_operations > 0 {
        lines.push(format!(
            "            operations waited {} for them to finish, {} in total",
            counted(counts.blocked_operations, "time"),
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

fn ends(counts: &BreakCounts) -> String {
    let ends = [
        (BreakEnd::Acknowledged, "acknowledged"),
        (BreakEnd::NotAsked, "that needed no answer"),
        (BreakEnd::Refused, "acknowledged and refused"),
        (BreakEnd::Closed, "ended by a close"),
        (BreakEnd::ConnectionLost, "ended by a lost connection"),
        (BreakEnd::Ignored, "ignored until the server gave up"),
        (BreakEnd::TimedOut, "not answered before the server gave up"),
        (BreakEnd::Cut, "cut"),
    ];
    some(ends.map(|(end, what)| (counts.ends[end], what)))
}

fn some<'a>(counts: impl IntoIterator<Item = (u64, &'a str)>) -> String {
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{} {what}", grouped(count))).collect::<Vec<_>>().join(", ")
}
