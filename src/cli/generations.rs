//! The table of the generations of a stream that was reloaded while the run went on.

use super::number_format::{counted, grouped, seconds};
use super::operation_tables::TimeUnit;
use super::style::{BOLD, DIM, Style};
use super::table::{self, Column};
use crate::observability::rounding::{change, nonzero};
use crate::observability::{GenerationSummary, Summary};

/// Maximum number of generations in the table; the summary has all of them.
const MOST_GENERATIONS: usize = 20;

/// Returns the table of the latest generations, each with the change from the one before. None if
/// the stream was not reloaded.
pub(super) fn generations(summary: &Summary, style: Style) -> Option<String> {
    let all = &summary.generations;
    if all.len() < 2 {
        return None;
    }
    let first = all.len().saturating_sub(MOST_GENERATIONS);
    let rows: Vec<(Option<&GenerationSummary>, &GenerationSummary)> = (first..all.len())
        .map(|at| (at.checked_sub(1).map(|before| &all[before]), &all[at]))
        .collect();
    let medians = rows.iter().filter_map(|(_, row)| Some(row.service_us?.tail.p50));
    let unit = TimeUnit::for_medians(medians);
    let column = |name, droppable, cell: &dyn Fn(&GenerationSummary) -> String| Column {
        name,
        droppable,
        cells: rows.iter().map(|(_, row)| cell(row)).collect(),
    };
    let time = |name, value: fn(&GenerationSummary) -> Option<f64>, droppable| {
        let cell = |row: &GenerationSummary| value(row).map(|us| unit.format(us));
        column(name, droppable, &|row| cell(row).unwrap_or_default())
    };
    let changed = |value: fn(&GenerationSummary) -> Option<f64>| Column {
        name: "change",
        droppable: 0,
        cells: rows
            .iter()
            .map(|(before, row)| change(value((*before)?)?, value(row)?))
            .map(Option::unwrap_or_default)
            .collect(),
    };
    let columns = vec![
        column("generation", 0, &|row| row.number.to_string()),
        column("started", 3, &|row| seconds(row.started_s)),
        column("clients", 4, &|row| grouped(row.clients)),
        column("operations", 5, &|row| grouped(row.totals.operations)),
        column("ops/s", 0, &|row| rate(row.totals.operations_per_s)),
        changed(|row| Some(row.totals.operations_per_s)),
        time("p50", |row| Some(row.service_us?.tail.p50), 2),
        time("p99", p99, 0),
        changed(p99),
        column("failed", 0, &|row| grouped(row.totals.counts.failed)),
        column("superseded", 1, &|row| grouped(row.superseded.operations)),
    ];
    let what = format!("service times in {}, changes from the generation before", unit.name);
    let caption = format!("{}: {}\n", style.paint(BOLD, "generations"), style.paint(DIM, what));
    let left_out = (first > 0).then(|| {
        let earlier = counted(first as u64, "earlier generation");
        format!("{earlier} in summary.json, under `generations`\n")
    });
    let left_out = left_out.map(|line| style.prose(line)).unwrap_or_default();
    Some(style.prose(caption) + &table::render(columns, style) + &left_out)
}

fn p99(row: &GenerationSummary) -> Option<f64> {
    Some(row.service_us?.tail.p99)
}

fn rate(operations_per_s: f64) -> String {
    match operations_per_s {
        rate if rate < 10.0 => nonzero(rate, 2),
        rate if rate < 1e4 => nonzero(rate, 1),
        rate => grouped(rate.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::fixtures;

    #[test]
    fn each_generation_has_a_row_with_its_change_from_the_one_before() {
        let mut summary = fixtures::full_summary();
        let wide = "\
generations: service times in ms, changes from the generation before
generation  started  clients  operations  ops/s   change    p50    p99   change  failed  superseded
1             0.0 s        3       1,004  502.0           1.000  1.000                2          12
2             1.2 s        3       1,004  753.0  +50.0 %  1.000  0.500  -50.0 %       0           0
";
        assert_eq!(generations(&summary, Style::plain(100)).unwrap(), wide);
        let narrow = generations(&summary, Style::plain(80)).unwrap();
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(narrow.contains("+50.0 %") && narrow.contains("-50.0 %"), "{narrow}");
        summary.generations.truncate(1);
        assert_eq!(generations(&summary, Style::plain(80)), None);
    }

    #[test]
    fn of_many_generations_the_latest_have_a_row_and_a_change_from_nothing_is_not_shown() {
        let mut summary = fixtures::full_summary();
        let mut empty = summary.generations[0].clone();
        (empty.totals.operations_per_s, empty.service_us) = (0.0, None);
        let last = summary.generations.remove(1);
        summary.generations = (1..500)
            .map(|number| GenerationSummary { number, ..empty.clone() })
            .chain([GenerationSummary { number: 500, ..last }])
            .collect();
        let text = generations(&summary, Style::plain(80)).unwrap();
        assert_eq!(text.lines().count(), MOST_GENERATIONS + 3);
        assert!(text.ends_with("480 earlier generations in summary.json, under `generations`\n"));
        assert!(text.contains("\n500 ") && !text.contains('%'), "{text}");
    }
}
