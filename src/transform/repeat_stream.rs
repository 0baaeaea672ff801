//! The stage `repeat_stream`: the iterations of a stream several times.

use std::rc::Rc;

use super::open_handles::{HandleUse, OpenHandles, handle_use};
use super::stream::{
    ClientReader, OperationStream, Origin, StagePlace, StreamFacts, StreamStage, TransformError,
    skip,
};
use crate::ir::{Due, HandleOperation, HandleRef, Operation, Progress, Section, SourceError};

/// Makes the iterations of every client `times` times. Setup and teardown are made once.
///
/// A handle that is open at the end of a repetition is closed before the next one begins. A time
/// from time zero is later by the period for each repetition before it; a delay stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatStreamStage {
    /// At least 1.
    pub times: u32,
    /// The time from one repetition to the next in nanoseconds. None: the length of the stream's
    /// phases, or else the last time that it names.
    pub period_ns: Option<u64>,
}

impl StreamStage for RepeatStreamStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        if self.times == 0 {
            return Err(place.refuse("zero repetitions leave nothing; repeat at least once"));
        }
        let mut facts = input.facts().clone();
        let phases_ns: u64 = facts.header.phases.iter().map(|phase| phase.duration_ns).sum();
        let period_ns = self.period_ns.unwrap_or(phases_ns.max(facts.length_ns));
        if period_ns < facts.length_ns {
            let [period, length] = [period_ns, facts.length_ns].map(|ns| ns as f64 / 1e9);
            return Err(place.refuse(format!(
                "a period of {period} s is shorter than the stream, which lasts {length} s: time would go backwards"
            )));
        }
        let added_ns = u64::from(self.times - 1).checked_mul(period_ns);
        let too_long = || place.refuse("the repetitions would last longer than 2^64 ns");
        let added_ns = added_ns.ok_or_else(too_long)?;
        facts.length_ns = facts.length_ns.checked_add(added_ns).ok_or_else(too_long)?;
        if let Some(last) = facts.header.phases.last_mut() {
            last.duration_ns = last.duration_ns.checked_add(added_ns).ok_or_else(too_long)?;
        }
        facts.ids_stay_unique &= self.times == 1;
        let (facts, times) = (Rc::new(facts), self.times);
        Ok(Rc::new(Repeated { input, facts, place: place.name, times, period_ns }))
    }
}

struct Repeated {
    input: Rc<dyn OperationStream>,
    facts: Rc<StreamFacts>,
    /// The beginning of an error.
    place: Rc<str>,
    times: u32,
    period_ns: u64,
}

impl OperationStream for Repeated {
    fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        Box::new(RepeatReader {
            input: Rc::clone(&self.input),
            facts: Rc::clone(&self.facts),
            place: Rc::clone(&self.place),
            times: self.times,
            period_ns: self.period_ns,
            client,
            reader: self.input.reader(client),
            section: Section::Setup,
            repetition: 0,
            iterations: 0,
            last_iteration: 0,
            handles: OpenHandles::default(),
            closed: None,
            at_start: true,
            closes: Vec::new(),
        })
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        self.input.origin(client)
    }
}

struct RepeatReader {
    input: Rc<dyn OperationStream>,
    facts: Rc<StreamFacts>,
    place: Rc<str>,
    times: u32,
    period_ns: u64,
    client: u32,
    reader: Box<dyn ClientReader>,
    section: Section,
    /// The number of the repetition, from 0.
    repetition: u32,
    /// The number of iterations of all repetitions before this one.
    iterations: u32,
    last_iteration: u32,
    /// The open handles, and the section in which each was opened.
    handles: OpenHandles<Section>,
    /// An operation of the iterations that closes a handle of the setup.
    closed: Option<String>,
    /// Whether the repetition has no operation yet.
    at_start: bool,
    /// The closes between two repetitions, the next one last.
    closes: Vec<Operation>,
}

impl RepeatReader {
    fn error(&self, problem: impl std::fmt::Display) -> SourceError {
        SourceError {
            message: format!("{}: {problem}", self.place),
            client: Some(self.facts.header.client_name(self.client)),
        }
    }

    /// Takes note of the handles of an operation, and moves it to its repetition.
    fn place(&mut self, operation: &mut Operation) -> Result<(), SourceError> {
        match handle_use(operation) {
            HandleUse::Open(handle) => self.handles.open(handle, self.section),
            HandleUse::Close(handle) => {
                let opened = self.handles.close(handle);
                if opened < Some(self.section) && self.section == Section::Iteration {
                    self.closed.get_or_insert_with(|| operation.op_id());
                }
            }
            HandleUse::On(_) | HandleUse::None => {}
        }
        if self.section != Section::Iteration {
            return Ok(());
        }
        let iteration = operation.iteration.checked_add(self.iterations);
        let iteration = iteration.ok_or_else(|| self.error("more than 2^32 iterations"))?;
        (operation.iteration, self.last_iteration, self.at_start) = (iteration, iteration, false);
        // A function of the script may have set a later time than the last that the stream states.
        if let Due::At(at_ns) = operation.due
            && self.times > 1
            && at_ns > self.period_ns
        {
            let [at_s, period_s] = [at_ns, self.period_ns].map(|ns| ns as f64 / 1e9);
            let id = operation.op_id();
            return Err(self.error(format!(
                "operation {id} is due at {at_s} s, after the end of a repetition ({period_s} s); give a longer period"
            )));
        }
        if let Due::At(at_ns) | Due::Arrival { at_ns, .. } = &mut operation.due {
            *at_ns = at_ns.saturating_add(u64::from(self.repetition) * self.period_ns);
        }
        Ok(())
    }

    /// Begins the next repetition: closes what the last one left open, and goes past the setup.
    fn repeat(&mut self) -> Result<(), SourceError> {
        if let Some(id) = &self.closed {
            return Err(self.error(format!(
                "operation {id} closes a handle of the setup, so the iterations cannot be repeated"
            )));
        }
        let left_open: Vec<HandleRef> = (self.handles.handles().into_iter())
            .filter(|handle| self.handles.get(*handle) == Some(&Section::Iteration))
            .collect();
        // They are taken from the end.
        for handle in left_open.into_iter().rev() {
            self.handles.close(handle);
            self.closes.push(Operation {
                section: Section::Iteration,
                iteration: self.last_iteration,
                ..Operation::new(self.client, 0, HandleOperation::Close.on(handle))
            });
        }
        if self.at_start {
            // A client without iterations has none in later repetitions either.
            self.repetition = self.times - 1;
            return Ok(());
        }
        self.repetition += 1;
        self.iterations = self.last_iteration.saturating_add(1);
        self.at_start = true;
        self.reader = self.input.reader(self.client);
        skip(&mut *self.reader, Section::Setup)
    }
}

impl ClientReader for RepeatReader {
    fn read(
        &mut self,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        if section < self.section {
            return Ok(Progress::End);
        }
        if section > self.section {
            self.section = section;
            self.closes.clear();
        }
        let most = into.len() + max.max(1);
        loop {
            while into.len() < most
                && let Some(close) = self.closes.pop()
            {
                into.push(close);
            }
            if into.len() >= most {
                return Ok(Progress::More);
            }
            let first = into.len();
            let progress = self.reader.read(section, most - into.len(), into);
            for at in first..into.len() {
                if let Err(error) = self.place(&mut into[at]) {
                    into.truncate(at);
                    return Err(error);
                }
            }
            let progress = progress?;
            let repeats = section == Section::Iteration && self.repetition + 1 < self.times;
            match progress {
                Progress::End if repeats => self.repeat()?,
                Progress::End => return Ok(Progress::End),
                Progress::More => {}
            }
        }
    }
}
