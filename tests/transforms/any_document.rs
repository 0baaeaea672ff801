//! Random documents.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use smbench::ir::document::{CheckedDocument, LoadOptions, load};
use smbench::transform::{DocumentStream, OperationStream};

/// A document before it is written. Every value of this type makes a valid one.
#[derive(Clone, Debug)]
pub struct AnyDocument {
    pub pace: Pace,
    workloads: Vec<AnyWorkload>,
    run_client: Option<[Vec<Step>; 2]>,
    phases: bool,
    ids: Ids,
}

#[derive(Clone, Debug)]
struct AnyWorkload {
    has_names: bool,
    clients: Vec<AnyClient>,
}

/// The steps of each section. The iterations begin where a step says so.
#[derive(Clone, Debug)]
struct AnyClient {
    setup: Vec<Step>,
    iterations: Vec<Step>,
    teardown: Vec<Step>,
}

/// The times that a document names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Times from time zero alone, as in captures.
    At,
    /// Delays alone.
    After,
    /// An open loop.
    Arrivals,
    Mixed,
}

#[derive(Clone, Copy, Debug)]
enum Ids {
    Implied,
    Unique,
    /// Each two operations in a row have one another's implied ids.
    Swapped,
}

#[derive(Clone, Debug)]
struct Step {
    action: u8,
    /// Chooses a path, and a handle among those that are open.
    choice: usize,
    time_ns: u64,
    /// Chooses how the time is named if the pace is mixed.
    named: u8,
    begins_iteration: bool,
    any_status: bool,
}

const NAMES: [&str; 3] = ["ann", "clone1/ann", "zoë"];
const DISPOSITIONS: [&str; 4] = ["FILE_CREATE", "FILE_OPEN", "FILE_OPEN_IF", "FILE_SUPERSEDE"];

/// Returns the path with a number. Two are as long as paths and names may be.
fn path(number: usize) -> String {
    match number {
        98 => vec!["ü".repeat(251); 130].join("/"),
        99 => format!("docs/{}", "文".repeat(255)),
        other => {
            ["a", "docs/plan.docx", "DOCS/Größe/文書.txt", "docs", "tmp/x.tmp"][other % 5].into()
        }
    }
}

/// Returns documents whose times are named in this way.
pub fn any_document_of(pace: impl Strategy<Value = Pace>) -> impl Strategy<Value = AnyDocument> {
    let steps = |most| prop::collection::vec(any_step(), 0..=most);
    let client = (steps(3), steps(14), steps(3))
        .prop_map(|(setup, iterations, teardown)| AnyClient { setup, iterations, teardown });
    let workload = (any::<bool>(), prop::collection::vec(client, 1..=3))
        .prop_map(|(has_names, clients)| AnyWorkload { has_names, clients });
    let run_client = prop::option::of((steps(3), steps(3)).prop_map(<[Vec<Step>; 2]>::from));
    let ids = prop_oneof![Just(Ids::Implied), Just(Ids::Unique), Just(Ids::Swapped)];
    let workloads = prop::collection::vec(workload, 1..=2);
    (pace, workloads, run_client, any::<bool>(), ids).prop_map(
        |(pace, workloads, run_client, phases, ids)| AnyDocument {
            pace,
            workloads,
            run_client,
            phases,
            ids,
        },
    )
}

/// Returns documents of every pace.
pub fn any_document() -> impl Strategy<Value = AnyDocument> {
    any_document_of(prop_oneof![
        Just(Pace::At),
        Just(Pace::After),
        Just(Pace::Arrivals),
        Just(Pace::Mixed)
    ])
}

/// Returns documents of captures and of closed loops, in which every operation has a time that
/// does not depend on what became of an arrival.
pub fn any_document_without_arrivals() -> impl Strategy<Value = AnyDocument> {
    any_document_of(prop_oneof![Just(Pace::At), Just(Pace::After)])
}

fn any_step() -> impl Strategy<Value = Step> {
    let time_ns = prop_oneof![Just(0), Just(1), 0..1_000_u64, Just(5_000_000_000)];
    (0..16_u8, 0..100_usize, time_ns, 0..3_u8, prop::bool::weighted(0.3), prop::bool::weighted(0.2))
        .prop_map(|(action, choice, time_ns, named, begins_iteration, any_status)| Step {
            action,
            choice,
            time_ns,
            named,
            begins_iteration,
            any_status,
        })
}

impl AnyDocument {
    /// Returns the document as a stream, after it was written and loaded.
    pub fn stream(&self) -> Rc<dyn OperationStream> {
        Rc::new(DocumentStream::new(self.loaded()))
    }

    fn loaded(&self) -> Arc<CheckedDocument> {
        load_text(&self.text()).unwrap()
    }

    fn text(&self) -> String {
        let workloads = (0..).zip(&self.workloads).map(|(number, workload)| {
            let clients = workload.clients.len();
            let mut line = json!({ "name": format!("w{number}"), "clients": clients });
            if workload.has_names {
                let names = NAMES[..clients].iter().map(|name| format!("{name}{number}"));
                line["client_names"] = names.collect();
            }
            line
        });
        let mut header = json!({
            "version": 2,
            "workloads": workloads.collect::<Value>(),
            "run_client": self.run_client.is_some(),
        });
        if self.phases {
            header["phases"] = json!([{ "name": "p", "duration_ns": 20_000, "record": true }]);
        }
        let mut lines = Vec::new();
        let clients: Vec<&AnyClient> =
            self.workloads.iter().flat_map(|workload| &workload.clients).collect();
        for (client, of) in clients.iter().enumerate() {
            let sections =
                [("setup", &of.setup), ("iteration", &of.iterations), ("teardown", &of.teardown)];
            self.write(client, &sections, &mut lines);
        }
        if let Some([setup, teardown]) = &self.run_client {
            self.write(clients.len(), &[("setup", setup), ("teardown", teardown)], &mut lines);
        }
        let end = json!({ "operations": lines.len() });
        let lines = lines.into_iter().map(Value::Object);
        let all = [header].into_iter().chain(lines).chain([end]);
        all.map(|line| format!("{line}\n")).collect()
    }

    fn write(
        &self,
        client: usize,
        sections: &[(&str, &Vec<Step>)],
        lines: &mut Vec<Map<String, Value>>,
    ) {
        let first = lines.len();
        let (mut open, mut next_handle) = (Vec::new(), 0);
        for (section, steps) in sections {
            let iterates = *section == "iteration";
            let (mut at_ns, mut iteration, mut begun) = (0, 0, None);
            for step in *steps {
                iteration += u32::from(iterates && step.begins_iteration);
                let mut line = Map::new();
                let begins = iterates && begun != Some(iteration);
                begun = Some(iteration);
                step.set_due(self.pace, begins, &mut at_ns, &mut line);
                step.set_kind(&mut open, &mut next_handle, &mut line);
                line.insert("client".into(), client.into());
                line.insert("section".into(), (*section).into());
                line.insert("iteration".into(), iteration.into());
                if step.any_status {
                    line.insert("expect".into(), json!(["any"]));
                }
                lines.push(line);
            }
        }
        let count = lines.len() - first;
        for (seq, line) in lines[first..].iter_mut().enumerate() {
            let id = match self.ids {
                Ids::Unique => format!("ö{client}/{seq}"),
                Ids::Swapped if seq ^ 1 < count => format!("{client}-{}", seq ^ 1),
                _ => continue,
            };
            line.insert("op_id".into(), id.into());
        }
    }
}

impl Step {
    fn set_due(&self, pace: Pace, begins: bool, at_ns: &mut u64, line: &mut Map<String, Value>) {
        let pace = match (pace, self.named) {
            (Pace::Mixed, 0) => Pace::At,
            (Pace::Mixed, 1) => Pace::After,
            (Pace::Mixed, _) => Pace::Arrivals,
            (pace, _) => pace,
        };
        match pace {
            Pace::At => {
                *at_ns += self.time_ns;
                line.insert("at_ns".into(), (*at_ns).into());
            }
            Pace::Arrivals if begins => {
                *at_ns += self.time_ns;
                line.insert("at_ns".into(), (*at_ns).into());
                line.insert("after_ns".into(), (self.choice as u64).into());
                if self.action.is_multiple_of(2) {
                    line.insert("late".into(), "drop".into());
                }
            }
            _ => {
                line.insert("after_ns".into(), self.time_ns.into());
            }
        }
    }

    fn set_kind(&self, open: &mut Vec<u64>, next_handle: &mut u64, line: &mut Map<String, Value>) {
        let path = path(self.choice);
        let fields = match self.action {
            0..4 => {
                let handle = *next_handle;
                *next_handle += 1;
                open.push(handle);
                let disposition = DISPOSITIONS[self.choice % 4];
                json!({ "type": "Open", "path": path, "mode": "ReadWrite", "disposition": disposition, "handle_ref": handle })
            }
            4..11 if !open.is_empty() => {
                let at = self.choice % open.len();
                let handle = open[at];
                match self.action {
                    4 => json!({ "type": "Read", "handle_ref": handle, "offset": 0, "length": 9 }),
                    5 => {
                        json!({ "type": "Write", "handle_ref": handle, "offset": 1, "length": 9, "payload": "zero" })
                    }
                    6 => json!({ "type": "Flush", "handle_ref": handle }),
                    _ => {
                        open.remove(at);
                        json!({ "type": "Close", "handle_ref": handle })
                    }
                }
            }
            11 => {
                json!({ "type": "Rename", "source_path": path, "dest_path": "docs/new", "replace": true })
            }
            12 => json!({ "type": "Delete", "path": path }),
            13 => json!({ "type": "Mkdir", "path": path }),
            14 => json!({ "type": "List", "path": path, "pattern": "*" }),
            _ => json!({ "type": "Stat", "path": path }),
        };
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
    }
}

/// Loads a version 2 document with the strict rules.
pub fn load_text(text: &str) -> Result<Arc<CheckedDocument>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    std::fs::write(&path, text).unwrap();
    let options = LoadOptions { strict: true, ..LoadOptions::default() };
    let document = load(&path, &options).map_err(|error| error.to_string())?;
    Ok(Arc::clone(document.checked()))
}
