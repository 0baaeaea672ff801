//! An endless office-like stream that is made as fast as possible.

use smbench::ir::{
    Due, HandleOperation, HandleRef, OpenMode, OpenOperation, Operation, OperationKind,
    OperationSource, Pattern, Payload, Progress, Section, SourceError, StreamHeader, Workload,
};
use smbench::protocol::SharePath;
use smbench::protocol::create::CreateDisposition;

pub struct Office {
    header: StreamHeader,
    seq: Vec<u32>,
    paths: Vec<SharePath>,
}

impl Office {
    pub fn new(clients: u32) -> Office {
        let workloads = vec![Workload::new("editors", clients)];
        let path = |id| SharePath::new(&format!("team/u{id}/report.docx")).unwrap();
        Office {
            header: StreamHeader {
                source: "office".into(),
                workloads: workloads.into(),
                ..StreamHeader::default()
            },
            seq: vec![0; clients as usize],
            paths: (0..997).map(path).collect(),
        }
    }
}

impl OperationSource for Office {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn pull(
        &mut self,
        client_idx: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        if section != Section::Iteration {
            return Ok(Progress::End);
        }
        for _ in 0..max {
            let seq = self.seq[client_idx as usize];
            self.seq[client_idx as usize] += 1;
            let iteration = seq / 4;
            let handle_ref = HandleRef(iteration);
            let (offset, length) = (u64::from(seq % 64) << 16, 65_536);
            let kind = match seq % 4 {
                0 => OperationKind::Open(OpenOperation {
                    path: self.paths[(client_idx + iteration) as usize % self.paths.len()].clone(),
                    mode: OpenMode::ReadWrite,
                    disposition: CreateDisposition::OpenIf,
                    handle_ref,
                    extensions: None,
                }),
                1 => HandleOperation::Read { offset, length }.on(handle_ref),
                2 => {
                    let payload = Payload::Pattern(Pattern::Random);
                    HandleOperation::Write { offset, length, payload }.on(handle_ref)
                }
                _ => HandleOperation::Close.on(handle_ref),
            };
            let think = u64::from(client_idx.wrapping_mul(seq) % 1_000_003) * 97;
            let due = Due::After(if seq.is_multiple_of(4) { think } else { 0 });
            let operation = Operation::new(client_idx, seq, kind);
            into.push(Operation { due, section, iteration, ..operation });
        }
        Ok(Progress::More)
    }
}

/// Returns the peak memory of this process (VmHWM), in KiB.
pub fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
