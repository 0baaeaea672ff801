//! The printed report of a probe, and the printed list of the kinds of targets.

use std::fmt::Write as _;

use super::number_format::{counted, seconds};
use super::style::{BAD, BOLD, DIM, GOOD, Style, WARNING};
use super::targets::{NamedTargetLine, TargetList};
use crate::observability::text::printable;
use crate::probe::{CaseOutcome, CaseReport, FeatureSupport, ProbeReport, SupportLevel};

const MAX_DETAIL_CHARS: usize = 400;

const DIFFERS: &str = concat!(
    "  the answer is not what the named section says: a client that relies on it may fail\n",
    "  \"known\" is the reason why another server answers so, and may be the reason here",
);
const NOT_GRANTED: &str = "  not a fault: a server may refuse it, and clients work without it";
const NOT_ASKED: &str = "  unknown: the case could harm the server, or smbench cannot run it";

/// Maximum number of cases named for each reason why cases were not run.
const MAX_NAMED: usize = 10;

/// Maximum number of characters of a target of the manifest.
const MAX_TARGET_CHARS: usize = 1_000;

/// Returns the report of a probe. Strings from the server are escaped.
pub fn render_probe(report: &ProbeReport, style: Style) -> String {
    style.prose(probe_lines(report, style))
}

fn probe_lines(report: &ProbeReport, style: Style) -> String {
    let target = &report.target;
    let server = &target.server;
    let mut text = style.paint(BOLD, printable(&target.url, MAX_DETAIL_CHARS)) + "\n";
    for (what, value) in [
        ("backend", Some(target.backend)),
        ("dialect", server.dialect.as_deref()),
        ("signing", server.signing.as_deref()),
        ("encryption", server.encryption.as_deref()),
        ("server GUID", server.server.as_deref()),
    ] {
        let value = value.map_or_else(|| "none".into(), |value| printable(value, MAX_DETAIL_CHARS));
        let _ = writeln!(text, "  {what:<24}  {value}");
    }
    let totals = &report.totals;
    if totals.not_run > 0 {
        let early = format_args!(
            "\nended early: {} of {} cases were not run; what follows covers the others",
            totals.not_run, totals.cases
        );
        let _ = writeln!(text, "{}", style.paint(BAD, early));
    }
    heading(&mut text, "supports", style);
    for row in &report.supports {
        let _ = writeln!(text, "  {:<24}  {}", row.what, support(row, style));
    }
    section(&mut text, "differs from the reference", DIFFERS, &report.differences(), style);
    for (outcome, name, means) in [
        (CaseOutcome::NotGranted, "not granted", NOT_GRANTED),
        (CaseOutcome::Skipped, "not asked", NOT_ASKED),
    ] {
        section(&mut text, name, means, &of(report, outcome), style);
    }
    not_run(&mut text, &of(report, CaseOutcome::NotRun), style);
    heading(&mut text, "totals", style);
    let _ = writeln!(
        text,
        "  {} in {}",
        counted(totals.cases as u64, "case"),
        seconds(report.duration_s)
    );
    let known = match (totals.fail, totals.deviation) {
        (_, 0) => String::new(),
        (0, _) => ", each for a known reason".into(),
        (_, known) => format!(", {known} of them for a known reason"),
    };
    for (count, what) in [
        (totals.pass, "as the reference"),
        (totals.fail + totals.deviation, &format!("differ{known}")),
        (totals.not_granted, "not granted, as a server may"),
        (totals.skipped, "not asked"),
        (totals.not_run, "not run"),
    ] {
        let _ = writeln!(text, "  {count:>5} {what}");
    }
    if report.left_behind.is_empty() {
        let _ = writeln!(text, "  nothing is left on the server");
    }
    for left in &report.left_behind {
        let left = printable(left, MAX_DETAIL_CHARS);
        let _ = writeln!(text, "{}", style.paint(BAD, format_args!("left on the server: {left}")));
    }
    text
}

fn support(row: &FeatureSupport, style: Style) -> String {
    let FeatureSupport { passed, asked, not_run, .. } = row;
    let more = if *not_run > 0 { format!(", {not_run} not run") } else { String::new() };
    let (color, text) = match row.answer {
        SupportLevel::Yes => (GOOD, "yes".into()),
        SupportLevel::No => (WARNING, "no".into()),
        SupportLevel::Partly => (WARNING, format!("partly: {passed} of {asked} cases{more}")),
        SupportLevel::Unknown if *not_run == 0 => (DIM, "not asked".into()),
        SupportLevel::Unknown if *asked == 0 => {
            (DIM, format!("not known: {} not run", counted(*not_run as u64, "case")))
        }
        SupportLevel::Unknown => (DIM, format!("not known: {passed} of {asked} cases{more}")),
    };
    style.paint(color, text)
}

fn of(report: &ProbeReport, outcome: CaseOutcome) -> Vec<&CaseReport> {
    report.cases.iter().filter(|case| case.outcome == outcome).collect()
}

/// Appends the cases that were not run, grouped by reason, in the order of the report.
fn not_run(text: &mut String, cases: &[&CaseReport], style: Style) {
    if cases.is_empty() {
        return;
    }
    heading(text, "not run", style);
    let mut reasons: Vec<&str> = Vec::new();
    for why in cases.iter().filter_map(|case| case.detail.as_deref()) {
        if !reasons.contains(&why) {
            reasons.push(why);
        }
    }
    for why in reasons {
        let of_it: Vec<_> =
            cases.iter().filter(|case| case.detail.as_deref() == Some(why)).collect();
        let _ = writeln!(text, "  {}: {why}", of_it.len());
        for case in of_it.iter().take(MAX_NAMED) {
            let _ = writeln!(text, "      {}", case.name);
        }
        if let Some(more) = of_it.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
            let _ = writeln!(text, "      and {more} more, which --json names");
        }
    }
}

fn heading(text: &mut String, name: &str, style: Style) {
    let _ = writeln!(text, "\n{}", style.paint(BOLD, name));
}

fn section(text: &mut String, name: &str, means: &str, cases: &[&CaseReport], style: Style) {
    if cases.is_empty() {
        return;
    }
    heading(text, name, style);
    let _ = writeln!(text, "{}", style.paint(DIM, means));
    for case in cases {
        let essential = if case.essential { style.paint(BAD, " essential") } else { String::new() };
        let section = style.paint(DIM, format_args!("({})", case.section));
        let _ = writeln!(text, "  {} {section}{essential}", case.name);
        if let Some(detail) = &case.detail {
            let _ = writeln!(text, "      {}", printable(detail, MAX_DETAIL_CHARS));
        }
        if let Some(reason) = case.reason {
            let _ = writeln!(text, "      known: {reason}");
        }
    }
}

pub fn render_targets(list: &TargetList, style: Style) -> String {
    let mut text = String::new();
    for kind in list.targets {
        let state = match kind.unavailable {
            None => style.paint(GOOD, "available"),
            Some(why) => style.paint(WARNING, why),
        };
        let modes: Vec<String> = kind.fidelity_modes.iter().map(u8::to_string).collect();
        let modes = match &modes[..] {
            [] => "no fidelity mode".to_string(),
            [one] => format!("fidelity mode {one}"),
            several => format!("fidelity modes {}", several.join(", ")),
        };
        let target = style.paint(BOLD, kind.target);
        let _ = writeln!(text, "{target}\n  {}\n  {modes}; {state}", kind.what);
    }
    if !list.named.is_empty() {
        let _ =
            writeln!(text, "\n{}", style.paint(BOLD, "Targets of smbench.toml (--target NAME):"));
    }
    for NamedTargetLine { name, target, place } in &list.named {
        let [name, target, place] =
            [name, target, place].map(|text| printable(text, MAX_TARGET_CHARS));
        let _ = writeln!(text, "{name}  {target}  {place}");
    }
    style.prose(text)
}
