//! Brings operations from a source to the shards, a batch of one client at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use crate::backend::BackendCapabilities;
use crate::backend::connection::panic_message;
use crate::ir::{
    Feature, Need, Operation, OperationSource, Progress, Section, SourceError, StreamHeader,
};

/// A shard's way to its operations. A client has at most one request open, so
/// nothing here grows beyond the number of clients.
pub trait Feed {
    fn request(&mut self, request: Request);

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch>;
}

/// Asks for up to `max` of a client's next operations.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub slot: u32,
    pub client_idx: u32,
    pub section: Section,
    pub max: usize,
}

/// The answer to one request.
#[derive(Debug)]
pub struct Batch {
    pub slot: u32,
    pub section: Section,
    pub operations: Vec<Operation>,
    /// The section has no more for this client.
    pub ended: bool,
    /// The stream broke off after `operations`.
    pub error: Option<SourceError>,
}

impl Batch {
    fn broken(request: Request, message: String) -> Batch {
        Batch {
            slot: request.slot,
            section: request.section,
            operations: Vec::new(),
            ended: true,
            error: Some(SourceError { message, client: None }),
        }
    }
}

/// What the operations of a stream may ask of the backend.
#[derive(Clone)]
pub struct Allowed {
    pub capabilities: Arc<BackendCapabilities>,
    /// Go on without what the backend lacks, counting it.
    pub degrade: bool,
}

impl Allowed {
    /// # Errors
    /// What the backend lacks, which operation needs it, and what to do.
    pub fn check(&self, needs: impl IntoIterator<Item = Need>) -> Result<(), SourceError> {
        let optional = |feature: Feature| self.degrade && feature.mode() > 0;
        let lacking = |need: &Need| !self.capabilities.has(need.feature) && !optional(need.feature);
        let Some(Need { feature, whose }) = needs.into_iter().find(lacking) else {
            return Ok(());
        };
        let message = format!(
            "{whose} needs {}{}, which the {} backend does not have{}",
            feature.name(),
            if feature.mode() > 0 {
                format!(" (fidelity mode {})", feature.mode())
            } else {
                String::new()
            },
            self.capabilities.name,
            if feature.mode() > 0 {
                "; --degrade goes on without it"
            } else {
                "; another --target may have it"
            },
        );
        Err(SourceError { message, client: None })
    }

    fn check_operation(&self, operation: &Operation) -> Result<(), SourceError> {
        let need = |feature| Need { feature, whose: format!("operation {}", operation.op_id()) };
        self.check(Feature::needed_by(operation).into_iter().map(need))
    }
}

fn answer(source: &mut dyn OperationSource, allowed: &Allowed, request: Request) -> Batch {
    let mut operations = Vec::new();
    let pulled = source.pull(request.client_idx, request.section, request.max, &mut operations);
    let mut error = None;
    if let Some((at, refused)) = operations.iter().enumerate().find_map(|(at, operation)| {
        allowed.check_operation(operation).err().map(|error| (at, error))
    }) {
        operations.truncate(at);
        error = Some(refused);
    }
    let ended = match pulled {
        Ok(progress) => progress == Progress::End || error.is_some(),
        Err(broken) => {
            error.get_or_insert(broken);
            true
        }
    };
    // It becomes the client's queue as it is, and there are many clients.
    operations.shrink_to_fit();
    Batch { slot: request.slot, section: request.section, operations, ended, error }
}

/// A panic in the source is a broken stream: whoever waits for it must hear of it.
fn answer_or_panic(
    source: &mut dyn OperationSource,
    allowed: &Allowed,
    request: Request,
) -> Result<Batch, String> {
    catch_unwind(AssertUnwindSafe(|| answer(source, allowed, request))).map_err(|panic| {
        format!("making the operations panicked, a defect of smbench: {}", panic_message(&*panic))
    })
}

/// A source on the shard's own thread: what simulation runs on, where virtual
/// time stands still while the source works.
pub struct LocalFeed {
    source: Box<dyn OperationSource>,
    allowed: Allowed,
    answers: VecDeque<Batch>,
}

impl LocalFeed {
    pub fn new(source: Box<dyn OperationSource>, allowed: Allowed) -> LocalFeed {
        LocalFeed { source, allowed, answers: VecDeque::new() }
    }
}

impl Feed for LocalFeed {
    fn request(&mut self, request: Request) {
        self.answers.push_back(answer(&mut *self.source, &self.allowed, request));
    }

    fn poll_batch(&mut self, _: &mut Context<'_>) -> Poll<Batch> {
        match self.answers.pop_front() {
            Some(batch) => Poll::Ready(batch),
            None => Poll::Pending,
        }
    }
}

/// A source on a thread of its own, away from the timed path.
pub struct ThreadFeed {
    shard: usize,
    requests: std_mpsc::Sender<(usize, Request)>,
    batches: mpsc::UnboundedReceiver<Batch>,
}

/// A source built on its own thread, which has not been asked for operations yet.
pub struct SourceThread {
    serve: std_mpsc::Sender<Serve>,
}

struct Serve {
    allowed: Allowed,
    requests: std_mpsc::Receiver<(usize, Request)>,
    batches: Vec<mpsc::UnboundedSender<Batch>>,
}

type OpenError = Box<dyn std::error::Error + Send + Sync>;

impl SourceThread {
    /// Builds the source on a new thread, where it stays: a script's VM is not `Send`.
    ///
    /// # Errors
    /// Whatever `open` failed with, or that the thread could not be started.
    pub fn start(
        open: impl FnOnce() -> Result<Box<dyn OperationSource>, OpenError> + Send + 'static,
    ) -> Result<(StreamHeader, SourceThread), OpenError> {
        let (opened_tx, opened_rx) = std_mpsc::channel();
        let (serve, serve_rx) = std_mpsc::channel::<Serve>();
        let thread = std::thread::Builder::new().name("source".into()).spawn(move || {
            let mut source = match open() {
                Ok(source) => source,
                Err(error) => {
                    let _ = opened_tx.send(Err(error));
                    return;
                }
            };
            if opened_tx.send(Ok(source.header().clone())).is_err() {
                return;
            }
            let Ok(Serve { allowed, requests, batches }) = serve_rx.recv() else { return };
            let mut panicked = None;
            for (shard, request) in requests {
                let batch = match &panicked {
                    None => answer_or_panic(&mut *source, &allowed, request),
                    Some(message) => Err(String::clone(message)),
                };
                let batch = batch.unwrap_or_else(|message| {
                    panicked = Some(message.clone());
                    Batch::broken(request, message)
                });
                // A shard that is gone asks for nothing more; the others may.
                let _ = batches[shard].send(batch);
            }
        });
        thread?;
        let header =
            opened_rx.recv().map_err(|_| "the source's thread died while it was built")??;
        Ok((header, SourceThread { serve }))
    }

    /// One feed for each shard.
    pub fn serve(self, shards: usize, allowed: Allowed) -> Vec<ThreadFeed> {
        let (requests_tx, requests) = std_mpsc::channel();
        let mut batches = Vec::new();
        let mut feeds = Vec::new();
        for shard in 0..shards {
            let (tx, rx) = mpsc::unbounded_channel();
            batches.push(tx);
            feeds.push(ThreadFeed { shard, requests: requests_tx.clone(), batches: rx });
        }
        // The thread waits for this and, from then on, answers as long as there is a feed.
        let _ = self.serve.send(Serve { allowed, requests, batches });
        feeds
    }
}

impl Feed for ThreadFeed {
    fn request(&mut self, request: Request) {
        let _ = self.requests.send((self.shard, request));
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        match self.batches.poll_recv(cx) {
            Poll::Ready(Some(batch)) => Poll::Ready(batch),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    struct Panicking(StreamHeader);

    impl OperationSource for Panicking {
        fn header(&self) -> &StreamHeader {
            &self.0
        }

        fn pull(
            &mut self,
            _: u32,
            _: Section,
            _: usize,
            _: &mut Vec<Operation>,
        ) -> Result<Progress, SourceError> {
            panic!("index out of bounds")
        }
    }

    #[tokio::test]
    async fn a_source_that_panics_answers_every_request_with_an_error() {
        let capabilities = BackendCapabilities { name: "test", features: vec![], instant: false };
        let allowed = Allowed { capabilities: Arc::new(capabilities), degrade: false };
        let (_, source) =
            SourceThread::start(|| Ok(Box::new(Panicking(StreamHeader::default())))).unwrap();
        let mut feeds = source.serve(2, allowed);
        for feed in &mut feeds {
            for slot in 0..2 {
                let section = Section::Setup;
                feed.request(Request { slot, client_idx: slot, section, max: 8 });
            }
            for slot in 0..2 {
                let batch = poll_fn(|cx| feed.poll_batch(cx));
                let answered = tokio::time::timeout(Duration::from_secs(20), batch).await;
                let batch = answered.expect("a request is answered, whatever happens");
                assert_eq!((batch.slot, batch.ended), (slot, true));
                assert!(batch.error.unwrap().message.contains("index out of bounds"));
            }
        }
    }
}
