//! The pairs of operations on one path that a transform puts into another order.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::stream::{OperationStream, Origin, skip};
use crate::ir::document::CheckedDocument;
use crate::ir::{
    NominalClock, OpenOperation, Operation, OperationKind, PathOperation, Progress, Section,
    SourceError,
};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{NtStatus, SharePath};

/// Maximum number of operations of a document that are compared. Each takes 32 bytes.
const MAX_COMPARED: usize = 1_000_000;
const BATCH: usize = 256;

/// The pairs of operations of two clients whose order a transform reverses: in the document one
/// client creates a file or directory that the other uses later, and in the transformed stream the
/// second operation comes before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReversedPairs {
    pub count: u64,
    /// Whether there may be more: the document has too many operations to compare all, or clients
    /// were joined.
    pub at_least: bool,
    /// A description of the pair that comes first in the transformed stream.
    pub first: Option<String>,
}

/// Finds the pairs of operations in the iterations whose order in nominal time is reversed.
///
/// An operation that creates a path is an open that may create, a `Mkdir`, or a rename to it. Each
/// later open, stat, list, delete or rename of the path belongs to the last operation that created
/// it. The clients of each clone, and of each input of a merge, are compared with one another. Of
/// an operation that a stage repeats the first counts.
///
/// # Errors
/// [`SourceError`] if the operations of a document or of the stream break off.
pub fn reversed_pairs(stream: &dyn OperationStream) -> Result<ReversedPairs, SourceError> {
    let header = &stream.facts().header;
    let mut copies: Vec<DocumentCopy> = Vec::new();
    let mut known: FxHashMap<(*const CheckedDocument, Vec<u32>), usize> = FxHashMap::default();
    let mut found = ReversedPairs::default();
    for client in 0..header.workload_clients() {
        let Some(Origin { document, client: original, copy }) = stream.origin(client) else {
            found.at_least = true;
            continue;
        };
        let next = copies.len();
        let at = *known.entry((Arc::as_ptr(&document), copy)).or_insert(next);
        if at == next {
            copies.push(DocumentCopy { document, clients: Vec::new() });
        }
        copies[at].clients.push(CopiedClient { client, original });
    }
    let mut documents: FxHashMap<*const CheckedDocument, DocumentPairs> = FxHashMap::default();
    let mut earliest: Option<ReversedPair> = None;
    for copy in &copies {
        let key = Arc::as_ptr(&copy.document);
        if let std::collections::hash_map::Entry::Vacant(entry) = documents.entry(key) {
            entry.insert(DocumentPairs::of(&copy.document)?);
        }
        let pairs = &documents[&key];
        found.at_least |= pairs.is_cut;
        let times = copy.times(stream, pairs)?;
        for pair in &pairs.pairs {
            let (Some(&created_ns), Some(&used_ns)) =
                (times.get(&pair.created.key), times.get(&pair.used.key))
            else {
                continue;
            };
            if created_ns <= used_ns {
                continue;
            }
            found.count += 1;
            if earliest.as_ref().is_none_or(|first| used_ns < first.used_ns) {
                earliest = Some(ReversedPair { copy, pair: *pair, created_ns, used_ns });
            }
        }
    }
    found.first = earliest.map(|first| first.describe(stream)).transpose()?;
    Ok(found)
}

/// A pair whose operations have these nominal times in the transformed stream.
struct ReversedPair<'c> {
    copy: &'c DocumentCopy,
    pair: Pair,
    created_ns: u64,
    used_ns: u64,
}

/// The number of an operation in its document: client and seq.
type OperationKey = (u32, u32);

/// The clients of a stream that do together what the clients of a document do.
struct DocumentCopy {
    document: Arc<CheckedDocument>,
    clients: Vec<CopiedClient>,
}

struct CopiedClient {
    client: u32,
    /// The client of the document.
    original: u32,
}

/// The pairs of a document: one client creates what another uses later.
struct DocumentPairs {
    pairs: Vec<Pair>,
    /// The operations of all pairs, and their clients.
    operations: FxHashSet<OperationKey>,
    clients: FxHashSet<u32>,
    /// Whether the document has more operations than are compared.
    is_cut: bool,
}

#[derive(Clone, Copy)]
struct Pair {
    path: u64,
    created: PairedOperation,
    used: PairedOperation,
}

#[derive(Clone, Copy)]
struct PairedOperation {
    key: OperationKey,
    nominal_ns: u64,
}

/// An operation of a document on one path.
#[derive(Clone, Copy)]
struct PathUse {
    path: u64,
    nominal_ns: u64,
    key: OperationKey,
    section: Section,
    effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Creates,
    Uses,
    Removes,
}

/// Passes each path that an operation acts on to `on`, and what becomes of it. An operation that
/// is expected to fail has no effect.
fn effects(operation: &Operation, mut on: impl FnMut(&SharePath, Effect)) {
    if !operation.expect.allows(NtStatus::SUCCESS, operation.operation_type()) {
        return;
    }
    match &operation.kind {
        OperationKind::Open(OpenOperation { path, disposition, extensions, .. }) => {
            let stated = extensions.as_ref().and_then(|parameters| parameters.disposition);
            match stated.unwrap_or(*disposition) {
                CreateDisposition::Open | CreateDisposition::Overwrite => on(path, Effect::Uses),
                _ => on(path, Effect::Creates),
            }
        }
        OperationKind::OnHandle(..) => {}
        OperationKind::ByPath(by_path) => match by_path {
            PathOperation::Rename { source_path, dest_path, .. } => {
                on(source_path, Effect::Removes);
                on(dest_path, Effect::Creates);
            }
            PathOperation::Mkdir { path } => on(path, Effect::Creates),
            PathOperation::Delete { path } | PathOperation::Rmdir { path } => {
                on(path, Effect::Removes);
            }
            PathOperation::Stat { path } | PathOperation::List { path, .. } => {
                on(path, Effect::Uses);
            }
        },
    }
}

/// Returns a number that stands for all spellings of a path.
fn hash_of(path: &SharePath) -> u64 {
    let hash = blake3::hash(path.folded().as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

impl DocumentPairs {
    fn of(document: &CheckedDocument) -> Result<DocumentPairs, SourceError> {
        let (mut uses, mut is_cut) = (Vec::new(), false);
        'clients: for client in 0..document.header().clients() {
            for section in [Section::Setup, Section::Iteration] {
                let mut clock = NominalClock::default();
                let all_fit = for_each(document, client, section, |operation| {
                    clock.pass(operation.due, operation.iteration);
                    let (nominal_ns, key) = (clock.now_ns(), (client, operation.seq));
                    effects(operation, |path, effect| {
                        let path = hash_of(path);
                        uses.push(PathUse { path, nominal_ns, key, section, effect });
                    });
                    uses.len() < MAX_COMPARED
                })?;
                if !all_fit {
                    is_cut = true;
                    break 'clients;
                }
            }
        }
        uses.sort_unstable_by_key(|it| (it.path, it.section, it.nominal_ns, it.key));
        let mut pairs = Vec::new();
        for of_path in uses.chunk_by(|a, b| a.path == b.path) {
            pairs_of_path(of_path, &mut pairs);
        }
        let both = || pairs.iter().flat_map(|pair| [pair.created.key, pair.used.key]);
        let (operations, clients) = (both().collect(), both().map(|(client, _)| client).collect());
        Ok(DocumentPairs { pairs, operations, clients, is_cut })
    }
}

/// Appends the pairs of one path. Its operations are in order.
fn pairs_of_path(uses: &[PathUse], pairs: &mut Vec<Pair>) {
    let mut created: Option<&PathUse> = None;
    for it in uses {
        // Setups precede all iterations, whatever a transform does.
        if let Some(created) = created.filter(|created| created.section == Section::Iteration)
            && created.key.0 != it.key.0
            && created.nominal_ns < it.nominal_ns
        {
            let paired = |it: &PathUse| PairedOperation { key: it.key, nominal_ns: it.nominal_ns };
            pairs.push(Pair { path: it.path, created: paired(created), used: paired(it) });
        }
        match it.effect {
            Effect::Creates => created = created.or(Some(it)),
            Effect::Uses => {}
            Effect::Removes => created = None,
        }
    }
}

/// Passes the operations of a section to `each` until it returns false. Returns whether it never
/// did.
fn for_each(
    document: &CheckedDocument,
    client: u32,
    section: Section,
    mut each: impl FnMut(&Operation) -> bool,
) -> Result<bool, SourceError> {
    let (mut cursor, mut buffers) = (document.cursor(client), document.buffers());
    let mut batch = Vec::new();
    let mut progress = Progress::More;
    while progress == Progress::More {
        progress = document.read(&mut cursor, section, BATCH, &mut buffers, &mut batch)?;
        if !batch.drain(..).all(|operation| each(&operation)) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl DocumentCopy {
    /// Returns the nominal time of each operation of a pair that is left in the iterations.
    fn times(
        &self,
        stream: &dyn OperationStream,
        pairs: &DocumentPairs,
    ) -> Result<FxHashMap<OperationKey, u64>, SourceError> {
        let mut times = FxHashMap::default();
        let mut batch = Vec::new();
        for CopiedClient { client, original } in &self.clients {
            if !pairs.clients.contains(original) {
                continue;
            }
            let mut reader = stream.reader(*client);
            skip(&mut *reader, Section::Setup)?;
            let mut clock = NominalClock::default();
            let mut progress = Progress::More;
            while progress == Progress::More {
                progress = reader.read(Section::Iteration, BATCH, &mut batch)?;
                for operation in batch.drain(..) {
                    clock.pass(operation.due, operation.iteration);
                    let key = (*original, operation.seq);
                    // A stage may add operations on handles, but none by path.
                    if pairs.operations.contains(&key) && operation.kind.path().is_some() {
                        times.entry(key).or_insert(clock.now_ns());
                    }
                }
            }
        }
        Ok(times)
    }

    /// Reads an operation of the iterations again.
    fn operation(&self, of: PairedOperation) -> Result<Option<Operation>, SourceError> {
        let mut found = None;
        for_each(&self.document, of.key.0, Section::Iteration, |operation| {
            if operation.seq == of.key.1 {
                found = Some(operation.clone());
            }
            found.is_none()
        })?;
        Ok(found)
    }
}

impl ReversedPair<'_> {
    fn describe(&self, stream: &dyn OperationStream) -> Result<String, SourceError> {
        let Pair { path, created, used } = self.pair;
        let mut shown = String::new();
        let mut side = |of: PairedOperation, now_ns: u64| {
            let client = self.copy.clients.iter().find(|it| it.original == of.key.0);
            let client =
                client.map_or_else(String::new, |it| stream.facts().header.client_name(it.client));
            let operation = self.copy.operation(of)?;
            let described = operation.map_or_else(String::new, |operation| {
                effects(&operation, |it, _| {
                    if hash_of(it) == path {
                        shown = it.to_string();
                    }
                });
                format!("{} {}", operation.operation_type().name(), operation.op_id())
            });
            let [before_s, now_s] = [of.nominal_ns, now_ns].map(|ns| ns as f64 / 1e9);
            Ok(format!("{described} of client {client} moved from {before_s} s to {now_s} s"))
        };
        let (created, used) = (side(created, self.created_ns)?, side(used, self.used_ns)?);
        Ok(format!("{shown:?} is used before it is created: {created}, and {used}"))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::{
        DocumentStream, Globs, PathTemplate, ScaleClientsStage, ShiftStage, StagePlace, StreamStage,
    };
    use super::*;
    use crate::ir::document::{LoadOptions, load};

    /// Returns the stream of a document with two clients.
    fn stream(lines: &[&str]) -> Rc<dyn OperationStream> {
        let header = r#"{"version":2,"workloads":[{"name":"w","clients":2}]}"#;
        let end = format!("{{\"operations\":{}}}\n", lines.len());
        let text = format!("{header}\n{}\n{end}", lines.join("\n"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.jsonl");
        std::fs::write(&path, text).unwrap();
        let document = load(&path, &LoadOptions::default()).unwrap();
        Rc::new(DocumentStream::new(Arc::clone(document.checked())))
    }

    fn place() -> StagePlace {
        StagePlace { name: "stage".into(), seed: 0, number: 0 }
    }

    /// Moves the first client by so many nanoseconds.
    fn shifted(stream: Rc<dyn OperationStream>, by_ns: i64) -> Rc<dyn OperationStream> {
        let clients = Some(Globs::new(&["**/0".to_string()]).unwrap());
        ShiftStage { by_ns, clients }.apply(stream, place()).unwrap()
    }

    const CREATED: &str = r#"{"client":0,"at_ns":1000000000,"type":"Open","path":"Docs/a","mode":"Write","handle_ref":0}"#;
    const OPENED: &str = r#"{"op_id":"o","client":1,"at_ns":2000000000,"type":"Open","path":"docs/A","mode":"Read","handle_ref":0}"#;
    const DELETED: &str = r#"{"client":1,"at_ns":3000000000,"type":"Delete","path":"docs/a"}"#;

    #[test]
    fn a_pair_is_reversed_by_a_shift_of_the_client_that_creates() {
        let lines = [CREATED, OPENED, DELETED];
        let of = |by_ns| reversed_pairs(&*shifted(stream(&lines), by_ns)).unwrap();
        assert_eq!(of(0), ReversedPairs::default());
        assert_eq!(of(1_000_000_000), ReversedPairs::default());
        let first = r#""docs/A" is used before it is created: open 0-0 of client w/0 moved from 1 s to 2.5 s, and open o of client w/1 moved from 2 s to 2 s"#;
        let first = Some(first.to_string());
        let expected = ReversedPairs { count: 1, at_least: false, first: first.clone() };
        assert_eq!(of(1_500_000_000), expected);
        assert_eq!(of(5_000_000_000).count, 2);
    }

    #[test]
    fn each_clone_has_its_own_pairs() {
        let scale = |stream, to| {
            let path = PathTemplate::new("c{k}/{path}").unwrap();
            ScaleClientsStage { to, jitter_ns: 0, path }.apply(stream, place()).unwrap()
        };
        let count = |to, by_ns| {
            let scaled = scale(shifted(stream(&[CREATED, OPENED]), by_ns), to);
            reversed_pairs(&*scaled).unwrap().count
        };
        assert_eq!(count(6, 5_000_000_000), 3);
        // The last clone lacks the client that opens.
        assert_eq!(count(5, 5_000_000_000), 2);
        assert_eq!(count(6, 0), 0);
    }

    #[test]
    fn what_a_client_does_by_itself_or_to_a_file_that_was_there_is_no_pair() {
        let own = OPENED.replace(r#""client":1"#, r#""client":0"#);
        let own = own.replace(r#""handle_ref":0"#, r#""handle_ref":1"#);
        let before = CREATED.replace(r#""client":0"#, r#""client":0,"section":"setup""#);
        let failing = CREATED
            .replace(r#""handle_ref":0"#, r#""handle_ref":0,"expect":["STATUS_ACCESS_DENIED"]"#);
        for lines in [[CREATED, &own], [&before, OPENED], [&failing, OPENED]] {
            let found = reversed_pairs(&*shifted(stream(&lines), 5_000_000_000)).unwrap();
            assert_eq!(found, ReversedPairs::default(), "{lines:?}");
        }
    }
}
