//! The tables of a report: one for each workload, for each recorded phase and for the whole run. A
//! table has a row for each type of operation, and one for each step.

use super::number_format::{MAX_NAME_CHARS, counted, grouped, seconds, tail};
use super::style::{BOLD, DIM, Style};
use super::table::{self, Column};
use crate::observability::Summary;
use crate::observability::rounding::nonzero;
use crate::observability::summary::{
    Iterations, OperationSummary, OperationTotals, Operations, StepSummary, Steps, Times,
    WorkloadSummary,
};
use crate::observability::text::printable;

/// Maximum number of workloads, and of phases, with a table of their own; the summary has all of
/// them.
const MOST_TABLES: usize = 10;

/// Maximum number of rows of steps in a table.
const MOST_STEPS: usize = 20;

/// Maximum length of the name of a step in a table, in characters.
const MAX_STEP_CHARS: usize = 24;

/// The workload, the phase or the whole run that a table covers.
struct Scope<'a> {
    /// The title, such as `workload editors, 2 clients`; None if the run has one table only.
    title: Option<String>,
    totals: &'a OperationTotals,
    operations: &'a Operations,
    steps: &'a Steps,
    /// Lines on the iterations.
    iterations: Vec<String>,
}

/// Returns the table of the whole run. If there are several workloads or recorded phases, a table
/// for each of them comes first, with its iterations, and then a line with the number of those that
/// have no table.
pub(super) fn tables(summary: &Summary, style: Style) -> Vec<String> {
    if summary.operations.is_empty() {
        return vec!["no operation was recorded\n".into()];
    }
    let (workloads, left_out_workloads) = workloads(summary);
    let (phases, left_out_phases) = phases(summary);
    let is_one = workloads.is_empty() && phases.is_empty();
    let whole = Scope {
        title: (!is_one).then(|| "total".into()),
        totals: &summary.totals,
        operations: &summary.operations,
        steps: &summary.steps,
        // The report shows them with the other figures of the whole run.
        iterations: Vec::new(),
    };
    let scopes = || workloads.iter().chain(&phases).chain([&whole]);
    let unit = TimeUnit::for_rows(scopes().flat_map(|scope| scope.operations.values()));
    let mut parts: Vec<String> = Vec::new();
    for (scopes, left_out) in [(&workloads, left_out_workloads), (&phases, left_out_phases)] {
        parts.extend(scopes.iter().map(|scope| table(scope, unit, style)));
        parts.extend(left_out.map(|line| style.prose(line)));
    }
    parts.push(table(&whole, unit, style));
    parts
}

/// Returns whether the workload has clients, or had some until a reload removed it.
fn took_part(workload: &WorkloadSummary) -> bool {
    workload.clients > 0 || workload.totals.operations > 0
}

/// Returns whether the figures of the run merge those of several workloads.
fn has_several_workloads(summary: &Summary) -> bool {
    summary.workloads.iter().filter(|workload| took_part(workload)).count() > 1
}

fn workloads(summary: &Summary) -> (Vec<Scope<'_>>, Option<String>) {
    if !has_several_workloads(summary) {
        return (Vec::new(), None);
    }
    let mut scopes = Vec::new();
    let mut left_out = 0;
    for workload in summary.workloads.iter().filter(|workload| took_part(workload)) {
        if scopes.len() == MOST_TABLES {
            left_out += 1;
            continue;
        }
        let name = printable(&workload.name, MAX_NAME_CHARS);
        scopes.push(Scope {
            title: Some(format!("workload {name}, {}", counted(workload.clients.into(), "client"))),
            totals: &workload.totals,
            operations: &workload.operations,
            steps: &workload.steps,
            iterations: iterations(&workload.iterations, true).into_iter().collect(),
        });
    }
    (scopes, beyond(left_out, "workload", "workloads"))
}

fn phases(summary: &Summary) -> (Vec<Scope<'_>>, Option<String>) {
    let recorded = || summary.phases.iter().filter(|phase| phase.recorded);
    if recorded().count() < 2 {
        return (Vec::new(), None);
    }
    let several = has_several_workloads(summary);
    let scopes = recorded().take(MOST_TABLES).map(|phase| {
        let mut lines: Vec<String> = Vec::new();
        let names = summary.workloads.iter().map(|workload| &workload.name);
        let found = names.filter_map(|name| Some((name, phase.iterations.get(name)?)));
        for (name, found) in found.take(MOST_TABLES) {
            let Some(line) = iterations(found, true) else { continue };
            lines.push(match several {
                true => format!("{}: {line}", printable(name, MAX_NAME_CHARS)),
                false => line,
            });
        }
        let left_out = phase.iterations.len().saturating_sub(MOST_TABLES) as u64;
        lines.extend(beyond(left_out, "workload", "phases").map(|line| line.trim_end().into()));
        Scope {
            title: Some(format!(
                "phase {}, {}",
                printable(&phase.name, MAX_NAME_CHARS),
                seconds(phase.duration_s)
            )),
            totals: &phase.totals,
            operations: &phase.operations,
            steps: &phase.steps,
            iterations: lines,
        }
    });
    let left_out = recorded().count().saturating_sub(MOST_TABLES) as u64;
    (scopes.collect(), beyond(left_out, "phase", "phases"))
}

fn beyond(left_out: u64, noun: &str, key: &str) -> Option<String> {
    (left_out > 0).then(|| {
        let more = counted(left_out, &format!("more {noun}"));
        format!("{more} in summary.json, under `{key}`\n")
    })
}

/// Returns the line on the iterations of the whole run. It has times only if one workload iterates:
/// times of different kinds of iterations are not merged, and each workload's table has its own.
pub(super) fn iterations_of_run(summary: &Summary) -> Option<String> {
    let iterating = summary.workloads.iter().filter(|workload| workload.iterations.all() > 0);
    let are_alike = iterating.count() < 2;
    let line = iterations(&summary.iterations, are_alike);
    line.map(|line| labeled("iterations", &[line]).trim_end().to_string())
}

/// Returns the counts of iterations, and their times if asked for; None if there were no
/// iterations.
fn iterations(iterations: &Iterations, with_times: bool) -> Option<String> {
    if iterations.all() == 0 {
        return None;
    }
    let mut line = format!("{} finished", grouped(iterations.count));
    for (count, what) in [
        (iterations.counts.late, "of them late"),
        (iterations.counts.dropped, "dropped"),
        (iterations.counts.skipped, "skipped (nothing of them was sent)"),
        (iterations.counts.cut, "cut"),
    ] {
        if count > 0 {
            line += &format!(", {} {what}", grouped(count));
        }
    }
    if let Some(times) = iterations.response_us.as_ref().filter(|_| with_times) {
        line += &format!("; {}", tail(&times.tail));
    }
    Some(line)
}

/// Returns the lines with a label before the first.
fn labeled(label: &str, lines: &[String]) -> String {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(lines).map(|(label, line)| format!("{label:<12}{line}\n")).collect()
}

/// Returns lines on the steps that did not end, and on those that have no row.
fn unfinished_steps(steps: &Steps) -> Vec<String> {
    let unfinished = |(name, step): (&String, &StepSummary)| {
        let counts =
            [(step.counts.skipped, "skipped (nothing of them was sent)"), (step.counts.cut, "cut")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> =
            counts.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        let name = printable(name, MAX_STEP_CHARS);
        (!counts.is_empty()).then(|| format!("{name}: {}", counts.join(", ")))
    };
    let mut lines: Vec<String> = steps.iter().take(MOST_STEPS).filter_map(unfinished).collect();
    let left_out = steps.len().saturating_sub(MOST_STEPS) as u64;
    lines.extend(beyond(left_out, "step", "steps").map(|line| line.trim_end().into()));
    lines
}

/// Returns a table with a row for each type of operation, a row for the total, and a row for each
/// step that ended.
fn table(scope: &Scope<'_>, unit: TimeUnit, style: Style) -> String {
    let title = scope.title.as_ref().map(|title| style.paint(BOLD, title) + ": ");
    let title = title.unwrap_or_default();
    if scope.operations.is_empty() {
        let text = format!("{title}no operation was recorded\n");
        return style.prose(text + &labeled("iterations", &scope.iterations));
    }
    let totals = scope.totals;
    let per_second = |amount: f64, of: f64| match totals.duration_s > 0.0 {
        true if of < 10.0 * totals.duration_s => nonzero(amount / totals.duration_s, 2),
        true if of < 1e4 * totals.duration_s => nonzero(amount / totals.duration_s, 1),
        true if amount < totals.duration_s => nonzero(amount / totals.duration_s, 0),
        true => grouped((amount / totals.duration_s).round() as u64),
        false => "-".into(),
    };
    let rate = |count: u64| per_second(count as f64, totals.operations as f64);
    let all_mib = mib(totals.bytes_read.saturating_add(totals.bytes_written));
    let mib_rate = |bytes: u64| match bytes {
        0 => String::new(),
        bytes => per_second(mib(bytes), all_mib),
    };
    let rows = rows(scope);
    let column = |name, droppable, cell: &dyn Fn(&Row) -> String| Column {
        name,
        droppable,
        cells: rows.iter().map(cell).collect(),
    };
    let time = |name, droppable, value: fn(&Times) -> f64| {
        let cell =
            |row: &Row| row.response_us.map_or(String::new(), |times| unit.format(value(&times)));
        column(name, droppable, &cell)
    };
    let columns = vec![
        column("operation", 0, &|row| row.name.clone()),
        column("count", 0, &|row| grouped(row.count)),
        column("failed", 0, &|row| grouped(row.failed)),
        column("ops/s", 0, &|row| rate(row.count)),
        column("MiB/s", 1, &|row| mib_rate(row.bytes)),
        time("min", 5, |times| times.min),
        time("mean", 3, |times| times.mean),
        time("p50", 0, |times| times.tail.p50),
        time("p90", 4, |times| times.tail.p90),
        time("p95", 2, |times| times.tail.p95),
        time("p99", 0, |times| times.tail.p99),
        time("max", 0, |times| times.tail.max),
    ];
    let what = format!("response times in {}, failed operations included", unit.name);
    let caption = format!("{title}{}\n", style.paint(DIM, what));
    let table = table::render(columns, style);
    let lines = labeled("iterations", &scope.iterations)
        + &labeled("steps", &unfinished_steps(scope.steps));
    style.prose(caption) + &table + &style.prose(lines)
}

/// A row of a table.
struct Row {
    name: String,
    count: u64,
    failed: u64,
    bytes: u64,
    response_us: Option<Times>,
}

fn rows(scope: &Scope<'_>) -> Vec<Row> {
    let operations = scope.operations.iter().map(|(operation, row)| Row {
        name: operation.name().to_string(),
        count: row.count,
        failed: row.counts.failed,
        bytes: row.bytes,
        response_us: row.response_us,
    });
    let totals = scope.totals;
    let total = Row {
        name: "total".into(),
        count: totals.operations,
        failed: totals.counts.failed,
        bytes: totals.bytes_read.saturating_add(totals.bytes_written),
        response_us: None,
    };
    let ended = scope.steps.iter().take(MOST_STEPS).filter(|(_, step)| step.count > 0);
    let steps = ended.map(|(name, step)| Row {
        name: format!("step {}", printable(name, MAX_STEP_CHARS)),
        count: step.count,
        failed: step.counts.failed,
        bytes: 0,
        response_us: step.response_us,
    });
    operations.chain([total]).chain(steps).collect()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The unit of times. All tables have the same, so that their rows can be compared.
#[derive(Clone, Copy)]
pub(super) struct TimeUnit {
    pub name: &'static str,
    micros: f64,
    decimals: usize,
}

impl TimeUnit {
    const MICROS: TimeUnit = TimeUnit { name: "µs", micros: 1.0, decimals: 2 };
    const MILLIS: TimeUnit = TimeUnit { name: "ms", micros: 1e3, decimals: 3 };

    /// Returns milliseconds, or microseconds if a median would then have fewer than two digits.
    fn for_rows<'a>(rows: impl Iterator<Item = &'a OperationSummary>) -> TimeUnit {
        TimeUnit::for_medians(rows.filter_map(|row| Some(row.response_us?.tail.p50)))
    }

    /// Returns the unit that suits all of these medians, which are in microseconds.
    pub fn for_medians(medians: impl Iterator<Item = f64>) -> TimeUnit {
        let least = medians.fold(f64::INFINITY, f64::min);
        if least < 10.0 { TimeUnit::MICROS } else { TimeUnit::MILLIS }
    }

    /// Returns a cell. All cells have the same number of decimals, so that the decimal points
    /// align, unless that would round a time to zero.
    pub fn format(self, micros: f64) -> String {
        nonzero(micros / self.micros, self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::render;
    use super::*;
    use crate::observability::fixtures;

    const PLAIN: Style = Style::plain(80);

    fn summary() -> Summary {
        Summary::new(fixtures::facts(), &fixtures::measurements())
    }

    fn named<T: Clone>(one: &T, name: impl Fn(&mut T) -> &mut String, count: usize) -> Vec<T> {
        let rename = |at| {
            let mut one = one.clone();
            *name(&mut one) = format!("n{at}");
            one
        };
        (0..count).map(rename).collect()
    }

    #[test]
    fn each_workload_has_a_table_with_its_iterations_and_the_total_merges_no_times() {
        let text = render(&summary(), None, PLAIN);
        let tables = text.split_once("\n\n").unwrap().1;
        let expected = "\
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
";
        assert!(tables.starts_with(expected), "{tables}");
        let counts = "\n\niterations  2 finished, 1 of them late, 1 dropped, 1 skipped (nothing of them was sent), 1 cut";
        let whole = |summary: &Summary| {
            let text = render(summary, None, PLAIN);
            text[text.find(counts).unwrap() + counts.len()..].lines().next().unwrap().to_string()
        };
        assert_eq!(whole(&summary()), "; p50 15.0 ms, p99 20.0 ms, max 20.0 ms", "all of editors");
        let mut summary = summary();
        summary.workloads[1].iterations = summary.workloads[0].iterations.clone();
        assert_eq!(whole(&summary), "");
    }

    #[test]
    fn each_of_several_recorded_phases_has_a_table_with_the_iterations_of_each_workload() {
        let mut summary = summary();
        let steady = &mut summary.phases[1];
        let iterations = steady.iterations["editors"].clone();
        steady.iterations.insert("日本".into(), iterations);
        summary.workloads[1].name = "日本".into();
        let mut peak = steady.clone();
        (peak.name, peak.operations) = ("peak".into(), Operations::new());
        peak.iterations.clear();
        summary.phases.push(peak);
        let text = render(&summary, None, PLAIN);
        let phase = text.find("\n\nphase steady, 2.0 s: response times in ms").expect(&text);
        let lines: Vec<&str> = text[phase..].lines().skip(9).take(5).collect();
        let found = "2 finished, 1 of them late, 1 dropped, 1 skipped (nothing of them was sent), 1 cut; p50 15.0 ms, p99 20.0 ms, max 20.0 ms";
        assert_eq!(
            lines,
            [
                &format!("iterations  editors: {found}"),
                &format!("            日本: {found}"),
                "steps       close: 1 cut",
                "",
                "phase peak, 2.0 s: no operation was recorded"
            ]
        );
        assert!(!text.contains("phase warmup"), "it is not recorded: {text}");

        summary.workloads.truncate(1);
        let text = render(&summary, None, PLAIN);
        assert!(!text.contains("workload editors"), "{text}");
        assert!(text.contains("\n\nphase steady, 2.0 s: "), "{text}");
    }

    #[test]
    fn of_many_workloads_and_phases_some_are_printed_and_the_others_are_counted() {
        let mut summary = summary();
        summary.workloads = named(&summary.workloads[0], |workload| &mut workload.name, 1_000);
        let mut phase = summary.phases[1].clone();
        let iterations = phase.iterations["editors"].clone();
        phase.iterations = (0..1_000).map(|at| (format!("n{at}"), iterations.clone())).collect();
        summary.phases = named(&phase, |phase| &mut phase.name, 12);
        let text = render(&summary, None, PLAIN);
        assert_eq!(text.lines().filter(|line| line.starts_with("workload ")).count(), 10);
        assert!(text.contains("\n\n990 more workloads in summary.json, under `workloads`\n\n"));
        assert_eq!(text.lines().filter(|line| line.starts_with("phase ")).count(), 10);
        assert!(text.contains("\n\n2 more phases in summary.json, under `phases`\n\n"), "{text}");
        assert!(
            text.contains("\n            990 more workloads in summary.json, under `phases`\n")
        );
        assert!(text.lines().count() < 400, "{}", text.lines().count());
    }

    #[test]
    fn of_many_steps_some_have_a_row_and_the_others_are_counted() {
        let mut summary = summary();
        let step = summary.steps["save"].clone();
        let name = |at: u32| format!("{at:02}-{}", "x".repeat(60));
        summary.steps = (0..1_000).map(|at| (name(at), step.clone())).collect();
        let text = render(&summary, None, PLAIN);
        let whole = &text[text.find("\ntotal: ").expect(&text)..];
        assert_eq!(whole.lines().filter(|line| line.starts_with("step ")).count(), MOST_STEPS);
        assert!(whole.contains("\nsteps       980 more steps in summary.json, under `steps`\n"));
        let row = whole.lines().find(|line| line.starts_with("step 07-xxx")).expect(whole);
        assert!(row.chars().count() <= 80, "{row}");
    }

    #[test]
    fn a_figure_that_is_not_zero_is_not_printed_as_zero() {
        assert_eq!(
            [0.0, 0.4, 1_500.0].map(|us| TimeUnit::MILLIS.format(us)),
            ["0.000", "0.0004", "1.500"]
        );
        assert_eq!([0.001, 2.5].map(|us| TimeUnit::MICROS.format(us)), ["0.001", "2.50"]);
    }
}
