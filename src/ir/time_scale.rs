//! A stream stretched or compressed in time.

use super::operation::{Operation, Section, scale_ns};
use super::source::{OperationSource, Progress, SourceError, StreamHeader};

/// A source whose every `At` and `After`, and every phase, is `factor` times
/// as long: 2 is half speed.
pub struct TimeScale<S> {
    source: S,
    factor: f64,
    header: StreamHeader,
}

impl<S: OperationSource> TimeScale<S> {
    /// `factor` is above 0 and finite.
    pub fn new(source: S, factor: f64) -> TimeScale<S> {
        let mut header = source.header().clone();
        for phase in &mut header.phases {
            phase.duration_ns = scale_ns(phase.duration_ns, factor).max(1);
        }
        TimeScale { source, factor, header }
    }
}

impl<S: OperationSource> OperationSource for TimeScale<S> {
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
        let pulled = into.len();
        let progress = self.source.pull(client, section, max, into);
        for operation in &mut into[pulled..] {
            operation.due = operation.due.scaled(self.factor);
        }
        progress
    }
}
