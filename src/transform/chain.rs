//! The run-wide client of several streams: it runs the section of each stream in turn.

use std::sync::Arc;

use super::section_cursor::{SectionCursor, SectionRequest};
use super::stream::{ClientReader, skip};
use crate::ir::step::Step;
use crate::ir::{Due, HandleRef, NominalClock, Operation, Progress, Section, SourceError};

/// A function that returns the reader of a link, given its number, and the operations that come
/// before the setup of the link.
pub(super) type Link = dyn Fn(u32) -> (Box<dyn ClientReader>, Vec<Operation>);

/// A reader that reads one section of each of its links before the next section of any.
pub(super) struct ChainReader {
    links: u32,
    link: Box<Link>,
    section: SectionCursor,
    /// The number of the link that is read, and its reader if it was begun.
    at: u32,
    reader: Option<Box<dyn ClientReader>>,
    /// The operations before the setup of the link, the next one last.
    before: Vec<Operation>,
    /// The nominal time of the link, which begins when the one before has ended.
    clock: NominalClock,
}

impl ChainReader {
    pub fn new(
        links: u32,
        link: impl Fn(u32) -> (Box<dyn ClientReader>, Vec<Operation>) + 'static,
    ) -> ChainReader {
        let (link, before, clock) = (Box::new(link), Vec::new(), NominalClock::default());
        ChainReader {
            links,
            link,
            section: SectionCursor::default(),
            at: 0,
            reader: None,
            before,
            clock,
        }
    }

    /// Gives an operation of the link that is read its place in the chain.
    fn place(&mut self, operation: &mut Operation) -> Result<(), SourceError> {
        let before_ns = self.clock.now_ns();
        self.clock.pass(operation.due, operation.iteration);
        if let Due::At(at_ns) = operation.due
            && self.at > 0
        {
            operation.due = Due::After(at_ns.saturating_sub(before_ns));
        }
        number_step(operation, self.at, self.links);
        number_handle(operation, self.at, self.links)
    }
}

impl ClientReader for ChainReader {
    fn read(
        &mut self,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        match self.section.request(section) {
            SectionRequest::Left => return Ok(Progress::End),
            SectionRequest::Entered => {
                (self.at, self.reader) = (0, None);
                self.before.clear();
            }
            SectionRequest::Continued => {}
        }
        let most = into.len() + max.max(1);
        while into.len() < most && self.at < self.links {
            let at = self.at;
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    let (mut reader, before) = (self.link)(at);
                    match section {
                        Section::Setup => self.before = before.into_iter().rev().collect(),
                        Section::Iteration => {}
                        Section::Teardown => skip(&mut *reader, Section::Setup)?,
                    }
                    self.clock = NominalClock::default();
                    self.reader.insert(reader)
                }
            };
            if let Some(operation) = self.before.pop() {
                into.push(operation);
                continue;
            }
            let first = into.len();
            let progress = reader.read(section, most - into.len(), into);
            for index in first..into.len() {
                if let Err(error) = self.place(&mut into[index]) {
                    into.truncate(index);
                    return Err(error);
                }
            }
            if progress? == Progress::End {
                (self.at, self.reader) = (at + 1, None);
            }
        }
        Ok(if self.at < self.links { Progress::More } else { Progress::End })
    }
}

/// Gives the operation's handle a number that no handle of another of `inputs` inputs has.
///
/// # Errors
/// [`SourceError`] if there are more handles than numbers.
pub(super) fn number_handle(
    operation: &mut Operation,
    input: u32,
    inputs: u32,
) -> Result<(), SourceError> {
    let Some(handle_ref) = operation.kind.handle_ref_mut() else { return Ok(()) };
    let number = handle_ref.0.checked_mul(inputs).and_then(|number| number.checked_add(input));
    let number = number.ok_or_else(|| SourceError {
        message: format!("a client opens more handles than can be numbered ({})", u32::MAX),
        client: None,
    })?;
    *handle_ref = HandleRef(number);
    Ok(())
}

/// Gives the operation's step a number that no step of another of `inputs` inputs has, so that steps
/// that follow one another stay apart.
pub fn number_step(operation: &mut Operation, input: u32, inputs: u32) {
    let numbered = |step: &Step| step.number.wrapping_mul(inputs).wrapping_add(input);
    if let Some(step) = &operation.step {
        let outer = step
            .outer
            .as_ref()
            .map(|outer| Arc::new(Step { number: numbered(outer), ..Step::clone(outer) }));
        operation.step =
            Some(Arc::new(Step { number: numbered(step), outer, ..Step::clone(step) }));
    }
}
