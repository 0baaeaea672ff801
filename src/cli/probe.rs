//! What a probe found, and the kinds of targets, as text.

use std::fmt::Write as _;

use super::style::{BAD, BOLD, DIM, GOOD, Style, WARNING};
use crate::backend::registry::TargetKind;
use crate::observability::text::printable;
use crate::probe::{Answer, CaseReport, Outcome, ProbeReport};

const MAX_DETAIL_CHARS: usize = 400;

/// The report of a probe. What came from the server is escaped.
pub fn render_probe(report: &ProbeReport, style: Style) -> String {
    let target = &report.target;
    let server = &target.server;
    let mut text = style.paint(BOLD, printable(&target.url, MAX_DETAIL_CHARS)) + "\n";
    for (what, value) in [
        ("backend", Some(target.backend)),
        ("dialect", server.dialect.as_deref()),
        ("signing", server.signing.as_deref()),
        ("encryption", server.encryption.as_deref()),
        ("server", server.server.as_deref()),
    ] {
        let value = value.map_or_else(|| "none".into(), |value| printable(value, MAX_DETAIL_CHARS));
        let _ = writeln!(text, "  {what:<24}  {value}");
    }
    heading(&mut text, "supports", style);
    for row in &report.supports {
        let answer = match row.answer {
            Answer::Yes => style.paint(GOOD, "yes"),
            Answer::No => style.paint(WARNING, "no"),
            Answer::Partly => {
                style.paint(WARNING, format_args!("partly: {} of {} cases", row.passed, row.asked))
            }
            Answer::Unknown => style.paint(DIM, "not asked"),
        };
        let _ = writeln!(text, "  {:<24}  {answer}", row.what);
    }
    let differences: Vec<&CaseReport> = report.differences().collect();
    section(&mut text, "differs from the reference", &differences, style);
    for (outcome, name) in [(Outcome::NotGranted, "not granted"), (Outcome::Skipped, "not asked")] {
        let cases: Vec<&CaseReport> =
            report.cases.iter().filter(|case| case.outcome == outcome).collect();
        section(&mut text, name, &cases, style);
    }
    let totals = &report.totals;
    heading(&mut text, "totals", style);
    let _ = writeln!(
        text,
        "  {} cases: {} as the reference, {} differ ({} of them for a known reason), {} not granted, {} not asked, {} not run",
        totals.cases,
        totals.pass,
        totals.fail + totals.deviation,
        totals.deviation,
        totals.not_granted,
        totals.skipped,
        totals.not_run
    );
    for left in &report.left_behind {
        let left = printable(left, MAX_DETAIL_CHARS);
        let _ = writeln!(text, "{}", style.paint(BAD, format_args!("left on the server: {left}")));
    }
    text
}

fn heading(text: &mut String, name: &str, style: Style) {
    let _ = writeln!(text, "\n{}", style.paint(BOLD, name));
}

fn section(text: &mut String, name: &str, cases: &[&CaseReport], style: Style) {
    if cases.is_empty() {
        return;
    }
    heading(text, name, style);
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

pub fn render_targets(kinds: &[TargetKind], style: Style) -> String {
    let mut text = String::new();
    for kind in kinds {
        let state = match kind.unavailable {
            None => style.paint(GOOD, "available"),
            Some(why) => style.paint(WARNING, why),
        };
        let _ = writeln!(
            text,
            "{}\n  {}\n  fidelity mode {}; {state}",
            style.paint(BOLD, kind.target),
            kind.what,
            kind.mode
        );
    }
    text
}
