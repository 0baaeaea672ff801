//! The progress of a run on standard error: a moving line on a terminal, elsewhere a new line every
//! few seconds.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::live::{Live, LiveTotals};
use super::progress_lines::{ProgressLines, StageProgress};
use super::rounding::nonzero;
use super::standard_error;
use super::text::{counted, printable};

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
    stages: Option<Sender<(ProgressStage, Instant)>>,
    is_drawn: bool,
    _thread: ProgressLines,
    /// The stage that was reported last.
    last: RefCell<Option<ProgressStage>>,
    /// The comparison that a moving line shows. The thread that draws holds the lock only to copy it.
    comparison: Arc<Mutex<Option<String>>>,
}

const TICK: Duration = Duration::from_millis(100);
/// The number of ticks over which a rate is computed.
const WINDOW: usize = 10;
const MAX_NAME_CHARS: usize = 40;

impl ProgressDisplay {
    pub fn new(enabled: bool, live: Arc<Live>) -> ProgressDisplay {
        let is_drawn = enabled && standard_error::is_drawable();
        let (sender, stages) = channel();
        let mut current = (ProgressStage::Setup, Instant::now());
        let comparison: Arc<Mutex<Option<String>>> = Arc::default();
        let compared = comparison.clone();
        let look = move || {
            current = stages.try_iter().last().unwrap_or_else(|| current.clone());
            let comparison = compared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let content = content(&current.0, current.1.elapsed(), live.totals());
            match comparison.filter(|_| is_drawn) {
                Some(comparison) => comparing(content, &comparison),
                None => content,
            }
        };
        let thread = show(enabled, look);
        let stages = enabled.then_some(sender);
        ProgressDisplay { stages, is_drawn, _thread: thread, last: RefCell::new(None), comparison }
    }

    /// Shows a comparison of two generations in a moving line, until it is None again.
    pub fn compare(&self, comparison: Option<String>) {
        *self.comparison.lock().unwrap_or_else(PoisonError::into_inner) = comparison;
    }

    /// Shows what the run is doing now. The same stage again changes nothing.
    pub fn stage(&self, stage: ProgressStage) {
        if self.last.replace(Some(stage.clone())).as_ref() == Some(&stage) {
            return;
        }
        if !self.is_drawn {
            tracing::info!("{}", describe(&stage));
        }
        if let Some(sender) = &self.stages {
            // The thread ends only when this value is dropped.
            let _ = sender.send((stage, Instant::now()));
        }
    }
}

/// Shows the content that `look` returns until the result is dropped: as a moving line on a
/// terminal, elsewhere as a new line every few seconds.
pub fn show(enabled: bool, look: impl FnMut() -> StageProgress + Send + 'static) -> ProgressLines {
    match enabled && standard_error::is_drawable() {
        true => ProgressLines::spawn(move |ended| draw(ended, look)),
        false => ProgressLines::start(enabled, look),
    }
}

/// Draws a line with the content that `look` returns, until `ended` is closed.
fn draw(ended: &Receiver<()>, mut look: impl FnMut() -> StageProgress) {
    let bar = ProgressBar::with_draw_target(None, standard_error::draw_target());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    let mut window: VecDeque<(Instant, u64)> = VecDeque::with_capacity(WINDOW + 1);
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
        let content = look();
        window.extend(content.counts.map(|counts| (Instant::now(), counts.operations)));
        if window.len() > WINDOW {
            window.pop_front();
        }
        bar.set_message(line(&content, rate(&window)));
        bar.tick();
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

fn line(content: &StageProgress, rate: f64) -> String {
    let mut line = content.stage.clone();
    line.extend(content.extent.iter().map(|extent| format!("  {extent}")));
    if let Some(counts) = content.counts {
        line += &format!("  {} ops/s", nonzero(rate, 0));
        if counts.failed > 0 {
            line += &format!("  {} failed", counts.failed);
        }
    }
    line
}

/// Returns the content of a line about a stage that has lasted this long.
fn content(stage: &ProgressStage, elapsed: Duration, totals: LiveTotals) -> StageProgress {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let of_clients =
        |done: u32, clients: u32| format!("{done} of {}", counted(clients.into(), "client"));
    let (extent, counts) = match stage {
        ProgressStage::Connecting { clients } => (of_clients(totals.connected, *clients), None),
        ProgressStage::Preparing { clients } => (of_clients(totals.prepared, *clients), None),
        ProgressStage::Phase { duration: Some(duration), .. } => {
            (format!("{} of {}", seconds(elapsed), seconds(*duration)), Some(totals))
        }
        _ => (seconds(elapsed), Some(totals)),
    };
    StageProgress { stage: name(stage), extent: Some(extent), counts }
}

/// Puts a comparison in the place of the totals.
fn comparing(content: StageProgress, comparison: &str) -> StageProgress {
    let extent = content.extent.unwrap_or_default();
    StageProgress { extent: Some(format!("{extent}  {comparison}")), counts: None, ..content }
}

fn name(stage: &ProgressStage) -> String {
    match stage {
        ProgressStage::Connecting { .. } => "connecting".into(),
        ProgressStage::Setup => "setup".into(),
        ProgressStage::Preparing { .. } => "preparing".into(),
        ProgressStage::Phase { name, .. } => printable(name, MAX_NAME_CHARS),
        ProgressStage::Draining => "draining".into(),
        ProgressStage::Teardown => "teardown".into(),
    }
}

fn describe(stage: &ProgressStage) -> String {
    match stage {
        ProgressStage::Connecting { clients } | ProgressStage::Preparing { clients } => {
            format!("{} {}", name(stage), counted((*clients).into(), "client"))
        }
        stage => name(stage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stage: &ProgressStage, totals: LiveTotals) -> String {
        line(&content(stage, Duration::from_millis(12_340), totals), 4_321.6)
    }

    #[test]
    fn the_line_says_what_matters_in_each_stage() {
        let totals = LiveTotals { operations: 9, failed: 0, connected: 512, prepared: 64 };
        assert_eq!(
            at(&ProgressStage::Connecting { clients: 5_000 }, totals),
            "connecting  512 of 5000 clients"
        );
        assert_eq!(
            at(&ProgressStage::Preparing { clients: 512 }, totals),
            "preparing  64 of 512 clients"
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
    fn a_comparison_takes_the_place_of_the_totals() {
        let stage = ProgressStage::Phase { name: "run".into(), duration: None };
        let content = content(&stage, Duration::from_millis(12_340), LiveTotals::default());
        let compared = comparing(content, "generation 2: …");
        assert_eq!(line(&compared, 4_321.6), "run  12.3 s  generation 2: …");
    }

    #[test]
    fn in_a_pipe_each_stage_says_how_far_it_is() {
        let totals = LiveTotals { operations: 9, failed: 2, connected: 3, prepared: 1 };
        let elapsed = Duration::from_millis(12_340);
        let said = |stage: &ProgressStage| {
            let StageProgress { stage, extent, counts } = content(stage, elapsed, totals);
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
        assert!(!progress.is_drawn);
        progress.stage(ProgressStage::Setup);
        drop(progress);
    }

    #[test]
    fn the_drawing_ends_with_its_sender() {
        let (sender, receiver) = channel();
        drop(sender);
        draw(&receiver, || content(&ProgressStage::Draining, TICK, LiveTotals::default()));
    }
}
