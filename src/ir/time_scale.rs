//! The scaling of a stream in time.

use super::due::scale_ns;
use super::operation::{Operation, Section};
use super::source::{OperationSource, Progress, SourceError, StreamHeader};

/// A source in which every due time and every phase is `factor` times as long. A factor of 2
/// is half speed.
pub struct TimeScale<S> {
    source: S,
    factor: f64,
    header: StreamHeader,
}

impl<S: OperationSource> TimeScale<S> {
    /// Creates the source. `factor` must be above 0 and finite.
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

    fn supersede(&mut self, client: u32, iteration: u32) {
        self.source.supersede(client, iteration);
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

#[cfg(test)]
mod tests {
    use super::super::due::{Due, Late};
    use super::super::operation::PathOperation;
    use super::super::source::Phase;
    use super::*;
    use crate::protocol::SharePath;

    fn arrival(at_ns: u64, think_ns: u64) -> Due {
        Due::Arrival { at_ns, think_ns, late: Late::Queue }
    }

    fn during(after_ns: u64, from_ns: u64, until_ns: u64) -> Due {
        Due::During { after_ns, from_ns, until_ns }
    }

    struct OfEachKind(StreamHeader);

    impl OperationSource for OfEachKind {
        fn header(&self) -> &StreamHeader {
            &self.0
        }

        fn pull(
            &mut self,
            client_idx: u32,
            section: Section,
            _: usize,
            into: &mut Vec<Operation>,
        ) -> Result<Progress, SourceError> {
            let dues = [Due::At(10), Due::After(3), arrival(20, 5), during(6, 30, 40)];
            into.extend((0..).zip(dues).map(|(seq, due)| {
                let path = SharePath::new("a").unwrap();
                let operation = Operation::new(client_idx, seq, PathOperation::Stat { path });
                Operation { due, section, ..operation }
            }));
            Ok(Progress::End)
        }
    }

    fn dues(factor: f64) -> (u64, Vec<Due>) {
        let phase = Phase { name: "p".into(), duration_ns: 100, record: true };
        let header = StreamHeader { phases: vec![phase], ..StreamHeader::default() };
        let mut stream = TimeScale::new(OfEachKind(header), factor);
        let mut operations = Vec::new();
        stream.pull(0, Section::Iteration, 9, &mut operations).unwrap();
        let phase_ns = stream.header().phases[0].duration_ns;
        (phase_ns, operations.iter().map(|operation| operation.due).collect())
    }

    #[test]
    fn two_is_half_speed_for_every_time_and_phase() {
        let twice = [Due::At(20), Due::After(6), arrival(40, 10), during(12, 60, 80)];
        assert_eq!(dues(2.0), (200, twice.to_vec()));
        let half = [Due::At(5), Due::After(2), arrival(10, 3), during(3, 15, 20)];
        assert_eq!(dues(0.5), (50, half.to_vec()));
    }

    #[test]
    fn one_changes_no_time_however_large() {
        assert_eq!(Due::At(u64::MAX - 1).scaled(1.0), Due::At(u64::MAX - 1));
        assert_eq!(Due::At(u64::MAX).scaled(1_000.0), Due::At(u64::MAX), "it does not wrap");
    }
}
