//! Progress lines, one every few seconds, for where no moving line can be drawn: a pipe, a file, a
//! CI log.
//!
//! A line is a log event with the target [`TARGET`]. It therefore goes through the queue of
//! [`standard_error`], has the form of `--log-format`, and does not wait for its reader.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::live::LiveTotals;
use super::rounding::nonzero;
use super::standard_error;

/// The target of the log events, which `SMBENCH_LOG=progress=off` turns off.
pub const TARGET: &str = "progress";

/// The time between two lines, and before the first one, so that a short command prints none.
const PERIOD: Duration = Duration::from_secs(5);

/// The time at which this process first started progress lines. The times in lines count from it.
static START: OnceLock<Instant> = OnceLock::new();

/// The content of a line, except the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// The name of the stage, such as `connecting` or that of a phase.
    pub stage: String,
    /// The progress within the stage, such as `12.3 s of 30.0 s`.
    pub extent: Option<String>,
    /// The totals since the command began, where operations are counted.
    pub counts: Option<LiveTotals>,
}

/// The longest time that the end of a command waits for a line that is being written.
const LAST_LINE: Duration = Duration::from_secs(1);

/// A thread that writes the lines until this is dropped.
#[derive(Debug)]
pub struct ProgressLines {
    /// Closing the first ends the thread, which closes the second.
    thread: Option<(Sender<()>, Receiver<()>)>,
}

impl ProgressLines {
    /// Starts the thread that writes the lines, unless a moving line can be drawn. `look` returns
    /// the content of a line at the time when it is written.
    pub fn start(
        enabled: bool,
        look: impl FnMut() -> StageProgress + Send + 'static,
    ) -> ProgressLines {
        let start = *START.get_or_init(Instant::now);
        match enabled && !standard_error::is_drawable() {
            true => {
                Self::spawn(move |ended| write_lines(ended, start, PERIOD, look, ProgressLine::log))
            }
            false => ProgressLines { thread: None },
        }
    }

    /// Starts a thread that runs `run`, which must return when the receiver is closed.
    pub(super) fn spawn(run: impl FnOnce(&Receiver<()>) + Send + 'static) -> ProgressLines {
        let (sender, ended) = channel();
        let (running, over) = channel();
        let run = move || {
            let _running = running;
            run(&ended);
        };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(run);
        ProgressLines { thread: thread.ok().map(|_| (sender, over)) }
    }

    /// Starts lines of which only the time changes.
    pub fn of_stage(enabled: bool, stage: impl Into<String>) -> ProgressLines {
        let stage = stage.into();
        Self::start(enabled, move || StageProgress {
            stage: stage.clone(),
            extent: None,
            counts: None,
        })
    }
}

impl Drop for ProgressLines {
    fn drop(&mut self) {
        if let Some((sender, over)) = self.thread.take() {
            drop(sender);
            // The wait is bounded, because without the queue the thread may wait for a reader.
            let _ = over.recv_timeout(LAST_LINE);
        }
    }
}

/// Writes a line at each multiple of `period` from `start` on, until `ended` is closed.
fn write_lines(
    ended: &Receiver<()>,
    start: Instant,
    period: Duration,
    mut look: impl FnMut() -> StageProgress,
    mut write: impl FnMut(&ProgressLine),
) {
    let mut before = (start.elapsed(), 0);
    loop {
        let elapsed = start.elapsed();
        let passed = elapsed.as_nanos() % period.as_nanos().max(1);
        let wait = period.saturating_sub(Duration::from_nanos(passed as u64));
        match ended.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let line = ProgressLine::new(start.elapsed(), look(), before);
        if let Some(counts) = line.content.counts {
            before = (line.elapsed, counts.operations);
        }
        write(&line);
    }
}

#[derive(Debug)]
struct ProgressLine {
    elapsed: Duration,
    content: StageProgress,
    /// Operations since the line before, per second.
    rate: f64,
}

impl ProgressLine {
    /// Makes a line. `before` is the time and the number of operations of the line before it.
    fn new(elapsed: Duration, content: StageProgress, before: (Duration, u64)) -> ProgressLine {
        let seconds = elapsed.saturating_sub(before.0).as_secs_f64();
        let operations = content.counts.map_or(0, |counts| counts.operations);
        let operations = operations.saturating_sub(before.1);
        let rate = if seconds > 0.0 { operations as f64 / seconds } else { 0.0 };
        ProgressLine { elapsed, content, rate }
    }

    fn text(&self) -> String {
        let mut text =
            format!("progress: {:.1} s, {}", self.elapsed.as_secs_f64(), self.content.stage);
        if let Some(extent) = &self.content.extent {
            text += &format!(" {extent}");
        }
        if let Some(counts) = self.content.counts {
            text += &format!(", {} ops/s, {} failed", nonzero(self.rate, 0), counts.failed);
        }
        text
    }

    fn log(&self) {
        let text = self.text();
        let elapsed_s = (self.elapsed.as_secs_f64() * 1e3).round() / 1e3;
        let stage = self.content.stage.as_str();
        match self.content.counts {
            Some(LiveTotals { operations, failed, .. }) => tracing::info!(
                target: TARGET,
                elapsed_s,
                stage,
                operations,
                operations_per_s = (self.rate * 1e3).round() / 1e3,
                failed,
                "{text}"
            ),
            None => tracing::info!(target: TARGET, elapsed_s, stage, "{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(counts: Option<LiveTotals>) -> StageProgress {
        StageProgress { stage: "steady".into(), extent: Some("7.3 s of 30.0 s".into()), counts }
    }

    #[test]
    fn a_line_says_the_time_the_stage_the_rate_since_the_line_before_and_what_failed() {
        let counts = LiveTotals { operations: 30_000, failed: 3, ..LiveTotals::default() };
        let line = ProgressLine::new(
            Duration::from_secs(10),
            content(Some(counts)),
            (Duration::from_secs(5), 10_000),
        );
        assert_eq!(line.text(), "progress: 10.0 s, steady 7.3 s of 30.0 s, 4000 ops/s, 3 failed");
        let slow = LiveTotals { operations: 1, ..LiveTotals::default() };
        let line =
            ProgressLine::new(Duration::from_secs(5), content(Some(slow)), (Duration::ZERO, 0));
        assert_eq!(line.text(), "progress: 5.0 s, steady 7.3 s of 30.0 s, 0.2 ops/s, 0 failed");
        let line = ProgressLine::new(Duration::from_secs(5), content(None), (Duration::ZERO, 0));
        assert_eq!(line.text(), "progress: 5.0 s, steady 7.3 s of 30.0 s");
    }

    #[test]
    fn lines_come_again_and_again_until_the_end() {
        let (sender, ended) = channel();
        let mut sender = Some(sender);
        let mut lines = Vec::new();
        let mut operations = 0;
        let look = || {
            operations += 7;
            content(Some(LiveTotals { operations, ..LiveTotals::default() }))
        };
        write_lines(&ended, Instant::now(), Duration::from_millis(1), look, |line| {
            lines.push((line.elapsed, line.content.counts.unwrap().operations, line.rate));
            if lines.len() == 3 {
                drop(sender.take());
            }
        });
        let operations: Vec<u64> = lines.iter().map(|(_, operations, _)| *operations).collect();
        assert_eq!(operations, [7, 14, 21]);
        let later = lines.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[1].2 > 0.0);
        assert!(later, "{lines:?}");
    }

    #[test]
    fn quiet_starts_no_thread() {
        assert!(ProgressLines::of_stage(false, "reading").thread.is_none());
    }
}
