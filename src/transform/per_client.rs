//! Stages that change the operations of each client by themselves.

use std::rc::Rc;

use super::section_cursor::{SectionCursor, SectionRequest};
use super::stream::{ClientReader, OperationStream, Origin, StagePlace, StreamFacts};
use crate::ir::{Operation, Progress, Section, SourceError};

/// The change that a stage makes to the operations of one client.
pub trait ClientTransform {
    /// Goes to a section. The rest of the section before it is not read.
    fn enter(&mut self, _section: Section) {}

    /// Takes all of `operations` and appends what they become to `into`.
    ///
    /// # Errors
    /// A message for the author of the stage, which names the operation. Operations that were
    /// appended before it are valid.
    fn pass(
        &mut self,
        operations: &mut Vec<Operation>,
        into: &mut Vec<Operation>,
    ) -> Result<(), String>;

    /// Does with the operations from `first` on what [`ClientTransform::pass`] does, where they are.
    ///
    /// # Errors
    /// As of [`ClientTransform::pass`].
    fn pass_in_place(
        &mut self,
        operations: &mut Vec<Operation>,
        first: usize,
    ) -> Result<(), String> {
        let mut passed = operations.split_off(first);
        self.pass(&mut passed, operations)
    }

    /// Returns whether no further operation of the section has any effect, so that the rest need
    /// not be read.
    fn has_ended(&self) -> bool {
        false
    }
}

/// A transform that changes each operation by itself, or drops it. Nothing is moved.
pub(super) trait OperationChange {
    fn enter_section(&mut self, _section: Section) {}

    /// Changes an operation. Returns whether it is kept.
    ///
    /// # Errors
    /// As of [`ClientTransform::pass`].
    fn change(&mut self, operation: &mut Operation) -> Result<bool, String>;

    /// See [`ClientTransform::has_ended`].
    fn drops_the_rest(&self) -> bool {
        false
    }
}

impl<T: OperationChange> ClientTransform for T {
    fn enter(&mut self, section: Section) {
        self.enter_section(section);
    }

    fn pass(
        &mut self,
        operations: &mut Vec<Operation>,
        into: &mut Vec<Operation>,
    ) -> Result<(), String> {
        let first = into.len();
        into.append(operations);
        self.pass_in_place(into, first)
    }

    fn pass_in_place(
        &mut self,
        operations: &mut Vec<Operation>,
        first: usize,
    ) -> Result<(), String> {
        let (mut kept, mut changed) = (first, Ok(()));
        for at in first..operations.len() {
            match self.change(&mut operations[at]) {
                Ok(true) => {
                    if kept != at {
                        operations.swap(kept, at);
                    }
                    kept += 1;
                }
                Ok(false) => {}
                Err(problem) => {
                    changed = Err(problem);
                    break;
                }
            }
        }
        operations.truncate(kept);
        changed
    }

    fn has_ended(&self) -> bool {
        self.drops_the_rest()
    }
}

/// A function that begins the transform of a client.
type Begin = dyn Fn(u32) -> Box<dyn ClientTransform>;

struct PerClient {
    input: Rc<dyn OperationStream>,
    facts: Rc<StreamFacts>,
    place: StagePlace,
    begin: Box<Begin>,
}

/// Returns the stream in which every client of `input` passes through a transform of its own.
pub fn per_client(
    input: Rc<dyn OperationStream>,
    facts: StreamFacts,
    place: StagePlace,
    begin: impl Fn(u32) -> Box<dyn ClientTransform> + 'static,
) -> Rc<dyn OperationStream> {
    Rc::new(PerClient { input, facts: Rc::new(facts), place, begin: Box::new(begin) })
}

impl OperationStream for PerClient {
    fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        let (input, transform) = (self.input.reader(client), (self.begin)(client));
        transformed(input, transform, (client, &self.facts), &self.place)
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        self.input.origin(client)
    }
}

/// Returns a reader that passes the operations of `input` through a transform. Errors name the
/// client of the stream with these facts.
pub(super) fn transformed(
    input: Box<dyn ClientReader>,
    transform: Box<dyn ClientTransform>,
    (client, facts): (u32, &Rc<StreamFacts>),
    place: &StagePlace,
) -> Box<dyn ClientReader> {
    Box::new(StageReader {
        input,
        transform,
        client,
        facts: Rc::clone(facts),
        place: Rc::clone(&place.name),
        section: SectionCursor::default(),
        end: None,
        ready: Vec::new(),
    })
}

/// A reader that passes what it reads through a transform.
struct StageReader {
    input: Box<dyn ClientReader>,
    transform: Box<dyn ClientTransform>,
    client: u32,
    facts: Rc<StreamFacts>,
    /// The beginning of an error.
    place: Rc<str>,
    section: SectionCursor,
    /// The end of the section, or the error at which it broke off. None: there is more to read.
    end: Option<Result<(), SourceError>>,
    /// Operations beyond the last batch, the next one last.
    ready: Vec<Operation>,
}

impl ClientReader for StageReader {
    fn read(
        &mut self,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        match self.section.request(section) {
            SectionRequest::Left => return Ok(Progress::End),
            SectionRequest::Entered => {
                self.end = None;
                self.ready.clear();
                self.transform.enter(section);
            }
            SectionRequest::Continued => {}
        }
        let most = into.len() + max.max(1);
        while into.len() < most
            && let Some(operation) = self.ready.pop()
        {
            into.push(operation);
        }
        if self.ready.is_empty() {
            self.ready = Vec::new();
        }
        while into.len() < most && self.end.is_none() {
            let first = into.len();
            let progress = self.input.read(section, most - first, into);
            self.end = match (self.transform.pass_in_place(into, first), progress) {
                (Err(problem), _) => Some(Err(SourceError {
                    message: format!("{}: {problem}", self.place),
                    client: Some(self.facts.header.client_name(self.client)),
                })),
                (Ok(()), _) if self.transform.has_ended() => Some(Ok(())),
                (Ok(()), Ok(Progress::More)) => None,
                (Ok(()), Ok(Progress::End)) => Some(Ok(())),
                (Ok(()), Err(error)) => Some(Err(error)),
            };
        }
        if into.len() > most {
            self.ready = into.split_off(most);
            self.ready.reverse();
        }
        match &self.end {
            Some(end) if self.ready.is_empty() => end.clone().map(|()| Progress::End),
            _ => Ok(Progress::More),
        }
    }
}
