//! The reader of version 2, which is JSON Lines. A header is followed by one operation a line
//! and a last line with the number of operations, so that a truncated document is not taken for
//! a whole one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::{DocumentError, Position, Problem};
use super::format::Format;
use super::header::{Header, Trailer};
use super::limits::{MAX_HEADER, MAX_PART};
use super::line::DocumentLine;
use super::sink::{CheckedSink, LineSink, StartSink};
use super::warnings::shortened;

/// Reads a whole document. Returns its sink, and the hash in the last line, if it has one.
pub(super) fn read<S: LineSink>(
    file: &Path,
    input: File,
    start: StartSink<'_, S>,
) -> Result<(S, Option<String>), DocumentError> {
    let mut sink = CheckedSink::new(file, Format::V2, start);
    let input = BufReader::with_capacity(1 << 18, input);
    let mut lines = Lines { input, buffer: Vec::new(), number: 0 };
    let first = lines.next(&sink, MAX_HEADER)?;
    let (position, text) = first.ok_or_else(|| sink.error(Problem::Empty))?;
    let header = header(text).map_err(|problem| sink.error_at(position, problem))?;
    sink.header(header)?;
    let mut trailer: Option<Trailer> = None;
    while let Some((position, text)) = lines.next(&sink, MAX_PART)? {
        if trailer.is_some() {
            return Err(sink.error_at(position, Problem::AfterTheEnd));
        }
        let at = |error: serde_json::Error| sink.error_at(position, Problem::json(&error));
        if is_trailer(text) {
            trailer = Some(serde_json::from_str(text).map_err(at)?);
        } else {
            let line: DocumentLine<'static> = serde_json::from_str(text).map_err(at)?;
            sink.line(position, line, |_| Ok(()))?;
        }
    }
    let found = sink.found;
    let position = Position::Line(lines.number);
    let Some(Trailer { operations: stated, ir_hash }) = trailer else {
        return Err(sink.error_at(position, Problem::Unfinished { found }));
    };
    if stated != found {
        return Err(sink.error_at(position, Problem::Count { stated, found }));
    }
    Ok((sink.finish()?, ir_hash))
}

fn header(text: &str) -> Result<Header, Problem> {
    #[derive(Deserialize)]
    struct Version {
        version: Value,
    }
    let json = |error: serde_json::Error| Problem::json(&error);
    let Version { version } = serde_json::from_str(text).map_err(json)?;
    if version != 2 {
        return Err(Problem::Version(shortened(&version.to_string())));
    }
    serde_json::from_str(text).map_err(json)
}

fn is_trailer(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with("\"operations\""))
}

/// The lines of a document that are not blank.
struct Lines {
    input: BufReader<File>,
    buffer: Vec<u8>,
    number: u64,
}

impl Lines {
    fn next<S: LineSink>(
        &mut self,
        sink: &CheckedSink<'_, S>,
        limit: u64,
    ) -> Result<Option<(Position, &str)>, DocumentError> {
        loop {
            self.buffer.clear();
            let read = (&mut self.input).take(limit + 1).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|error| sink.error(Problem::Unreadable(error)))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let position = Position::Line(self.number);
            if read as u64 > limit {
                return Err(sink.error_at(position, Problem::TooLarge(limit >> 20)));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let position = Position::Line(self.number);
        let not_utf8 = |error: std::str::Utf8Error| Problem::NotUtf8(error.valid_up_to() + 1);
        let text =
            std::str::from_utf8(&self.buffer).map_err(|e| sink.error_at(position, not_utf8(e)))?;
        // The last piece of a file may only lack its line end.
        let is_cut = |text| serde_json::from_str::<IgnoredAny>(text).is_err();
        if self.number > 1 && !text.ends_with('\n') && is_cut(text) {
            return Err(sink.error_at(position, Problem::CutShort));
        }
        Ok(Some((position, text)))
    }
}
