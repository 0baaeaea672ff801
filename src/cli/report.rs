//! The report: a summary in a form that is easy to read.

use std::collections::BTreeMap;
use std::path::Path;

use super::breaks::breaks;
use super::failures::failures;
use super::generations::generations;
use super::metrics::metrics;
use super::number_format::{
    MAX_NAME_CHARS, MAX_PATH_CHARS, counted, exact_time, grouped, seconds, tail, time, time_that,
};
use super::operation_tables::{iterations_of_run, tables};
use super::style::{BAD, BOLD, DIM, Style};
use super::thresholds::thresholds;
use super::verdict::verdict;
use crate::observability::Summary;
use crate::observability::rounding::nonzero;
use crate::observability::summary::{
    CleanedSummary, OperationTotals, OplogSummary, PreparedSummary, RunSettings, TargetFacts,
};
use crate::observability::text::printable;
use crate::protocol::NtStatus;

/// Renders a summary: first what ended the run early, then the thresholds, the tables and the
/// failures, and last the verdict on trust. Strings from the script, the server and file names are
/// made safe for a terminal.
pub fn render(summary: &Summary, results: Option<&Path>, style: Style) -> String {
    let prose = |text: String| style.prose(text);
    let first = no_client_left(summary, style).into_iter().chain(thresholds(summary, style));
    let mut parts: Vec<String> = first.chain([heading(summary, style)]).map(prose).collect();
    parts.extend(tables(summary, style));
    parts.extend(generations(summary, style));
    parts.extend(Some(facts(summary)).filter(|facts| !facts.is_empty()).map(prose));
    parts.extend(metrics(summary, style).map(prose));
    parts.extend(failures(summary, style).into_iter().map(prose));
    parts.push(prose(verdict(summary, results, style)));
    parts.join("\n")
}

fn no_client_left(summary: &Summary, style: Style) -> Option<String> {
    let failed = summary.failed_clients.as_ref().filter(|failed| failed.all)?;
    Some(format!(
        "{} no client was left: {} gave up reconnecting, so the run ended after {} of its recorded phases; rates cover that time\n",
        style.paint(BAD, "error:"),
        counted(failed.count, "client"),
        seconds(summary.totals.duration_s),
    ))
}

fn heading(summary: &Summary, style: Style) -> String {
    let clients: u64 = summary.workloads.iter().map(|workload| u64::from(workload.clients)).sum();
    format!(
        "{} on {}\n{}\n",
        style.paint(BOLD, printable(&summary.run.script, MAX_PATH_CHARS)),
        target(&summary.target),
        style.paint(
            DIM,
            format!(
                "{}, {} recorded, seed {}{}",
                counted(clients, "client"),
                seconds(summary.totals.duration_s),
                summary.run.seed,
                settings(&summary.run.settings)
            )
        ),
    )
}

/// Returns the settings that change the meaning of the figures.
fn settings(settings: &RunSettings) -> String {
    let mut text = String::new();
    if let Some(mode) = settings.mode {
        text += &format!(", at most mode {mode}");
    }
    if let Some(limit) = settings.limit {
        text += &format!(", limit {limit}");
    }
    if settings.time_scale != 1.0 {
        text += &format!(", time scale {}", settings.time_scale);
    }
    if !settings.retry.is_empty() {
        text += ", with retries";
    }
    text
}

fn target(target: &TargetFacts) -> String {
    let fact = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{name}{}", printable(value, MAX_NAME_CHARS)))
    };
    // Mode 0 is not shown: every client can do it.
    let mode = (target.mode > 0).then(|| format!("fidelity mode {}", target.mode));
    let facts: Vec<String> = [
        mode,
        fact("SMB ", &target.dialect),
        fact("signing ", &target.signing),
        fact("encryption ", &target.encryption),
    ]
    .into_iter()
    .flatten()
    .collect();
    let url = printable(&target.url, MAX_PATH_CHARS);
    if facts.is_empty() { url } else { format!("{url} ({})", facts.join(", ")) }
}

/// Returns one line each on iterations, lateness and delays, and on events such as reconnects.
fn facts(summary: &Summary) -> String {
    let (totals, delays) = (&summary.totals, &summary.delays);
    let mut lines = Vec::new();
    lines.extend(iterations_of_run(summary));
    if let Some(lateness) = &delays.lateness_us {
        let (late, bound_us) = (summary.trust.late_operations, summary.trust.late_bound_us);
        let max = time_that(lateness.max, |shown| (shown > bound_us) == (lateness.max > bound_us));
        lines.push(format!(
            "lateness    p50 {}, p99 {}, max {max}; {} later than {}",
            time(lateness.p50),
            time(lateness.p99),
            counted(late, "operation"),
            exact_time(bound_us),
        ));
    }
    if let Some(backlog) = delays.backlog_us.as_ref().filter(|backlog| backlog.max > 0.0) {
        lines.push(format!("backlog     {}", tail(backlog)));
    }
    for (name, delay) in [("handoff", &delays.handoff_us), ("pickup", &delays.pickup_us)] {
        if let Some(delay) = delay {
            lines.push(format!("{name:<12}{}", tail(delay)));
        }
    }
    let disconnected = summary.disconnected;
    if disconnected.clients > 0 {
        lines.push(format!(
            "disconnected  {} for {} in total, the longest for {}",
            counted(disconnected.clients, "client"),
            seconds(disconnected.client_seconds),
            seconds(disconnected.longest_s),
        ));
    }
    lines.extend(breaks(summary));
    lines.extend(expected(summary));
    lines.extend(happenings(summary, totals));
    lines.extend(summary.oplog.map(oplog));
    lines.extend(summary.prepared.map(prepared));
    lines.extend(summary.cleaned.as_ref().map(cleaned));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn oplog(lines: OplogSummary) -> String {
    let OplogSummary { written, dropped } = lines;
    let kept = format!("{} in ops.jsonl", counted(written, "line"));
    match dropped {
        0 => kept,
        dropped => {
            format!(
                "{kept}; {} dropped because they could not be written in time",
                grouped(dropped)
            )
        }
    }
}

fn prepared(prepared: PreparedSummary) -> String {
    let PreparedSummary { directories, files, bytes } = prepared;
    let directories = match directories {
        1 => "1 directory".to_string(),
        directories => format!("{} directories", grouped(directories)),
    };
    let mib = nonzero(bytes as f64 / f64::from(1 << 20), 1);
    format!("prepared    {directories} and {}, {mib} MiB", counted(files, "file"))
}

fn cleaned(cleaned: &CleanedSummary) -> String {
    let left = match cleaned.left + cleaned.untracked {
        0 => String::new(),
        left => format!(", {} left behind", grouped(left)),
    };
    format!("cleaned     {} removed{left}", counted(cleaned.removed, "path"))
}

/// Returns the line on statuses other than success that `expect` allows. Reads past the end of a
/// file are not among them: they count as short reads. Returns None if there were so many statuses
/// that failures of several statuses are counted as one.
fn expected(summary: &Summary) -> Option<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (status, count) in summary.operations.values().flat_map(|found| &found.statuses) {
        *counts.entry(status).or_default() += count;
    }
    if summary.failures.iter().any(|group| group.status == "OTHER") {
        return None;
    }
    for group in &summary.failures {
        counts
            .entry(&group.status)
            .and_modify(|count| *count = count.saturating_sub(group.operations.count));
    }
    let right = [NtStatus::SUCCESS, NtStatus::END_OF_FILE].map(|status| status.to_string());
    let reported = counts
        .into_iter()
        .filter(|(status, count)| *count > 0 && !right.iter().any(|right| right == status));
    let reported: Vec<String> = reported
        .map(|(status, count)| {
            format!("{} × {}", grouped(count), printable(status, MAX_NAME_CHARS))
        })
        .collect();
    (!reported.is_empty()).then(|| format!("expected    {}", reported.join(", ")))
}

fn happenings(summary: &Summary, totals: &OperationTotals) -> Vec<String> {
    let cleanup = summary.cleanup;
    let reopened = summary.reopened.unwrap_or_default();
    let counts = [
        (totals.total_counts.short_reads, "read", "that returned fewer bytes than requested"),
        (totals.counts.retries, "attempt", "repeated after a failure (--retry)"),
        (
            totals.total_counts.degraded,
            "operation",
            "sent without features that the backend or --mode does not allow (--degrade)",
        ),
        (totals.counts.cut, "operation", "still in flight when the drain ended (--drain)"),
        (totals.reconnects.unwrap_or(0), "connection", "lost and re-established"),
        (reopened.handles, "handle", "opened again after a lost connection (reopen)"),
        (
            reopened.failed,
            "attempt",
            "to open a handle again failed, and its operation was skipped",
        ),
        (reopened.locks_lost, "byte-range lock", "lost with the connection of a reopened handle"),
        (cleanup.closed, "handle", "left open by the stream and closed at its end"),
        (cleanup.failed, "handle", "left open by the stream that could not be closed"),
    ];
    let happened = counts.into_iter().filter(|(count, ..)| *count > 0);
    happened.map(|(count, noun, what)| format!("{} {what}", counted(count, noun))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Event, EventSink, OperationType};
    use crate::observability::fixtures;

    const PLAIN_80: Style = Style::plain(80);

    fn sample_summary() -> Summary {
        Summary::new(fixtures::facts(), &fixtures::measurements())
    }

    #[test]
    fn a_run_with_everything_in_80_columns() {
        let text = render(&sample_summary(), Some(Path::new("results/x")), PLAIN_80);
        assert_eq!(
            text,
            r"office.lua on smb://ada@nas/share (SMB 3.1.1, signing AES-GMAC)
3 clients, 2.0 s recorded, seed 7

workload editors, 2 clients: response times in ms, failed operations included
operation  count  failed  ops/s  MiB/s   mean    p50    p95    p99     max
open           2       1    1.0         1.000  1.000  1.000  1.000   1.000
read         668       1  334.0   1.30  5.001  4.993  9.511  9.912  10.000
close          1       0    0.5         1.000  1.000  1.000  1.000   1.000
total        671       2  335.5   1.30
step save      2       1    1.0         1.000  1.000  1.000  1.000   1.000
iterations  2 finished, 1 of them late, 1 dropped, 1 skipped (nothing of them was sent), 1 cut; p50 15.0 ms, p99 20.0 ms, max 20.0 ms
steps       close: 1 cut

workload readers, 1 client: response times in ms, failed operations included
operation  count  failed  ops/s  MiB/s   mean    p50    p90    p95    p99    max
read         333       0  166.5   0.65  5.000  5.001  8.995  9.503  9.896  9.980
total        333       0  166.5   0.65

total: response times in ms, failed operations included
operation  count  failed  ops/s  MiB/s   mean    p50    p95    p99     max
open           2       1    1.0         1.000  1.000  1.000  1.000   1.000
read       1,001       1  500.5   1.95  5.001  5.001  9.503  9.904  10.000
close          1       0    0.5         1.000  1.000  1.000  1.000   1.000
total      1,004       2  502.0   1.95
step save      2       1    1.0         1.000  1.000  1.000  1.000   1.000
steps       close: 1 cut

iterations  2 finished, 1 of them late, 1 dropped, 1 skipped (nothing of them was sent), 1 cut; p50 15.0 ms, p99 20.0 ms, max 20.0 ms
lateness    p50 0 µs, p99 0 µs, max 0 µs; 0 operations later than 10.0 ms
handoff     p50 4.00 µs, p99 4.00 µs, max 4.00 µs
pickup      p50 15.0 µs, p99 15.0 µs, max 15.0 µs
disconnected  2 clients for 0.8 s in total, the longest for 0.6 s
granted     1 batch
breaks      2 oplock, 2 lease
            1 acknowledged, 1 that needed no answer, 1 acknowledged and refused, 1 not answered before the server gave up
            acknowledged after p50 2.00 ms, p99 3.00 ms, max 3.00 ms
            finished after p50 4.00 ms, p99 4.00 ms, max 4.00 ms
            operations waited 3 times for them to finish, 35.0 s in total
1 break outside the recorded phases, counted separately
1 read that returned fewer bytes than requested
2 attempts repeated after a failure (--retry)
1 operation still in flight when the drain ended (--drain)
1 connection lost and re-established
1 handle opened again after a lost connection (reopen)
1 byte-range lock lost with the connection of a reopened handle
2 handles left open by the stream and closed at its end
1 handle left open by the stream that could not be closed

failed
  1 × STATUS_SHARING_VIOLATION
    1-1004 open team/\u{9b}31m\u{202e}name.docx  by editors/1 at 1.00 s
  1 × CONNECTION_LOST
    0-1006 read team/u0/a.docx  by editors/0 at 1.00 s: reset by\u{1b}[2J peer

failed in teardown, which does not change the exit code
  1 × STATUS_ACCESS_DENIED
    0-1009 delete team/u0/a.docx  by editors/0 at 1.00 s

1 operation skipped, never sent
    1-1005 close team/\u{9b}31m\u{202e}name.docx  by editors/1 at 1.00 s: its handle was not open because of 1-1004

1 client stopped sending operations: a handle kept across iterations was lost with its connection, or was never opened
  editors/0

1 client gave up reconnecting
  readers/0: nobody answers

note: 1 of 5 iterations of editors was dropped, because at arrival the client was busy with the previous one; percentiles do not include dropped iterations
note: at least 12 operations were due at the end of the run and never issued, because the clients were still busy or disconnected (the first was due 1.500 s earlier); percentiles do not include them
note: 1 break was not answered in time: the delay of `on_break` is too long, or the answer did not reach the server. After 35 s without an answer a server revokes what it granted; until then, whoever wants the file waits
trust: valid
exit code 4: operations-failed
results: results/x
"
        );
    }

    #[test]
    fn a_share_that_was_prepared_and_cleaned_has_a_line_for_each() {
        let mut summary = fixtures::full_summary();
        let text = render(&summary, None, PLAIN_80);
        let lines = "prepared    12 directories and 340 files, 5.0 MiB\n\
                     cleaned     1,400 paths removed, 1 left behind\n";
        assert!(text.contains(lines), "{text}");
        summary.prepared = Some(PreparedSummary { directories: 1, files: 1, bytes: 0 });
        summary.cleaned = Some(CleanedSummary { removed: 1, ..CleanedSummary::default() });
        let text = render(&summary, None, PLAIN_80);
        let lines = "prepared    1 directory and 1 file, 0.0 MiB\n\
                     cleaned     1 path removed\n";
        assert!(text.contains(lines), "{text}");
        let plain = render(&sample_summary(), None, PLAIN_80);
        assert!(!plain.contains("prepared") && !plain.contains("cleaned"));
    }

    #[test]
    fn a_good_run_in_120_columns_is_short() {
        let mut recorder = fixtures::recorder();
        for seq in 0..100 {
            let event = fixtures::completion(0, seq, fixtures::delete("a"), fixtures::OK);
            recorder.event(Event::Completed(event));
        }
        let mut summary = Summary::new(fixtures::facts(), &recorder.finish());
        summary.workloads.truncate(1);
        assert_eq!(
            render(&summary, None, Style::plain(120)),
            "\
office.lua on smb://ada@nas/share (SMB 3.1.1, signing AES-GMAC)
2 clients, 2.0 s recorded, seed 7

response times in ms, failed operations included
operation  count  failed  ops/s  MiB/s    min   mean    p50    p90    p95    p99    max
delete       100       0   50.0         1.000  1.000  1.000  1.000  1.000  1.000  1.000
total        100       0   50.0

lateness    p50 0 µs, p99 0 µs, max 0 µs; 0 operations later than 10.0 ms

trust: valid
"
        );
    }

    #[test]
    fn a_table_of_large_figures_still_fits_80_columns() {
        let mut summary = sample_summary();
        let read = summary.operations.get_mut(&OperationType::Read).unwrap();
        (read.count, read.counts.failed, read.bytes) = (123_456_789, 1_234, 1 << 45);
        read.response_us.as_mut().unwrap().tail.max = 35_000_123.0;
        summary.totals.operations = read.count;
        summary.totals.bytes_read = read.bytes;
        let text = render(&summary, None, PLAIN_80);
        let table = text.lines().skip_while(|line| !line.starts_with("total: ")).take(6);
        assert!(table.clone().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            table.clone().any(|line| line.contains("123,456,789") && line.ends_with("35000.123"))
        );
    }

    #[test]
    fn nothing_foreign_reaches_the_terminal_unescaped_and_color_only_when_asked() {
        let evil = "\x1b[31m\u{202e}\u{9b}2J\r\n\x07";
        let mut summary = sample_summary();
        summary.run.script = evil.into();
        summary.target.url = evil.into();
        summary.target.server = Some(evil.into());
        summary.problems = vec![evil.into()];
        summary.notes = vec![evil.into()];
        summary.trust.reasons = vec![evil.into()];
        let found = &mut summary.failures[0].operations.first[0];
        (found.op_id, found.client, found.message) = (evil.into(), evil.into(), evil.into());
        found.path = Some(evil.into());
        summary.failed_clients.as_mut().unwrap().first[0].reason = evil.into();
        summary.setup.as_mut().unwrap().failures = summary.failures.clone();
        let text = render(&summary, Some(Path::new(evil)), PLAIN_80);
        let foreign = text.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(foreign, None);
        assert!(text.contains("failed in setup"));

        let colorful = render(&summary, None, Style { color: true, ..Style::plain(80) });
        assert!(colorful.contains("\x1b[1m"));
        assert!(!colorful.contains("\x1b[2J"));
    }

    #[test]
    fn a_run_that_recorded_nothing_says_so() {
        let nothing = crate::observability::Measurements::new(fixtures::layout());
        let text = render(&Summary::new(fixtures::facts(), &nothing), None, PLAIN_80);
        assert!(text.contains("no operation was recorded\n\ntrust"), "{text}");
        assert!(text.contains("trust: nothing-recorded\n  no operation was sent"), "{text}");
    }
}
