//! The table of cases and servers, and the faults in it.

use std::fmt::Write as _;

use smbench::probe::{Case, CaseVerdict, Deviation, SuiteResults, When};

/// The results of one server, a column of the table.
pub struct Server {
    pub name: &'static str,
    pub results: SuiteResults,
}

pub struct Judged {
    /// The table, the totals, and a line for each verdict other than `pass`.
    pub table: String,
    /// The reasons why the suite fails, one line each.
    pub faults: Vec<String>,
}

/// The words for verdicts. Those in capitals are faults.
const WORDS: [&str; 7] = ["pass", "deviates", "not granted", "skipped", "NOT RUN", "PASS", "FAIL"];
/// The number of words, from the first on, whose totals are printed even if they are 0.
const ALWAYS_COUNTED: usize = 4;

/// Makes the table, and collects the faults: unexpected verdicts, deviations that name no case, and
/// paths that were left on a server.
pub fn judge(cases: &[&Case], servers: &[Server], deviations: &[Deviation]) -> Judged {
    let mut table = String::new();
    let mut notes = String::new();
    let mut faults = Vec::new();
    let mut totals = vec![[0; WORDS.len()]; servers.len()];
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or_default();
    let row = |first: &str, rest: Vec<String>| {
        let rest: String = rest.iter().map(|cell| format!("  {cell:<11}")).collect();
        format!("{first:<width$}{rest}").trim_end().to_string() + "\n"
    };
    table += &row("case", servers.iter().map(|server| server.name.to_string()).collect());
    for (number, case) in cases.iter().enumerate() {
        let mut words = Vec::new();
        for (server, totals) in servers.iter().zip(&mut totals) {
            let verdict = &server.results.verdicts[number];
            let (word, note) = judge_one(case, server.name, verdict, deviations);
            if let Some(note) = note {
                let line = format!("{}: {} ({}): {note}", server.name, case.name, case.section);
                let _ = writeln!(notes, "{line}");
                if matches!(word, "PASS" | "FAIL" | "NOT RUN") {
                    faults.push(line);
                }
            }
            totals[WORDS.iter().position(|known| *known == word).unwrap()] += 1;
            words.push(word.to_string());
        }
        table += &row(case.name, words);
    }
    for (index, word) in WORDS.iter().enumerate() {
        if index >= ALWAYS_COUNTED && totals.iter().all(|total| total[index] == 0) {
            continue;
        }
        let counts = totals.iter().map(|total| total[index].to_string()).collect();
        table += &row(&format!("total: {word}"), counts);
    }
    for deviation in deviations.iter().filter(|d| !cases.iter().any(|case| case.name == d.case)) {
        faults.push(format!("the deviation of {} names no case", deviation.case));
    }
    for server in servers {
        let left = server.results.left.iter().map(|left| format!("{}: left: {left}", server.name));
        faults.extend(left);
    }
    Judged { table: table + "\n" + &notes, faults }
}

fn judge_one(
    case: &Case,
    server: &str,
    verdict: &CaseVerdict,
    deviations: &[Deviation],
) -> (&'static str, Option<String>) {
    let deviation = deviations.iter().find(|d| d.server == server && d.case == case.name);
    match (verdict, deviation) {
        (CaseVerdict::Pass, None) => ("pass", None),
        (CaseVerdict::Pass, Some(known)) if known.when == When::Sometimes => ("pass", None),
        (CaseVerdict::Pass, Some(_)) => ("PASS", Some("no longer deviates".into())),
        (CaseVerdict::Fail(found), Some(known)) if found.what.contains(known.answers) => {
            ("deviates", Some(format!("{}: {} ({})", known.reason, found.what, found.at)))
        }
        (CaseVerdict::Fail(found), _) => ("FAIL", Some(format!("{} ({})", found.what, found.at))),
        (CaseVerdict::NotGranted(what), Some(known)) if what.contains(known.answers) => {
            ("not granted", Some(format!("{}: {what}", known.reason)))
        }
        (CaseVerdict::NotGranted(what), _) => ("not granted", Some(what.clone())),
        (CaseVerdict::Skipped(why), _) => ("skipped", Some(why.clone())),
        (CaseVerdict::NotRun(missed), _) => ("NOT RUN", Some(missed.name().to_string())),
    }
}

mod tests {
    use smbench::probe::{Difference, NotRunReason};

    use super::*;

    const CASE: Case = Case {
        name: "one",
        section: "",
        needs: &[],
        run: |_| Box::pin(async { Ok(()) }),
        essential: false,
        only_on_test_servers: None,
    };

    fn judged(verdict: CaseVerdict, deviation: Option<(&'static str, When)>) -> Judged {
        let results = SuiteResults { verdicts: vec![verdict], ..SuiteResults::default() };
        let deviations = deviation.map(|(answers, when)| Deviation {
            server: "b",
            case: "one",
            answers,
            when,
            reason: "for a reason",
        });
        let deviations: Vec<Deviation> = deviations.into_iter().collect();
        judge(&[&CASE], &[Server { name: "b", results }], &deviations)
    }

    #[test]
    fn a_failure_is_a_fault_unless_it_is_the_one_listed() {
        let difference = || Difference { what: "got STATUS_A".into(), at: "data, line 7".into() };
        let failed = || CaseVerdict::Fail(difference());
        assert_eq!(judged(failed(), None).faults.len(), 1);
        for when in [When::Always, When::Sometimes] {
            assert_eq!(judged(failed(), Some(("STATUS_B", when))).faults.len(), 1);
            let listed = judged(failed(), Some(("STATUS_A", when)));
            assert!(listed.faults.is_empty());
            assert!(listed.table.contains("for a reason: got STATUS_A"), "{}", listed.table);
        }
    }

    #[test]
    fn a_listed_deviation_that_passes_is_a_fault_and_so_is_one_of_no_case() {
        assert!(judged(CaseVerdict::Pass, None).faults.is_empty());
        assert_eq!(judged(CaseVerdict::Pass, Some(("STATUS_A", When::Always))).faults.len(), 1);
        assert!(judged(CaseVerdict::Pass, Some(("STATUS_A", When::Sometimes))).faults.is_empty());
        let (server, when) = ("b", When::Always);
        let stray = Deviation { server, case: "other", answers: "", when, reason: "" };
        assert_eq!(judge(&[&CASE], &[], &[stray]).faults.len(), 1);
    }

    #[test]
    fn a_case_that_was_skipped_or_not_granted_says_why_and_is_no_fault() {
        for verdict in
            [CaseVerdict::Skipped("no locks".into()), CaseVerdict::NotGranted("no locks".into())]
        {
            let Judged { table, faults } = judged(verdict, None);
            assert!(table.contains("b: one (): no locks") && faults.is_empty(), "{table}");
        }
    }

    #[test]
    fn a_case_that_was_not_run_is_a_fault_of_its_own_and_no_failure() {
        let Judged { table, faults } = judged(CaseVerdict::NotRun(NotRunReason::TimeUp), None);
        assert_eq!(faults, ["b: one (): no time was left"]);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert!(rows.contains(&vec!["one", "NOT RUN"]), "{table}");
        assert!(rows.contains(&vec!["total: NOT RUN", "1"]), "{table}");
        assert!(!table.contains("FAIL"), "{table}");
    }
}
