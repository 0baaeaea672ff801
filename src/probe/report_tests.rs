//! Tests of reports against `schema/probe.schema.json`.

use serde_json::json;
use smbench_test_support::Format;

use super::suite::{CaseVerdict, SuiteResults};
use super::*;
use crate::backend::ServerDescription;
use crate::observability::schema;

fn report(verdict_of: impl Fn(&Case) -> CaseVerdict, results: SuiteResults) -> ProbeReport {
    let cases = all();
    let verdicts = cases.iter().map(|case| verdict_of(case)).collect();
    let target = TargetReport {
        url: "smb://ann@nas/data".into(),
        backend: "smb2",
        server: ServerDescription { dialect: Some("3.1.1".into()), ..ServerDescription::default() },
    };
    ProbeReport::new(target, "smbench-probe-1", &cases, &SuiteResults { verdicts, ..results })
}

fn failed(what: &str) -> CaseVerdict {
    CaseVerdict::Fail(Difference { what: what.into(), at: "data, line 7".into() })
}

#[test]
fn the_schema_of_reports_is_that_of_the_types_and_holds_for_them() {
    let schema = schema::checked_in::<ProbeReport>("probe");
    let verdicts = [
        CaseVerdict::Pass,
        failed("got nonsense"),
        CaseVerdict::NotGranted("no oplocks".into()),
        CaseVerdict::Skipped("no locks".into()),
        CaseVerdict::NotRun(NotRunReason::Interrupted),
    ];
    for verdict in verdicts {
        let results = SuiteResults {
            left: vec!["x: y".into()],
            interrupted: true,
            ..SuiteResults::default()
        };
        let report = report(|_| verdict.clone(), results);
        let report = serde_json::to_value(&report).unwrap();
        Format::Probe.check(&report);
        assert_eq!(schema::unused_keys(&schema, &[report]), [""; 0]);
    }
}

#[test]
fn the_schema_of_reports_refuses_an_unknown_key_and_null_where_none_is_written() {
    let results = SuiteResults { left: vec!["x: y".into()], ..SuiteResults::default() };
    let mut report = serde_json::to_value(report(|_| failed("got nonsense"), results)).unwrap();
    for key in ["cases", "supports"] {
        report[key].as_array_mut().unwrap().truncate(1);
    }
    for (at, spoiled) in schema::spoiled(&report) {
        let may_be_null = ["detail", "reason", "at", "dialect", "signing", "encryption", "server"]
            .contains(&at.rsplit('/').next().unwrap());
        let is_refused = !Format::Probe.errors(&spoiled).is_empty();
        assert_eq!(is_refused, !may_be_null, "{at}: {spoiled}");
    }
    for (at, wrong) in [
        ("/schema", json!("smbench.probe/2")),
        ("/exit_code", json!(5)),
        ("/exit_reasons/0", json!("invalid")),
        ("/cases/0/outcome", json!("good")),
        ("/supports/0/answer", json!("maybe")),
        ("/totals/cases", json!(-1)),
    ] {
        let mut spoiled = report.clone();
        *spoiled.pointer_mut(at).unwrap() = wrong;
        assert!(!Format::Probe.errors(&spoiled).is_empty(), "{at}");
    }
}

#[test]
fn only_what_is_essential_decides_the_exit_code() {
    assert_eq!(report(|_| CaseVerdict::Pass, SuiteResults::default()).exit_code, 0);
    let unessential = |case: &Case| match case.essential {
        true => CaseVerdict::Pass,
        _ => failed("got nonsense"),
    };
    let differs = report(unessential, SuiteResults::default());
    assert_eq!((differs.exit_code, differs.totals.pass > 0), (0, true));
    let essential = |case: &Case| match case.essential {
        true => failed("got nonsense"),
        _ => CaseVerdict::Pass,
    };
    assert_eq!(report(essential, SuiteResults::default()).exit_code, 4);
    let left = SuiteResults {
        left: vec!["f: got STATUS_ACCESS_DENIED".into()],
        ..SuiteResults::default()
    };
    assert_eq!(report(|_| CaseVerdict::Pass, left).exit_code, 4);
    let interrupted = SuiteResults { interrupted: true, ..SuiteResults::default() };
    assert_eq!(report(|_| CaseVerdict::Pass, interrupted).exit_code, 130);
}

#[test]
fn a_known_deviation_says_why_and_what_it_supports_follows_from_the_cases() {
    let verdict = |case: &Case| match case.name {
        "a_directory_never_replaces_a_directory" => failed("got STATUS_SUCCESS (0x0)"),
        "a_batch_oplock_is_granted" => CaseVerdict::NotGranted("none".into()),
        "level_ii_is_granted" => CaseVerdict::Skipped("no caching".into()),
        _ => CaseVerdict::Pass,
    };
    let report = report(verdict, SuiteResults::default());
    let names: Vec<_> = report.differences().iter().map(|case| (case.name, case.reason)).collect();
    let reason = "rename(2) replaces an empty directory, and Samba does not prevent it";
    assert_eq!(names, [("a_directory_never_replaces_a_directory", Some(reason))]);
    let answer = |what| report.supports.iter().find(|row| row.what == what).unwrap().answer;
    assert_eq!(answer("rename"), SupportLevel::Partly);
    assert_eq!(answer("batch oplock"), SupportLevel::No);
    assert_eq!(answer("oplock level II"), SupportLevel::Unknown);
    assert_eq!(answer("exclusive oplock"), SupportLevel::Yes);
}

#[test]
fn a_case_that_was_not_run_is_no_failure_and_the_exit_code_says_why() {
    for (missed, interrupted, code, reasons) in [
        (NotRunReason::Interrupted, true, 130, vec!["interrupted"]),
        (NotRunReason::TimeUp, false, 130, vec!["interrupted"]),
        (NotRunReason::ServerGone, false, 3, vec!["unreachable"]),
        (NotRunReason::ServerWentMeanwhile, false, 3, vec!["unreachable"]),
    ] {
        // Essential cases are among them.
        let results = SuiteResults { interrupted, ..SuiteResults::default() };
        let report = report(|_| CaseVerdict::NotRun(missed), results);
        let named: Vec<&str> = report.exit_reasons.iter().map(|reason| reason.name()).collect();
        assert_eq!((report.exit_code, named), (code, reasons), "{missed:?}");
        assert_eq!((report.totals.fail, report.totals.not_run), (0, report.totals.cases));
        assert!(report.differences().is_empty());
    }
}

#[test]
fn a_probe_of_some_cases_reports_only_features_that_they_show() {
    let answer = |what: &str, verdict_of: &dyn Fn(&Case) -> CaseVerdict| {
        let supports = report(verdict_of, SuiteResults::default()).supports;
        let row = supports.into_iter().find(|row| row.what == what).unwrap();
        (row.answer, row.passed, row.asked, row.not_run)
    };
    const FIRST: &str = "an_exclusive_lock_refuses_any_other";
    let first = |verdict: CaseVerdict| {
        move |case: &Case| match case.name {
            FIRST => verdict.clone(),
            _ => CaseVerdict::NotRun(NotRunReason::TimeUp),
        }
    };
    let locks = "byte-range locks";
    assert_eq!(answer(locks, &first(CaseVerdict::Pass)), (SupportLevel::Unknown, 1, 1, 3));
    assert_eq!(answer(locks, &first(failed("got nonsense"))), (SupportLevel::Unknown, 0, 1, 3));
    let mixed = |case: &Case| match case.name {
        FIRST => CaseVerdict::Pass,
        "shared_locks_stand_together" => failed("got nonsense"),
        _ => CaseVerdict::NotRun(NotRunReason::TimeUp),
    };
    assert_eq!(answer(locks, &mixed), (SupportLevel::Partly, 1, 2, 2));
}
