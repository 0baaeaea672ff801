//! The writer of version 2.

use std::io::{self, Write};

use super::header::{Header, Trailer};
use super::line::DocumentLine;

/// A writer that writes a document as the operations come.
pub(in crate::ir) struct V2Writer<W> {
    out: W,
    buffer: Vec<u8>,
    pub operations: u64,
    hash: blake3::Hasher,
}

const FLUSH_AT: usize = 256 << 10;

impl<W: Write> V2Writer<W> {
    pub fn new(header: &Header, mut out: W) -> io::Result<V2Writer<W>> {
        let mut buffer = serde_json::to_vec(&Header { version: 2, ..header.clone() })
            .map_err(io::Error::other)?;
        buffer.push(b'\n');
        out.write_all(&buffer)?;
        Ok(V2Writer::after_header(out))
    }

    /// Creates a writer of the lines that follow a header.
    pub fn after_header(out: W) -> V2Writer<W> {
        V2Writer { out, buffer: Vec::new(), operations: 0, hash: blake3::Hasher::new() }
    }

    pub fn push(&mut self, line: &DocumentLine<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.buffer, line).map_err(io::Error::other)?;
        self.buffer.push(b'\n');
        self.operations += 1;
        if self.buffer.len() >= FLUSH_AT {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the buffer and adds it to the hash, which is that of the operations' lines.
    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the last line.
    pub fn finish(mut self) -> io::Result<Written> {
        self.flush()?;
        let ir_hash = self.hash.finalize().to_hex().to_string();
        let trailer = Trailer { operations: self.operations, ir_hash: Some(ir_hash.clone()) };
        serde_json::to_writer(&mut self.out, &trailer).map_err(io::Error::other)?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(Written { operations: self.operations, ir_hash, dropped: Vec::new() })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub operations: u64,
    /// The BLAKE3 hash, in hexadecimal, of the operations in the order in which they were
    /// written, each as its canonical version 2 line with the line end. Loading the document
    /// gives the same hash, and for a version 2 document `sed '1d;$d' | b3sum` prints it.
    pub ir_hash: String,
    /// The parts of the header and the operations that this version has no place for.
    pub dropped: Vec<&'static str>,
}
