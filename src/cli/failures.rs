//! The part of the report on failed and skipped operations, and on clients that gave up.

use super::number_format::{
    MAX_NAME_CHARS, MAX_PATH_CHARS, MAX_TEXT_CHARS, counted, grouped, time,
};
use super::style::{BAD, BOLD, Style, WARNING};
use crate::observability::Summary;
use crate::observability::summary::{FailureGroup, OperationRecord};
use crate::observability::text::printable;
use crate::protocol::NtStatus;

/// Explanation of a status that means success and yet counts as a failure.
const ONLY_EXPECTED: &str = ", which `expect` does not list (add \"SUCCESS\" to allow it)";

pub(super) fn failures(summary: &Summary, style: Style) -> Vec<String> {
    let mut parts = Vec::new();
    let mut list = |color, title: String, groups: &[FailureGroup]| {
        if !groups.is_empty() {
            let groups: String = groups.iter().map(|group| failure_group(group, style)).collect();
            parts.push(format!("{}\n{groups}", style.paint(color, title)));
        }
    };
    if let Some(setup) = &summary.setup {
        list(BAD, "failed in setup".into(), &setup.failures);
    }
    for phase in summary.phases.iter().filter(|phase| !phase.recorded) {
        let name = printable(&phase.name, MAX_NAME_CHARS);
        list(BAD, format!("failed in phase {name}, not in the totals"), &phase.failures);
    }
    list(BAD, "failed".into(), &summary.failures);
    if let Some(teardown) = &summary.teardown {
        let title = "failed in teardown, which does not change the exit code";
        list(WARNING, title.into(), &teardown.failures);
    }
    if let Some(skipped) = &summary.skipped {
        let title = format!("{} skipped, never sent", counted(skipped.count, "operation"));
        let first: String = skipped.first.iter().map(|found| record(found, "")).collect();
        parts.push(format!("{}\n{first}", style.paint(WARNING, title)));
    }
    if let Some(silent) = &summary.silent_clients {
        let title = format!(
            "{} stopped sending operations: a handle kept across iterations was lost with its connection, or was never opened",
            counted(silent.count, "client")
        );
        let names: Vec<String> =
            silent.first.iter().map(|name| printable(name, MAX_NAME_CHARS)).collect();
        let more = if silent.count > names.len() as u64 { ", …" } else { "" };
        parts.push(format!("{}\n  {}{more}\n", style.paint(BAD, title), names.join(", ")));
    }
    if let Some(clients) = &summary.failed_clients {
        let title = format!("{} gave up reconnecting", counted(clients.count, "client"));
        let mut part = style.paint(BAD, title) + "\n";
        for alike in clients.first.chunk_by(|one, next| one.reason == next.reason) {
            let names: Vec<_> =
                alike.iter().map(|failed| printable(&failed.client, MAX_NAME_CHARS)).collect();
            let reason = printable(&alike[0].reason, MAX_TEXT_CHARS);
            part += &format!("  {}: {reason}\n", names.join(", "));
        }
        parts.push(part);
    }
    parts
}

fn failure_group(group: &FailureGroup, style: Style) -> String {
    let title = format!(
        "{} × {}",
        grouped(group.operations.count),
        printable(&group.status, MAX_NAME_CHARS)
    );
    // Success counts as a failure only if `expect` does not name it.
    let why = if group.status == NtStatus::SUCCESS.to_string() { ONLY_EXPECTED } else { "" };
    let mut text = format!("  {}{why}\n", style.paint(BOLD, title));
    text.extend(group.operations.first.iter().map(|found| record(found, &group.status)));
    let more = group.operations.count.saturating_sub(group.operations.first.len() as u64);
    if more > 0 {
        text += &format!("    … and {} more\n", grouped(more));
    }
    text
}

/// Returns the line of one operation, with its message if that says more than `status`.
fn record(found: &OperationRecord, status: &str) -> String {
    let mut text = format!("    {} {}", printable(&found.op_id, MAX_NAME_CHARS), found.operation);
    if let Some(path) = &found.path {
        text += &format!(" {}", printable(path, MAX_PATH_CHARS));
    }
    text += &format!(
        "  by {} at {}",
        printable(&found.client, MAX_NAME_CHARS),
        time(found.at_us as f64)
    );
    if found.message != status {
        let message = found.message.strip_prefix(status).unwrap_or(&found.message);
        let message = message.trim_start_matches([':', ' ']);
        text += &format!(": {}", printable(message, MAX_TEXT_CHARS));
    }
    text + "\n"
}
