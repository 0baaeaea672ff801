//! Breaks the scheduler on purpose, one way at a time, and checks that the simulation notices each:
//! a check that cannot fail proves nothing.
//!
//! All mutants are written into one copy of the package, which is built once. The variable
//! `SMBENCH_MUTANT` chooses the active mutant in a run of the simulation. `tests/run` includes this
//! test; to run it by hand: `cargo test --test mutants -- --ignored`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

struct Mutant {
    name: &'static str,
    file: &'static str,
    /// Source text that occurs in the file exactly once.
    text: &'static str,
    /// The replacement of `text`. It must do the same as `text` unless `CHOSEN` is true.
    broken: &'static str,
    /// Part of the message with which the simulation rejects the mutant.
    found: &'static str,
}

const ENGINE: &str = "src/scheduler/engine/state_machine.rs";
const CUT: &str = "src/scheduler/engine/cut.rs";
const SKIPPED: &str = "src/scheduler/engine/skipped_iterations.rs";
const RELOAD: &str = "src/scheduler/engine/reload.rs";
const STEPS: &str = "src/observability/step_recorder.rs";
const REPORT: &str = "self.events.push(Event::Completed(completion));";

const MUTANTS: [Mutant; 20] = [
    Mutant {
        name: "a completion is lost",
        file: ENGINE,
        text: REPORT,
        broken: "if !(CHOSEN && completion.operation.seq % 16 == 7) {
                self.events.push(Event::Completed(completion));
            }",
        found: "before it never did",
    },
    Mutant {
        name: "an operation completes twice",
        file: ENGINE,
        text: REPORT,
        broken: "let event = Event::Completed(completion);
            if CHOSEN {
                self.events.push(event.clone());
            }
            self.events.push(event);",
        found: "completed twice",
    },
    Mutant {
        name: "an operation is issued early",
        file: ENGINE,
        text: "if at_ns > now_ns {",
        broken: "if at_ns > now_ns + if CHOSEN { 50_000 } else { 0 } {",
        found: "was issued early",
    },
    Mutant {
        name: "a permit leaks",
        file: ENGINE,
        text: "if !operation.kind.waits_for_others() {",
        broken: "if !operation.kind.waits_for_others() && !(CHOSEN && operation.seq == 40) {",
        found: "a permit leaked",
    },
    Mutant {
        name: "a permit leaks when a run is given up",
        file: CUT,
        text: "client.note_abandoned();
            self.release(&in_flight.operation);",
        broken: "client.note_abandoned();
            if !CHOSEN {
                self.release(&in_flight.operation);
            }",
        found: "a permit leaked",
    },
    Mutant {
        name: "a permit is given back twice",
        file: ENGINE,
        text: "            client.in_flight_op = Some(in_flight.tried(attempt));",
        broken: "            client.in_flight_op = Some(in_flight.tried(attempt));
            if CHOSEN {
                self.permits.release();
            }",
        found: " in flight, limit",
    },
    Mutant {
        name: "an operation is tried without end",
        file: "src/scheduler/engine/retry.rs",
        text: "retries + 1 < MOST_ATTEMPTS",
        broken: "retries + 1 < if CHOSEN { 21 } else { MOST_ATTEMPTS }",
        found: "was tried too often",
    },
    Mutant {
        name: "an operation is tried again before its backoff",
        file: ENGINE,
        text: "completed_ns.saturating_add(backoff_ns)",
        broken: "completed_ns.saturating_add(if CHOSEN { backoff_ns / 2 } else { backoff_ns })",
        found: "before its backoff",
    },
    Mutant {
        name: "a dropped iteration is not reported",
        file: SKIPPED,
        text: "dropped.push(self.dropped(next.iteration, phase, due_ns, eligible_ns));",
        broken: "let event = self.dropped(next.iteration, phase, due_ns, eligible_ns);
                if !CHOSEN {
                    dropped.push(event);
                }",
        found: "before it never did",
    },
    Mutant {
        name: "an arrival is dropped although its client is free",
        file: SKIPPED,
        text: "due_ns < eligible_ns && due_ns < until_ns",
        broken: "(due_ns < eligible_ns || CHOSEN && due_ns == eligible_ns) && due_ns < until_ns",
        found: "dropped, but the client",
    },
    Mutant {
        name: "an arrival is dropped that was to wait",
        file: SKIPPED,
        text: "next.due.is_dropped_if_late()",
        broken: "(CHOSEN && matches!(next.due, crate::ir::Due::Arrival { .. }) || next.due.is_dropped_if_late())",
        found: "dropped where arrivals wait",
    },
    Mutant {
        name: "a client's operations are issued in the wrong order",
        file: "src/scheduler/engine/lookahead.rs",
        text: "let operation = self.operations.pop_front()?;",
        broken: "let operation = match CHOSEN {
            true => self.operations.pop_back()?,
            false => self.operations.pop_front()?,
        };",
        found: "completed, but",
    },
    Mutant {
        name: "a handle stays open",
        file: "src/backend/handle_table.rs",
        text: "open.chain(self.forgotten.drain(..))",
        broken: "open.chain(self.forgotten.drain(..).skip(usize::from(CHOSEN)))",
        found: "handles open at a disconnect",
    },
    Mutant {
        name: "an operation goes ahead of a pending break",
        file: "src/backend/break_waits.rs",
        text: "wait_for(pending, &self.breaks.clock)",
        broken: "wait_for(
            || pending().filter(|_| !(CHOSEN && operation.seq % 8 == 3)),
            &self.breaks.clock,
        )",
        found: "did not keep back",
    },
    Mutant {
        name: "the wait for a break keeps its permit",
        file: "src/scheduler/engine/breaks.rs",
        text: "self.release(&operation);",
        broken: "if !CHOSEN {
            self.release(&operation);
        }",
        found: "a permit leaked",
    },
    Mutant {
        name: "a break is over and nobody is told",
        file: "src/backend/breaks/holders.rs",
        text: "self.tell(holder, over, end, ended_ns, blocked);",
        broken: "if !(CHOSEN && over.noticed_ns % 7 == 3) {
            self.tell(holder, over, end, ended_ns, blocked);
        }",
        found: "a break never ended",
    },
    Mutant {
        name: "a step that was cut counts as ended",
        file: STEPS,
        text: "if event.outcome == IterationOutcome::Cut {",
        broken: "if event.outcome == IterationOutcome::Cut && !CHOSEN {",
        found: "the summary has steps",
    },
    Mutant {
        name: "a step of which nothing was sent counts as ended",
        file: STEPS,
        text: "} else if !ended.sent {",
        broken: "} else if !ended.sent && !CHOSEN {",
        found: "the summary has steps",
    },
    Mutant {
        name: "an outer step ends with its inner step",
        file: STEPS,
        text: "end(client, &mut open[level..], measurements);",
        broken: "end(client, &mut open[if CHOSEN { 0 } else { level }..], measurements);",
        found: "the summary has steps",
    },
    Mutant {
        name: "a failure is counted twice",
        file: "src/observability/metrics.rs",
        text: "self.counts.failed += 1;",
        broken: "self.counts.failed += if CHOSEN { 2 } else { 1 };",
        found: "the summary says",
    },
];

/// Mutants that the reloads of the simulation find.
const RELOAD_MUTANTS: [Mutant; 6] = [
    Mutant {
        name: "handles stay open when a client moves to another generation",
        file: "src/scheduler/driver.rs",
        text: "Action::Close { slot } => self.mailboxes[slot as usize].put(Order::CloseAll),",
        broken: "Action::Close { slot } if CHOSEN && self.settling.is_some() => {
                let closed = Report::Closed { closed: 0, failed: 0 };
                self.reports.borrow_mut().push_back((slot, closed));
            }
            Action::Close { slot } => self.mailboxes[slot as usize].put(Order::CloseAll),",
        found: "handles left open",
    },
    Mutant {
        name: "a client moves in the midst of an iteration",
        file: "src/scheduler/engine/client_queue.rs",
        text: "&& self.iteration.is_none()
            && matches!(",
        broken: "&& (self.iteration.is_none() || CHOSEN)
            && matches!(",
        found: "left in the midst of iteration",
    },
    Mutant {
        name: "lookahead that a client leaves behind is not counted",
        file: RELOAD,
        text: "let generation = client.generation;
        self.note_superseded(generation, operations, overdue);",
        broken: "let generation = client.generation;
        self.note_superseded(generation, if CHOSEN { 0 } else { operations }, overdue);",
        found: "operations fetched",
    },
    Mutant {
        name: "a client takes its lookahead to another generation",
        file: RELOAD,
        text: "client.pending.clear();
        (client.section_ended, client.broke_off",
        broken: "if !CHOSEN {
            client.pending.clear();
        }
        (client.section_ended, client.broke_off",
        found: "an iteration ended twice",
    },
    Mutant {
        name: "setup runs again for clients that stay",
        file: RELOAD,
        text: "if set_up_again {",
        broken: "if set_up_again || CHOSEN {",
        found: "its setup ran again",
    },
    Mutant {
        name: "operations count for the generation before theirs",
        file: "src/observability/generation_stats.rs",
        text: "of(stats, event.generation).measured.operation(",
        broken: "let earlier = u32::from(CHOSEN && event.generation > 1);
        of(stats, event.generation - earlier).measured.operation(",
        found: "operations: the summary says",
    },
];

/// Number of seeds, which is large enough that the effect of each mutant occurs.
const SEEDS: &str = "200";

/// A placeholder for the condition that this mutant is the chosen one.
const CHOSEN: &str = "CHOSEN";

/// Code that is added to the library of the copy.
const CHOICE: &str = r#"
pub(crate) mod mutant {
    use std::sync::LazyLock;

    static CHOSEN: LazyLock<Option<usize>> =
        LazyLock::new(|| std::env::var("SMBENCH_MUTANT").ok().map(|n| n.parse().unwrap()));

    pub(crate) fn is_chosen(number: usize) -> bool {
        *CHOSEN == Some(number)
    }
}
"#;

#[test]
#[ignore = "builds the package once more; tests/run includes it"]
fn every_mutant_is_found_and_nothing_is_found_without_one() {
    let package = copy_of_the_package();
    let of_reloads = RELOAD_MUTANTS.iter().map(|mutant| (mutant, "of_another_generation"));
    let mutants: Vec<(&Mutant, &str)> =
        MUTANTS.iter().map(|mutant| (mutant, "every_operation")).chain(of_reloads).collect();
    for (number, (mutant, _)) in mutants.iter().enumerate() {
        write_into(&package, number, mutant);
    }
    for test in ["every_operation", "of_another_generation"] {
        let whole = simulate(&package, test, None);
        assert!(whole.status.success(), "without a mutant: {}", printed(&whole));
    }
    let mut missed = Vec::new();
    for (number, (Mutant { name, found, .. }, test)) in mutants.into_iter().enumerate() {
        let began = Instant::now();
        let printed = printed(&simulate(&package, test, Some(number)));
        eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
        if !(printed.contains("test result: FAILED") && printed.contains(found)) {
            let seed = printed.lines().find(|line| line.starts_with("seed ")).unwrap_or(&printed);
            missed.push(format!("{name}: not found as {found:?}: {seed:.2000}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn write_into(package: &Path, number: usize, mutant: &Mutant) {
    let Mutant { name, file, text, broken, .. } = mutant;
    let path = package.join(file);
    let source = fs::read_to_string(&path).unwrap();
    assert_eq!(source.matches(text).count(), 1, "{name}: {file} changed");
    assert!(broken.contains(CHOSEN), "{name} would always act");
    let broken = broken.replace(CHOSEN, &format!("crate::mutant::is_chosen({number})"));
    fs::write(&path, source.replace(text, &broken)).unwrap();
}

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs a test of the simulation of the copy, which is built at the first call. It shares the
/// dependencies with the build of this test.
fn simulate(package: &Path, test: &str, mutant: Option<usize>) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--offline", "--test", "simulation", test])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", target)
        .env("SMBENCH_SEEDS", SEEDS)
        .env("RUST_BACKTRACE", "0")
        .env_remove("SMBENCH_SEED")
        .env_remove("SMBENCH_MUTANT");
    if let Some(number) = mutant {
        command.env("SMBENCH_MUTANT", number.to_string());
    }
    command.output().unwrap()
}

/// Copies the library and its simulation, without the program.
fn copy_of_the_package() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    let _ = fs::remove_dir_all(&package);
    // The other packages of the workspace are not built, but cargo reads their manifests.
    let packages = ["fuzz", "tests/definitions", "tests/support"];
    for part in ["src", "schema", "scripts", "stdlib", "tests/simulation"].iter().chain(&packages) {
        copy(&root.join(part), &package.join(part));
    }
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let wanted =
        |section: &&str| !section.starts_with("[bin]]") && !section.starts_with("[bench]]");
    let kept: Vec<&str> = manifest.split("\n[").filter(wanted).collect();
    fs::write(package.join("Cargo.toml"), kept.join("\n[")).unwrap();
    fs::remove_file(package.join("src/main.rs")).unwrap();
    let library = package.join("src/lib.rs");
    let source = fs::read_to_string(&library).unwrap();
    fs::write(library, source + CHOICE).unwrap();
    package
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}
