//! The progress of a run on standard error: a moving line on a terminal, elsewhere a new line every
//! few seconds.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::live::{Live, LiveTotals};
use super::progress_lines::{Counts, Doing, ProgressLines};
use super::rounding::nonzero;
use super::standard_error;
use super::text::printable;

/// The stage that a run has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressStage {
    /// Clients connect. `clients` does not count the one of run-wide setup.
    Connecting {
        clients: u32,
    },
    Setup,
    /// The first operations of these clients are being fetched.
    Preparing {
        clients: u32,
    },
    /// A phase; `duration` is its planned length, if the stream has phases.
    Phase {
        name: String,
        duration: Option<Duration>,
    },
    Draining,
    Teardown,
}

/// The progress of a run. A line is drawn on standard error until this is dropped; where none can
/// be drawn, [`ProgressLines`] are written and each stage is logged once. Setting a stage never
/// blocks.
#[derive(Debug)]
pub struct ProgressDisplay {
    drawing: Option<(Sender<ProgressStage>, JoinHandle<()>)>,
    lines: Option<(Sender<(ProgressStage, Instant)>, ProgressLines)>,
    /// The stage that was shown last.
    last: RefCell<Option<ProgressStage>>,
}

const TICK: Duration = Duration::from_millis(100);
/// The number of ticks over which a rate is computed.
const WINDOW: usize = 10;
const MAX_NAME_CHARS: usize = 40;

impl ProgressDisplay {
    pub fn new(enabled: bool, live: Arc<Live>) -> ProgressDisplay {
        let drawing = (enabled && standard_error::is_drawable()).then(|| {
            let (sender, receiver) = channel();
            let thread = std::thread::Builder::new().name("progress".into());
            let live = live.clone();
            thread.spawn(move || draw(&receiver, &live)).ok().map(|thread| (sender, thread))
        });
        let lines = (enabled && !standard_error::is_drawable()).then(|| {
            let (sender, stages) = channel();
            let mut current = (ProgressStage::Setup, Instant::now());
            let look = move || {
                current = stages.try_iter().last().unwrap_or_else(|| current.clone());
                doing(&current.0, current.1.elapsed(), live.totals())
            };
            (sender, ProgressLines::start(true, look))
        });
        ProgressDisplay { drawing: drawing.flatten(), lines, last: RefCell::new(None) }
    }

    /// Shows what the run is doing now. The same stage again changes nothing.
    pub fn stage(&self, stage: ProgressStage) {
        if self.last.replace(Some(stage.clone())).as_ref() == Some(&stage) {
            return;
        }
        if let Some((sender, _)) = &self.lines {
            // The thread ends only when this value is dropped.
            let _ = sender.send((stage.clone(), Instant::now()));
        }
        match &self.drawing {
            // The thread ends only when this sender is dropped.
            Some((sender, _)) => drop(sender.send(stage)),
            None => tracing::info!("{}", describe(&stage)),
        }
    }

    /// Removes the line.
    pub fn finish(self) {}
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.drawing.take() {
            drop(sender);
            // The thread ends within a tick. One that panicked has nothing left to draw.
            let _ = thread.join();
        }
    }
}

fn draw(stages: &Receiver<ProgressStage>, live: &Live) {
    let bar = ProgressBar::with_draw_target(None, standard_error::draw_target());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    let mut stage = None;
    let mut begun = Instant::now();
    let mut window: VecDeque<(Instant, u64)> = VecDeque::with_capacity(WINDOW + 1);
    loop {
        match stages.recv_timeout(TICK) {
            Ok(next) => (stage, begun) = (Some(next), Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let (now, totals) = (Instant::now(), live.totals());
        window.push_back((now, totals.operations));
        if window.len() > WINDOW {
            window.pop_front();
        }
        if let Some(stage) = &stage {
            bar.set_message(line(stage, begun.elapsed(), totals, rate(&window)));
            bar.tick();
        }
    }
    bar.finish_and_clear();
}

/// Returns the operations per second over the window.
fn rate(window: &VecDeque<(Instant, u64)>) -> f64 {
    let (Some((from, first)), Some((to, last))) = (window.front(), window.back()) else {
        return 0.0;
    };
    let seconds = to.duration_since(*from).as_secs_f64();
    if seconds > 0.0 { last.saturating_sub(*first) as f64 / seconds } else { 0.0 }
}

fn line(stage: &ProgressStage, elapsed: Duration, totals: LiveTotals, rate: f64) -> String {
    match stage {
        ProgressStage::Connecting { clients } => {
            return format!("connecting {}/{clients}", totals.connected);
        }
        ProgressStage::Preparing { clients } => {
            return format!("preparing {}/{clients}  {}", totals.prepared, clock(elapsed));
        }
        _ => {}
    }
    let mut line = format!("{}  {}", describe(stage), extent(stage, elapsed));
    line += &format!("  {} ops/s", nonzero(rate, 0));
    if totals.failed > 0 {
        line += &format!("  {} failed", totals.failed);
    }
    line
}

fn clock(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Returns how long a stage has lasted, and its planned length if it has one.
fn extent(stage: &ProgressStage, elapsed: Duration) -> String {
    match stage {
        ProgressStage::Phase { duration: Some(duration), .. } => {
            format!("{} of {}", clock(elapsed), clock(*duration))
        }
        _ => clock(elapsed),
    }
}

/// Returns the content of a line about a stage that has lasted this long.
fn doing(stage: &ProgressStage, elapsed: Duration, totals: LiveTotals) -> Doing {
    let (name, done, clients) = match stage {
        ProgressStage::Connecting { clients } => ("connecting", totals.connected, *clients),
        ProgressStage::Preparing { clients } => ("preparing", totals.prepared, *clients),
        stage => {
            return Doing {
                stage: describe(stage),
                extent: Some(extent(stage, elapsed)),
                counts: Some(Counts { operations: totals.operations, failed: totals.failed }),
            };
        }
    };
    let extent = format!("{done} of {}", clients_in_words(clients));
    Doing { stage: name.into(), extent: Some(extent), counts: None }
}

fn clients_in_words(clients: u32) -> String {
    format!("{clients} client{}", if clients == 1 { "" } else { "s" })
}

fn describe(stage: &ProgressStage) -> String {
    match stage {
        ProgressStage::Connecting { clients } => {
            format!("connecting {}", clients_in_words(*clients))
        }
        ProgressStage::Setup => "setup".into(),
        ProgressStage::Preparing { clients } => format!("preparing {}", clients_in_words(*clients)),
        ProgressStage::Phase { name, .. } => printable(name, MAX_NAME_CHARS),
        ProgressStage::Draining => "draining".into(),
        ProgressStage::Teardown => "teardown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stage: &ProgressStage, totals: LiveTotals) -> String {
        line(stage, Duration::from_millis(12_340), totals, 4_321.6)
    }

    #[test]
    fn the_line_says_what_matters_in_each_stage() {
        let totals = LiveTotals { operations: 9, failed: 0, connected: 512, prepared: 64 };
        assert_eq!(
            at(&ProgressStage::Connecting { clients: 5_000 }, totals),
            "connecting 512/5000"
        );
        assert_eq!(
            at(&ProgressStage::Preparing { clients: 512 }, totals),
            "preparing 64/512  12.3 s"
        );
        assert_eq!(at(&ProgressStage::Setup, totals), "setup  12.3 s  4322 ops/s");
        let steady =
            ProgressStage::Phase { name: "steady".into(), duration: Some(Duration::from_secs(30)) };
        assert_eq!(at(&steady, totals), "steady  12.3 s of 30.0 s  4322 ops/s");
        let failing = LiveTotals { failed: 3, ..totals };
        assert_eq!(at(&steady, failing), "steady  12.3 s of 30.0 s  4322 ops/s  3 failed");
        let hostile = ProgressStage::Phase { name: "a\x1b]0;b".into(), duration: None };
        assert_eq!(at(&hostile, totals), "a\\u{1b}]0;b  12.3 s  4322 ops/s");
    }

    #[test]
    fn in_a_pipe_each_stage_says_how_far_it_is() {
        let totals = LiveTotals { operations: 9, failed: 2, connected: 3, prepared: 1 };
        let elapsed = Duration::from_millis(12_340);
        let said = |stage: &ProgressStage| {
            let Doing { stage, extent, counts } = doing(stage, elapsed, totals);
            (format!("{stage} {}", extent.unwrap()), counts.is_some())
        };
        let steady =
            ProgressStage::Phase { name: "steady".into(), duration: Some(Duration::from_secs(30)) };
        for (stage, text, counts) in [
            (ProgressStage::Connecting { clients: 8 }, "connecting 3 of 8 clients", false),
            (ProgressStage::Preparing { clients: 1 }, "preparing 1 of 1 client", false),
            (ProgressStage::Setup, "setup 12.3 s", true),
            (steady, "steady 12.3 s of 30.0 s", true),
            (ProgressStage::Draining, "draining 12.3 s", true),
            (ProgressStage::Teardown, "teardown 12.3 s", true),
        ] {
            assert_eq!(said(&stage), (text.to_string(), counts));
        }
    }

    #[test]
    fn a_rate_is_that_of_the_window() {
        let start = Instant::now();
        let window = [(start, 100), (start + Duration::from_millis(500), 600)];
        assert_eq!(rate(&window.into()), 1_000.0);
        assert_eq!(rate(&[(start, 100)].into()), 0.0);
        assert_eq!(rate(&VecDeque::new()), 0.0);
    }

    #[test]
    fn without_a_terminal_nothing_is_drawn_and_nothing_waits() {
        let progress = ProgressDisplay::new(false, Arc::new(Live::new(1)));
        assert!(progress.drawing.is_none());
        progress.stage(ProgressStage::Setup);
        progress.finish();
    }

    #[test]
    fn the_drawing_ends_with_its_sender() {
        let (sender, receiver) = channel();
        sender.send(ProgressStage::Draining).unwrap();
        drop(sender);
        draw(&receiver, &Live::new(1));
    }
}
