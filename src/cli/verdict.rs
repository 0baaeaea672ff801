//! The end of the report: the verdict on trust, and advice.

use std::path::Path;

use super::number_format::{MAX_TEXT_CHARS, counted};
use super::style::{BAD, GOOD, Style, WARNING};
use crate::observability::summary::CleanedSummary;
use crate::observability::text::printable;
use crate::observability::{Cause, Summary, TrustVerdict};

/// Maximum number of notes that are printed, because each workload may have one.
const MOST_NOTES: usize = 20;

/// Returns the problems that are not failed operations, what `--clean` left behind, the notes, the
/// verdict on trust, and the reasons for the exit code.
pub(super) fn verdict(summary: &Summary, results: Option<&Path>, style: Style) -> String {
    let mut text = String::new();
    for problem in &summary.problems {
        text += &format!("{} {}\n", style.paint(BAD, "error:"), printable(problem, MAX_TEXT_CHARS));
    }
    if let Some(warning) = leftovers(summary) {
        text += &format!(
            "{} {}\n",
            style.paint(WARNING, "warning:"),
            printable(&warning, MAX_TEXT_CHARS)
        );
    }
    for note in summary.notes.iter().take(MOST_NOTES) {
        text += &format!("note: {}\n", printable(note, MAX_TEXT_CHARS));
    }
    if let Some(more) = summary.notes.len().checked_sub(MOST_NOTES).filter(|more| *more > 0) {
        let more = counted(more as u64, "more note");
        text += &format!("{more} in summary.json, under `notes`\n");
    }
    let trust = &summary.trust;
    let color = match trust.verdict {
        TrustVerdict::Valid => GOOD,
        TrustVerdict::GeneratorLimited | TrustVerdict::HooksDropped => BAD,
        TrustVerdict::NothingRecorded => BAD,
        TrustVerdict::Interrupted | TrustVerdict::NotJudged => WARNING,
    };
    text += &format!("trust: {}\n", style.paint(color, trust.verdict.name()));
    for reason in &trust.reasons {
        text += &format!("  {}\n", printable(reason, MAX_TEXT_CHARS));
    }
    if let Some(cause) = trust.cause {
        text += &format!("  {}; --allow-late accepts it\n", advice(cause, summary));
    }
    if trust.verdict == TrustVerdict::HooksDropped {
        text += "  give hooks fewer events (a narrower filter) or less work for each\n";
    }
    if let Some(why) = exit_reasons(summary) {
        text += &format!("{why}\n");
    }
    if let Some(results) = results {
        text += &format!("results: {}\n", printable(&results.to_string_lossy(), MAX_TEXT_CHARS));
    }
    text
}

/// Returns a sentence on what `--clean` left behind, if anything. It is no error, because it does
/// not change the exit code.
pub(super) fn leftovers(summary: &Summary) -> Option<String> {
    summary.cleaned.as_ref().and_then(CleanedSummary::warning)
}

/// Returns the exit code with its reasons; None if there are none.
pub(super) fn exit_reasons(summary: &Summary) -> Option<String> {
    let reasons: Vec<&str> = summary.exit_reasons.iter().map(|reason| reason.name()).collect();
    let reported = || format!("exit code {}: {}", summary.exit_code, reasons.join(", "));
    (!reasons.is_empty()).then(reported)
}

/// Returns how to make a late generator fast enough, by the cause of its lateness.
fn advice(cause: Cause, summary: &Summary) -> &'static str {
    let script = summary.run.script_hash.is_some();
    match cause {
        Cause::Limit => "raise --limit, or use fewer clients or more think time",
        Cause::Generation if script => {
            "raise --generators where cores are free, use fewer clients, more think time or an iteration that computes less, or run the document that `smbench compile` makes of the script"
        }
        Cause::Generation => "slow the document down (--time-scale 2 is half speed)",
        Cause::Cpu if summary.target.url == "embedded" => {
            "use fewer clients or more think time, a host with more cores, or a server that is not in this process (--target smb://...)"
        }
        Cause::Cpu => "use fewer clients or more think time, or a host with more cores",
        Cause::Throttled => "give the container more processor time, or use fewer clients",
        Cause::Stopped => "let it run without stopping it",
        Cause::Others | Cause::Host => "use a host that has nothing else to do, or fewer clients",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Event, EventSink};
    use crate::observability::{HookEvents, RunFacts, fixtures};

    const PLAIN: Style = Style::plain(80);

    /// Returns the summary of a hundred operations that were 20 ms late.
    fn late(facts: RunFacts) -> Summary {
        let mut recorder = fixtures::recorder();
        for seq in 0..100 {
            let mut event = fixtures::completion(0, seq, fixtures::delete("a"), fixtures::OK);
            event.times.issued_ns += 20_000_000;
            event.times.attempted_ns = event.times.issued_ns;
            event.times.completed_ns = event.times.issued_ns + 1_000_000;
            recorder.event(Event::Completed(event));
        }
        Summary::new(facts, &recorder.finish())
    }

    #[test]
    fn a_late_generator_is_reported_with_its_cause_and_a_remedy() {
        let facts = RunFacts { interrupted: true, cut_short: true, ..fixtures::facts() };
        assert_eq!(
            verdict(&late(facts), None, PLAIN),
            "\
trust: generator-limited
  100.0 % of operations (100 of 100) were issued more than 10 ms late by the generator; 1 % is the most that can be trusted
  the generator's delays add up to 2000.0 % of service and think time in a closed loop; 10 % is the most that can be trusted
  likely cause: the host: the delay was waiting for neither --limit nor the stream
  the run was cut short
  use a host that has nothing else to do, or fewer clients; --allow-late accepts it
exit code 130: interrupted, generator-limited
"
        );
    }

    #[test]
    fn a_few_of_a_million_are_not_nothing_and_a_bound_that_is_passed_is_seen_to_be() {
        let hook_events = HookEvents { delivered: 999_999, dropped: 1 };
        let text = verdict(&late(RunFacts { hook_events, ..fixtures::facts() }), None, PLAIN);
        assert!(text.contains("1 of 1000000 events for hooks (0.0001 %) was"), "{text}");

        let mut recorder = fixtures::recorder();
        for seq in 0..10_000 {
            let mut event = fixtures::completion(0, seq, fixtures::delete("a"), fixtures::OK);
            event.times.issued_ns += if seq < 101 { 10_000_400 } else { 0 };
            event.times.attempted_ns = event.times.issued_ns;
            event.times.completed_ns = event.times.issued_ns + 1_000_000;
            recorder.event(Event::Completed(event));
        }
        let summary = Summary::new(fixtures::facts(), &recorder.finish());
        let text = super::super::report::render(&summary, None, PLAIN);
        assert!(text.contains("\n  1.01 % of operations (101 of 10000) were"), "{text}");
        assert!(
            text.contains("max 10.0004 ms; 101 operations later than 10.0 ms"),
            "it is later than the bound: {text}"
        );
    }

    #[test]
    fn of_many_notes_some_are_printed_and_the_others_are_counted() {
        let notes = (0..1_000).map(|at| format!("n{at}")).collect();
        let text = verdict(&late(RunFacts { notes, ..fixtures::facts() }), None, PLAIN);
        assert_eq!(text.lines().filter(|line| line.starts_with("note: ")).count(), 20);
        assert!(text.contains("note: n19\n980 more notes in summary.json, under `notes`\n"));
    }

    #[test]
    fn the_advice_follows_from_the_cause() {
        let mut summary = late(fixtures::facts());
        let mut reported = |cause, script_hash: Option<&str>, target: &str| {
            summary.trust.cause = Some(cause);
            summary.run.script_hash = script_hash.map(String::from);
            summary.target.url = target.into();
            let text = verdict(&summary, None, PLAIN);
            let line = text.lines().find(|line| line.ends_with("; --allow-late accepts it"));
            line.unwrap().to_string()
        };
        assert!(reported(Cause::Limit, None, "sim").contains("raise --limit"));
        assert!(reported(Cause::Generation, Some("ab"), "sim").contains("`smbench compile`"));
        assert!(reported(Cause::Generation, None, "sim").contains("--time-scale"));
        assert!(reported(Cause::Cpu, None, "smb://nas/share").contains("more cores"));
        assert!(reported(Cause::Cpu, None, "embedded").contains("--target smb://"));
        assert!(reported(Cause::Host, None, "sim").contains("nothing else to do"));
    }
}
