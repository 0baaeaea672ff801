//! The stream of a later generation, for clients that take part in the run already.

use rustc_hash::{FxHashMap, FxHashSet};

use super::operation::{HandleOperation, HandleRef, Operation, OperationKind, Section};
use super::preview::Preview;
use super::source::{OperationSource, Progress, SourceError, StreamHeader};

/// Number of operations of a setup that are made and discarded at a time.
const BATCH: usize = 256;

/// A source that a run goes on with at a reload. A client whose setup is requested joins the run
/// with this generation, and its operations pass unchanged. Every other client has run the setup of
/// an earlier generation. Its setup is made here and discarded before its first iterations or its
/// teardown, because a script may keep in variables what its setup has made.
///
/// The handles that a discarded setup opened do not exist. A stream whose first iterations use one
/// of them is refused, unless its workload has [`setup_on_reload`](super::Workload). A teardown may
/// close them: the run skips operations on handles that are not open.
pub struct Continued<S> {
    source: S,
    /// The number of workloads, the first ones, that a script declares itself.
    of_script: usize,
    /// The clients whose setup was requested or discarded.
    begun: FxHashSet<u32>,
    refused: FxHashMap<u32, SourceError>,
    /// The operations of a setup, to be discarded.
    discarded: Vec<Operation>,
}

impl<S: OperationSource> Continued<S> {
    /// Creates the source. The first `of_script` workloads are those that a script declares itself,
    /// so that they could set `setup_on_reload`; a document has none.
    pub fn new(source: S, of_script: usize) -> Continued<S> {
        Continued {
            source,
            of_script,
            begun: FxHashSet::default(),
            refused: FxHashMap::default(),
            discarded: Vec::new(),
        }
    }

    /// Makes the client's setup and discards it. Returns the handles that it left open.
    fn discard_setup(&mut self, client: u32) -> Result<LeftOpen, SourceError> {
        let mut left_open = LeftOpen::default();
        loop {
            let pulled = self.source.pull(client, Section::Setup, BATCH, &mut self.discarded);
            for operation in self.discarded.drain(..) {
                left_open.follow(&operation);
            }
            if pulled? == Progress::End {
                return Ok(left_open);
            }
        }
    }

    /// Returns an error if one of these operations, the first of the client's iterations, uses a
    /// handle that its setup left open, and setup does not run again.
    fn check<'o>(
        &self,
        client: u32,
        left_open: LeftOpen,
        operations: impl IntoIterator<Item = &'o Operation>,
    ) -> Result<(), SourceError> {
        let header = self.source.header();
        let workload = header.workload_of(client).map(|(workload, _)| workload);
        if workload.is_some_and(|workload| header.workloads[workload].setup_on_reload) {
            return Ok(());
        }
        let Some(operation) = left_open.first_use(operations) else { return Ok(()) };
        let otherwise = match workload {
            Some(workload) if workload < self.of_script => {
                ", or set setup_on_reload = true in its workload"
            }
            _ => "",
        };
        let message = format!(
            "restart needed: the iterations of client {} use a handle that its setup opened (operation id {}), and setup does not run again at a reload; open it in the iteration{otherwise}",
            header.client_name(client),
            operation.op_id(),
        );
        Err(SourceError { message, client: None })
    }
}

impl<S: OperationSource> Continued<Preview<S>> {
    /// Creates the source as [`Continued::new`] does, after a check of the operations that the
    /// preview has examined.
    ///
    /// # Errors
    /// [`SourceError`] if one of the iterations among them uses a handle that setup left open.
    pub fn examined(
        preview: Preview<S>,
        of_script: usize,
    ) -> Result<Continued<Preview<S>>, SourceError> {
        let continued = Continued::new(preview, of_script);
        for (client, setup, iterations) in continued.source.examined() {
            let mut left_open = LeftOpen::default();
            setup.iter().for_each(|operation| left_open.follow(operation));
            continued.check(client, left_open, iterations)?;
        }
        Ok(continued)
    }
}

impl<S: OperationSource> OperationSource for Continued<S> {
    fn header(&self) -> &StreamHeader {
        self.source.header()
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        if let Some(error) = self.refused.get(&client) {
            return Err(error.clone());
        }
        if section == Section::Setup {
            self.begun.insert(client);
        }
        if self.begun.contains(&client) {
            return self.source.pull(client, section, max, into);
        }
        // If this fails, the next request makes the rest of the setup, which fails again.
        let left_open = self.discard_setup(client)?;
        self.begun.insert(client);
        let first = into.len();
        let progress = self.source.pull(client, section, max, into);
        if section == Section::Iteration
            && let Err(error) = self.check(client, left_open, &into[first..])
        {
            into.truncate(first);
            self.refused.insert(client, error.clone());
            return Err(error);
        }
        progress
    }
}

/// The handles that a client's setup has opened and not closed.
#[derive(Default)]
struct LeftOpen(FxHashSet<HandleRef>);

impl LeftOpen {
    /// Follows an operation of the setup.
    fn follow(&mut self, operation: &Operation) {
        match &operation.kind {
            OperationKind::Open(open) => {
                self.0.insert(open.handle_ref);
            }
            OperationKind::OnHandle(handle, HandleOperation::Close) => {
                self.0.remove(handle);
            }
            OperationKind::OnHandle(..) | OperationKind::ByPath(_) => {}
        }
    }

    /// Returns the first of the operations that uses one of the handles. A number whose handle was
    /// opened anew stands for the new one.
    fn first_use<'o>(
        mut self,
        operations: impl IntoIterator<Item = &'o Operation>,
    ) -> Option<&'o Operation> {
        operations.into_iter().find(|operation| match &operation.kind {
            OperationKind::Open(open) => {
                self.0.remove(&open.handle_ref);
                false
            }
            OperationKind::OnHandle(handle, _) => self.0.contains(handle),
            OperationKind::ByPath(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{
        ClientPartition, FileControl, OpenMode, OpenOperation, PathOperation, Workload,
    };
    use crate::protocol::SharePath;
    use crate::protocol::create::CreateDisposition;

    /// A source whose clients have lists of operations. It notes what it was asked for.
    struct Listed {
        header: StreamHeader,
        lists: FxHashMap<(u32, Section), Vec<OperationKind>>,
        breaks_in_setup: bool,
        next_seq: u32,
        asked: Vec<(u32, Section)>,
    }

    impl OperationSource for Listed {
        fn header(&self) -> &StreamHeader {
            &self.header
        }

        fn pull(
            &mut self,
            client: u32,
            section: Section,
            max: usize,
            into: &mut Vec<Operation>,
        ) -> Result<Progress, SourceError> {
            if self.asked.last() != Some(&(client, section)) {
                self.asked.push((client, section));
            }
            let list = self.lists.entry((client, section)).or_default();
            for kind in list.drain(..max.min(list.len())) {
                into.push(Operation { section, ..Operation::new(client, self.next_seq, kind) });
                self.next_seq += 1;
            }
            match list.is_empty() {
                false => Ok(Progress::More),
                true if section == Section::Setup && self.breaks_in_setup => {
                    Err(SourceError { message: "broken".into(), client: None })
                }
                true => Ok(Progress::End),
            }
        }
    }

    fn open(handle: u32) -> OperationKind {
        OperationKind::Open(OpenOperation {
            path: SharePath::new("a").unwrap(),
            mode: OpenMode::Read,
            disposition: CreateDisposition::Open,
            handle_ref: HandleRef(handle),
            extensions: None,
        })
    }

    fn close(handle: u32) -> OperationKind {
        HandleOperation::Close.on(HandleRef(handle))
    }

    fn flush(handle: u32) -> OperationKind {
        FileControl::Flush.on(HandleRef(handle))
    }

    fn stat() -> OperationKind {
        PathOperation::Stat { path: SharePath::new("a").unwrap() }.into()
    }

    /// Returns a source with two clients of workload `w`, whose sections are these.
    fn listed(setup: &[OperationKind], iterations: &[OperationKind]) -> Listed {
        let workloads = vec![Workload::new("w", 2)].into();
        let header = StreamHeader { workloads, ..StreamHeader::default() };
        let teardown = [stat()];
        let sections = [
            (Section::Setup, setup),
            (Section::Iteration, iterations),
            (Section::Teardown, &teardown),
        ];
        let lists = (0..2).flat_map(|client| {
            sections.map(|(section, kinds)| ((client, section), kinds.to_vec()))
        });
        let lists = lists.collect();
        Listed { header, lists, breaks_in_setup: false, next_seq: 0, asked: Vec::new() }
    }

    fn pulled(
        source: &mut dyn OperationSource,
        client: u32,
        section: Section,
    ) -> Result<Vec<Operation>, SourceError> {
        let mut operations = Vec::new();
        while source.pull(client, section, 2, &mut operations)? == Progress::More {}
        Ok(operations)
    }

    #[test]
    fn the_setup_of_a_client_that_goes_on_is_made_and_discarded_once() {
        let setup: Vec<OperationKind> = (0..2 * BATCH).map(|_| stat()).collect();
        let mut source = Continued::new(listed(&setup, &[stat(), flush(3), stat()]), 1);
        let iterations = pulled(&mut source, 0, Section::Iteration).unwrap();
        assert_eq!(iterations.len(), 3);
        assert!(iterations.iter().all(|operation| operation.section == Section::Iteration));
        assert_eq!(iterations[0].seq, 2 * BATCH as u32, "the setup's numbers are taken");
        assert_eq!(pulled(&mut source, 0, Section::Teardown).unwrap().len(), 1);
        let asked = [Section::Setup, Section::Iteration, Section::Teardown];
        assert_eq!(source.source.asked, asked.map(|section| (0, section)));
    }

    #[test]
    fn a_client_that_joins_has_its_setup_and_may_use_its_handles() {
        let mut source = Continued::new(listed(&[open(0)], &[flush(0)]), 1);
        for (section, count) in
            [(Section::Setup, 1), (Section::Iteration, 1), (Section::Teardown, 1)]
        {
            assert_eq!(pulled(&mut source, 1, section).unwrap().len(), count, "{section:?}");
        }
    }

    #[test]
    fn a_client_whose_first_section_is_teardown_has_its_setup_discarded_too() {
        let mut source = Continued::new(listed(&[open(0)], &[flush(0)]), 1);
        let teardown = pulled(&mut source, 0, Section::Teardown).unwrap();
        assert_eq!(teardown.len(), 1);
        assert_eq!(source.source.asked, [(0, Section::Setup), (0, Section::Teardown)]);
    }

    #[test]
    fn iterations_that_use_a_handle_of_the_discarded_setup_are_refused() {
        for (setup, iterations, used) in [
            (vec![open(0)], vec![stat(), flush(0)], Some("0-2")),
            (vec![open(0)], vec![close(0)], Some("0-1")),
            (vec![open(0), close(0), open(1)], vec![open(0), flush(1)], Some("0-4")),
            (vec![open(0), close(0)], vec![open(0), flush(0)], None),
            (vec![open(0)], vec![open(0), flush(0)], None),
            (vec![open(0)], vec![open(1), flush(1)], None),
        ] {
            let mut source = Continued::new(listed(&setup, &iterations), 1);
            let refused = pulled(&mut source, 0, Section::Iteration).map(|it| it.len());
            let expected = used.map(|id| SourceError {
                message: format!(
                    "restart needed: the iterations of client w/0 use a handle that its setup opened (operation id {id}), and setup does not run again at a reload; open it in the iteration, or set setup_on_reload = true in its workload"
                ),
                client: None,
            });
            assert_eq!(refused, expected.map_or(Ok(iterations.len()), Err), "{setup:?}");
            let again = pulled(&mut source, 0, Section::Iteration);
            assert_eq!(again.is_err(), used.is_some(), "it stays refused");
        }
    }

    #[test]
    fn a_workload_whose_setup_runs_again_is_not_refused() {
        let mut source = listed(&[open(0)], &[flush(0)]);
        let again = Workload { setup_on_reload: true, ..Workload::new("w", 2) };
        source.header.workloads = vec![again].into();
        let mut source = Continued::new(source, 1);
        assert_eq!(pulled(&mut source, 0, Section::Iteration).unwrap().len(), 1);
    }

    #[test]
    fn an_error_of_the_discarded_setup_is_returned_each_time() {
        let mut source = listed(&[stat()], &[stat()]);
        source.breaks_in_setup = true;
        let mut source = Continued::new(source, 1);
        for _ in 0..2 {
            let error = pulled(&mut source, 0, Section::Iteration).unwrap_err();
            assert_eq!(error.message, "broken");
        }
    }

    #[test]
    fn iterations_that_were_examined_are_checked_before_any_is_requested() {
        let mut late: Vec<OperationKind> = (0..500).map(|_| stat()).collect();
        late.push(flush(0));
        let examined = |of_script| {
            let preview = Preview::new(listed(&[open(0)], &late), ClientPartition::WHOLE);
            Continued::examined(preview, of_script).map(drop)
        };
        let message = examined(1).unwrap_err().message;
        assert!(message.starts_with("restart needed: the iterations of client w/0"), "{message}");
        assert!(message.contains("(operation id 0-501)"), "{message}");
        assert!(message.ends_with("setup_on_reload = true in its workload"), "{message}");
        let of_document = examined(0).unwrap_err().message;
        assert!(of_document.ends_with("; open it in the iteration"), "{of_document}");
        late.pop();
        let preview = Preview::new(listed(&[open(0)], &late), ClientPartition::WHOLE);
        let mut continued = Continued::examined(preview, 1).unwrap();
        let iterations = pulled(&mut continued, 0, Section::Iteration).unwrap();
        assert_eq!((iterations.len(), iterations[0].seq), (500, 1));
    }
}
