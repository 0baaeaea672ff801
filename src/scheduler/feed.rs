//! Feeds, which bring operations from a source to the shards, a batch of one client at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::batch::{Batch, BatchRequest};
use super::feature_gate::FeatureGate;
use crate::ir::event::FIRST_GENERATION;
use crate::ir::panic_message::panic_message;
use crate::ir::roster::ClientNumbers;
use crate::ir::{ClientPartition, OperationSource, Progress, SourceError, StreamHeader};

/// The way in which a shard gets its operations. A client has at most one request open in each
/// generation, so nothing here grows beyond their number.
pub trait Feed {
    fn request(&mut self, request: BatchRequest);

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch>;
}

/// The feeds of the generations that a shard's clients may be in.
pub struct Feeds(Vec<(u32, Box<dyn Feed>)>);

impl Feeds {
    /// Returns the feed of the first generation.
    pub fn new(feed: impl Feed + 'static) -> Feeds {
        Feeds(vec![(FIRST_GENERATION, Box::new(feed))])
    }

    pub(super) fn add(&mut self, generation: u32, feed: Box<dyn Feed>) {
        self.0.push((generation, feed));
    }

    /// Keeps the feeds of the generations that `keep` chooses. The sources of the others end when
    /// all shards have dropped theirs.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.0.retain(|(generation, _)| keep(*generation));
    }
}

impl Feed for Feeds {
    fn request(&mut self, request: BatchRequest) {
        let feed = self.0.iter_mut().find(|(generation, _)| *generation == request.generation);
        if let Some((_, feed)) = feed {
            feed.request(request);
        }
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        let mut polled = self.0.iter_mut().map(|(_, feed)| feed.poll_batch(cx));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    }
}

/// Answers a request with the next operations of `source`, as far as `gate` permits them. In the
/// source, the client has the number `in_stream`.
pub fn answer(
    source: &mut dyn OperationSource,
    gate: &FeatureGate,
    request: BatchRequest,
    in_stream: u32,
) -> Batch {
    let mut operations = Vec::new();
    let pulled = source.pull(in_stream, request.section, request.max, &mut operations);
    if in_stream != request.client_idx {
        for operation in &mut operations {
            operation.client_idx = request.client_idx;
        }
    }
    let mut error = None;
    if let Some((at, refused)) = operations
        .iter()
        .enumerate()
        .find_map(|(at, operation)| gate.check_operation(operation).err().map(|error| (at, error)))
    {
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
    // The vector becomes the client's queue as it is, and there are many clients.
    operations.shrink_to_fit();
    let BatchRequest { slot, section, generation, .. } = request;
    Batch { slot, section, generation, operations, ended, error }
}

/// Answers a request. A panic in the source breaks the stream, so that the shard that waits for the
/// batch gets an error.
fn answer_or_panic(
    source: &mut dyn OperationSource,
    gate: &FeatureGate,
    (request, in_stream): (BatchRequest, u32),
) -> Result<Batch, String> {
    let answer = || answer(source, gate, request, in_stream);
    catch_unwind(AssertUnwindSafe(answer)).map_err(|panic| {
        format!("making the operations panicked, a defect of smbench: {}", panic_message(&*panic))
    })
}

/// A feed from sources that run on threads of their own, away from the timed path.
pub struct ThreadFeed {
    shard: usize,
    workload_clients: u32,
    /// The numbers in the stream of the run's clients. None if they are the same.
    numbers: Option<Arc<ClientNumbers>>,
    /// The channels to the source of each part.
    requests: Vec<std_mpsc::Sender<Asked>>,
    batches: mpsc::UnboundedReceiver<Batch>,
    sections: Sections,
}

/// A request of the shard with this number, and the client's number in the stream.
type Asked = (usize, BatchRequest, u32);

/// The section of the stage in which each shard asked last. A shard no longer wants what it asked
/// for in an earlier stage and did not get, so that a cut does not wait until all of it is made.
type Sections = Arc<[AtomicU8]>;

/// The sources of one stream, each built on its own thread and with its part of
/// the clients. They have not been asked for operations yet.
pub struct SourceThreads {
    workload_clients: u32,
    parts: Vec<std_mpsc::Sender<Serve>>,
}

struct Serve {
    gate: FeatureGate,
    requests: std_mpsc::Receiver<Asked>,
    batches: Vec<mpsc::UnboundedSender<Batch>>,
    sections: Sections,
}

type OpenError = Box<dyn std::error::Error + Send + Sync>;
type Opened = Result<StreamHeader, OpenError>;
type Open = dyn Fn(ClientPartition) -> Result<Box<dyn OperationSource>, OpenError> + Send + Sync;

impl SourceThreads {
    /// Builds the first part's source on a new thread, and then those of the other parts.
    /// There are at most `most` parts, and at most as many as clients. Each source stays on
    /// its thread, because a script's VM is not `Send`.
    ///
    /// Returns the header of the first source, with the needs of the others added.
    ///
    /// # Errors
    /// The error of `open`, the failure to start a thread, or the first difference between the
    /// sources' headers.
    #[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
    pub fn start(
        most: u32,
        open: impl Fn(ClientPartition) -> Result<Box<dyn OperationSource>, OpenError>
        + Send
        + Sync
        + 'static,
    ) -> Result<(StreamHeader, SourceThreads), OpenError> {
        let open: Arc<Open> = Arc::new(open);
        let died = || OpenError::from("a source's thread died while it was built");
        let (first, opened) = start_one(open.clone(), ClientPartition { part: 0, of: most })?;
        let mut header = opened.recv().map_err(|_| died())??;
        let workload_clients = header.workload_clients();
        let of = ClientPartition { part: 0, of: most }.at_most(workload_clients).of;
        let mut parts = vec![first];
        let mut opening = Vec::new();
        for part in 1..of {
            let (serve, opened) = start_one(open.clone(), ClientPartition { part, of })?;
            parts.push(serve);
            opening.push(opened);
        }
        for opened in opening {
            let other = opened.recv().map_err(|_| died())??;
            if let Some(what) = header.difference(&other) {
                return Err(format!(
                    "{what} is not the same on every generator thread: a file was changed while the script was loaded, or its top level says something else each time it runs; --generators 1 runs it once"
                )
                .into());
            }
            header.add_needs(other.needs);
        }
        Ok((header, SourceThreads { workload_clients, parts }))
    }

    /// Returns the number of threads that make operations.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// Creates one feed for each shard. `numbers` are the numbers in the stream of the run's
    /// clients, unless they are the same.
    pub fn serve(
        self,
        shards: usize,
        gate: FeatureGate,
        numbers: Option<Arc<ClientNumbers>>,
    ) -> Vec<ThreadFeed> {
        let (batches_tx, batches): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::unbounded_channel()).unzip();
        let sections: Sections = (0..shards).map(|_| AtomicU8::new(0)).collect();
        let mut requests = Vec::with_capacity(self.parts.len());
        for serve in &self.parts {
            let (tx, rx) = std_mpsc::channel();
            requests.push(tx);
            let (gate, batches) = (gate.clone(), batches_tx.clone());
            let sections = sections.clone();
            // The thread waits for this message and, from then on, answers as long as there is
            // a feed.
            let _ = serve.send(Serve { gate, requests: rx, batches, sections });
        }
        let workload_clients = self.workload_clients;
        let feed = |(shard, batches)| {
            let (requests, sections) = (requests.clone(), sections.clone());
            let numbers = numbers.clone();
            ThreadFeed { shard, workload_clients, numbers, requests, batches, sections }
        };
        batches.into_iter().enumerate().map(feed).collect()
    }
}

/// Starts the thread of one part. Before it serves anything, it sends the header of its
/// source, or the error if the source cannot be opened.
#[expect(clippy::disallowed_methods, reason = "the thread makes operations and issues none")]
fn start_one(
    open: Arc<Open>,
    partition: ClientPartition,
) -> Result<(std_mpsc::Sender<Serve>, std_mpsc::Receiver<Opened>), OpenError> {
    let (opened_tx, opened) = std_mpsc::channel();
    let (serve, serve_rx) = std_mpsc::channel::<Serve>();
    let thread = std::thread::Builder::new().name(format!("source-{}", partition.part));
    thread.spawn(move || {
        let mut source = match open(partition) {
            Ok(source) => source,
            Err(error) => {
                let _ = opened_tx.send(Err(error));
                return;
            }
        };
        drop(open);
        if opened_tx.send(Ok(source.header().clone())).is_err() {
            return;
        }
        let Ok(serve) = serve_rx.recv() else { return };
        let Serve { gate, requests, batches, sections } = serve;
        let mut panicked = None;
        for (shard, request, in_stream) in requests {
            if sections[shard].load(Relaxed) > request.of_stage as u8 {
                continue;
            }
            let batch = match &panicked {
                None => answer_or_panic(&mut *source, &gate, (request, in_stream)),
                Some(message) => Err(String::clone(message)),
            };
            let batch = batch.unwrap_or_else(|message| {
                panicked = Some(message.clone());
                let BatchRequest { slot, section, generation, .. } = request;
                let error = Some(SourceError { message, client: None });
                Batch { slot, section, generation, operations: Vec::new(), ended: true, error }
            });
            // Sending fails if the shard is gone. The other shards may still ask.
            let _ = batches[shard].send(batch);
        }
    })?;
    Ok((serve, opened))
}

impl Feed for ThreadFeed {
    fn request(&mut self, request: BatchRequest) {
        let parts = self.requests.len() as u32;
        let numbers = self.numbers.as_ref();
        let in_stream = numbers
            .map_or(Some(request.client_idx), |numbers| numbers.in_stream(request.client_idx));
        // The engine asks for no client that the stream does not have.
        let in_stream = in_stream.unwrap_or(u32::MAX);
        let part = ClientPartition::part_of(in_stream, self.workload_clients, parts);
        self.sections[self.shard].store(request.of_stage as u8, Relaxed);
        let _ = self.requests[part as usize].send((self.shard, request, in_stream));
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        match self.batches.poll_recv(cx) {
            Poll::Ready(Some(batch)) => Poll::Ready(batch),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests' own threads may wait")]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;
    use crate::backend::BackendCapabilities;
    use crate::ir::{Operation, Section, Workload};

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

    /// Returns the header of a workload with two clients and the run-wide client.
    fn header() -> StreamHeader {
        let workloads = vec![Workload::new("w", 2)].into();
        StreamHeader { workloads, run_client: true, ..StreamHeader::default() }
    }

    fn gate() -> FeatureGate {
        let capabilities = BackendCapabilities { name: "test", features: vec![], instant: false };
        FeatureGate::new(capabilities, None, false)
    }

    async fn next(feed: &mut ThreadFeed) -> Batch {
        let batch = poll_fn(|cx| feed.poll_batch(cx));
        let answered = tokio::time::timeout(Duration::from_secs(20), batch).await;
        answered.expect("a request is answered, whatever happens")
    }

    fn request(slot: u32) -> BatchRequest {
        BatchRequest {
            slot,
            client_idx: slot,
            section: Section::Setup,
            max: 8,
            generation: FIRST_GENERATION,
            of_stage: Section::Setup,
        }
    }

    #[tokio::test]
    async fn a_source_that_panics_answers_every_request_with_an_error() {
        for generators in [1, 2] {
            let open = |_| Ok(Box::new(Panicking(header())) as Box<dyn OperationSource>);
            let (_, sources) = SourceThreads::start(generators, open).unwrap();
            for feed in &mut sources.serve(2, gate(), None) {
                let mut answered = Vec::new();
                for slot in [0, 1, 2, 0, 1] {
                    feed.request(request(slot));
                    let batch = next(feed).await;
                    assert!(batch.ended);
                    assert!(batch.error.unwrap().message.contains("index out of bounds"));
                    answered.push(batch.slot);
                }
                assert_eq!(answered, [0, 1, 2, 0, 1]);
            }
        }
    }

    /// A source that fails for every client and reports which part was asked.
    struct Part(ClientPartition, StreamHeader);

    impl OperationSource for Part {
        fn header(&self) -> &StreamHeader {
            &self.1
        }

        fn pull(
            &mut self,
            _: u32,
            _: Section,
            _: usize,
            _: &mut Vec<Operation>,
        ) -> Result<Progress, SourceError> {
            let ClientPartition { part, of } = self.0;
            Err(SourceError { message: format!("part {part} of {of}"), client: None })
        }
    }

    #[tokio::test]
    async fn a_client_is_asked_of_its_own_source_and_the_run_wide_one_of_the_first() {
        let open = |partition| Ok(Box::new(Part(partition, header())) as Box<dyn OperationSource>);
        let (_, sources) = SourceThreads::start(16, open).unwrap();
        assert_eq!(sources.count(), 2, "no more sources than clients");
        let mut feeds = sources.serve(1, gate(), None);
        for (slot, part) in [(0, "part 0 of 16"), (1, "part 1 of 2"), (2, "part 0 of 16")] {
            feeds[0].request(request(slot));
            assert_eq!(next(&mut feeds[0]).await.error.unwrap().message, part);
        }
    }

    /// A source that makes nothing until it is released. It reports what it was asked for.
    struct Slow(StreamHeader, std_mpsc::Receiver<()>, std_mpsc::Sender<(u32, Section)>);

    impl OperationSource for Slow {
        fn header(&self) -> &StreamHeader {
            &self.0
        }

        fn pull(
            &mut self,
            client: u32,
            section: Section,
            _: usize,
            _: &mut Vec<Operation>,
        ) -> Result<Progress, SourceError> {
            let _ = self.2.send((client, section));
            let _ = self.1.recv();
            Ok(Progress::End)
        }
    }

    #[tokio::test]
    async fn operations_requested_before_the_present_section_are_not_made_any_more() {
        let (go, wait) = std_mpsc::channel();
        let (tell, asked) = std_mpsc::channel();
        let slow = std::sync::Mutex::new(Some(Slow(header(), wait, tell)));
        let open = move |_| match slow.lock().unwrap().take() {
            Some(slow) => Ok(Box::new(slow) as Box<dyn OperationSource>),
            None => Err("opened once".into()),
        };
        let (_, sources) = SourceThreads::start(1, open).unwrap();
        let mut feed = sources.serve(1, gate(), None).remove(0);
        feed.request(request(0));
        assert_eq!(asked.recv().unwrap(), (0, Section::Setup));
        feed.request(request(1));
        feed.request(request(2));
        let of_stage = Section::Teardown;
        feed.request(BatchRequest { section: Section::Teardown, of_stage, ..request(2) });
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(next(&mut feed).await.section, Section::Setup, "was being made");
        assert_eq!(next(&mut feed).await.section, Section::Teardown);
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [(2, Section::Teardown)]);
    }

    #[test]
    fn sources_of_different_streams_are_refused_and_so_is_one_that_cannot_be_opened() {
        let open = |partition: ClientPartition| {
            let workloads = vec![Workload::new("w", 2 + partition.part)].into();
            let header = StreamHeader { workloads, ..StreamHeader::default() };
            Ok(Box::new(Part(partition, header)) as Box<dyn OperationSource>)
        };
        let message = SourceThreads::start(2, open).map(|_| ()).unwrap_err().to_string();
        assert!(message.starts_with("bench.workload is not the same on every"), "{message}");
        assert!(message.contains("--generators 1"), "{message}");
        let open = |partition: ClientPartition| match partition.part {
            0 => Ok(Box::new(Part(partition, header())) as Box<dyn OperationSource>),
            _ => Err("no room".into()),
        };
        assert_eq!(SourceThreads::start(2, open).map(|_| ()).unwrap_err().to_string(), "no room");
    }
}
