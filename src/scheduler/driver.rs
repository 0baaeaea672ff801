//! The driver of one shard's engine: it wakes the engine when something is due, carries out
//! the actions it asks for, and brings it their results.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::select;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::batch::Batch;
use super::client::{ClientSettings, ClientTask, Mailbox, Order, Report, Reports};
use super::clock::{Alarm, DriverClock};
use super::engine::{Action, EngineError};
use super::engine::{Engine, EngineConfig};
use super::feed::{Feed, Feeds};
use super::heartbeat::Heartbeat;
use super::permits::Permits;
use super::reload::{Reached, ReloadOrder, ShardLine, ShardReload};
use super::stage_coordinator::StageCoordinator;
use super::timeline::{CutReason, Orders, Stage, Timeline};
use crate::ir::{CompletionStatus, Event, EventSink, Section};

/// The number of turns of the loop after which the runtime gets its share even if there is work.
const TURNS_BETWEEN_YIELDS: u32 = 64;

/// The number of reports processed before their events are passed on. If all clients begin at
/// once, the events of all their reports would take more memory than the clients do.
const REPORTS_BETWEEN_PUBLISHING: usize = 256;

/// The longest time that the connections of a shard may take to end in good order.
const DISCONNECT_BOUND_NS: u64 = 1_000_000_000;

/// The parts that make up a shard.
pub struct Shard {
    pub index: usize,
    /// The numbers of its clients in the stream.
    pub clients: Vec<u32>,
    pub engine: Arc<EngineConfig>,
    pub permits: Arc<Permits>,
    pub coordinator: Arc<StageCoordinator>,
    pub client: Arc<ClientSettings>,
    pub clock: Arc<dyn DriverClock>,
    pub feed: Feeds,
    /// The line to what reloads the stream, if it may be reloaded.
    pub reloads: Option<ShardLine>,
}

/// The driver of a [`Shard`], from connecting to disconnecting.
pub struct Driver<'sink> {
    shard: Shard,
    engine: Engine,
    sink: &'sink mut dyn EventSink,
    mailboxes: Vec<Rc<Mailbox>>,
    tasks: FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>,
    reports: Reports,
    alarm: Box<dyn Alarm>,
    /// The heartbeat, while the shard measures in real time.
    heartbeat: Option<Heartbeat>,
    /// The time of the wake that was rehearsed last.
    rehearsed_ns: Option<u64>,
    stage: Stage,
    give_up_ns: Option<u64>,
    /// The number of clients that still have to connect.
    connecting: usize,
    arrived: bool,
    /// The generation that is prepared, until it begins or is withdrawn.
    preparing: Option<Preparing>,
    /// The generation that clients move to, until all have.
    settling: Option<u32>,
}

/// A generation whose first operations are being made.
struct Preparing {
    attempt: u64,
    generation: u32,
    client: Arc<ClientSettings>,
    reported: bool,
}

impl<'sink> Driver<'sink> {
    /// Creates the driver. Must be called where it will run, because real timers belong to a
    /// runtime.
    pub fn new(shard: Shard, sink: &'sink mut dyn EventSink) -> Driver<'sink> {
        let engine =
            Engine::new(shard.engine.clone(), shard.permits.clone(), shard.index, &shard.clients);
        let reports: Reports = Rc::new(RefCell::new(VecDeque::new()));
        let tasks = FuturesUnordered::new();
        let mailboxes = Vec::with_capacity(shard.clients.len());
        let settings = shard.client.clone();
        let mut driver = Driver {
            engine,
            sink,
            mailboxes,
            tasks,
            reports,
            alarm: shard.clock.alarm(),
            heartbeat: None,
            rehearsed_ns: None,
            stage: Stage::Connect,
            give_up_ns: None,
            connecting: shard.clients.len(),
            arrived: false,
            preparing: None,
            settling: None,
            shard,
        };
        for slot in 0..driver.shard.clients.len() as u32 {
            driver.start_client(slot, settings.clone());
        }
        driver
    }

    /// Starts the task of a client, which connects.
    fn start_client(&mut self, slot: u32, settings: Arc<ClientSettings>) {
        let mailbox = Rc::new(Mailbox::default());
        let at = slot as usize;
        self.mailboxes.resize_with(self.mailboxes.len().max(at + 1), Rc::default);
        self.mailboxes[at] = mailbox.clone();
        let client_idx = self.engine.client_idx(slot);
        let task = ClientTask::new(slot, client_idx, settings, mailbox, self.reports.clone());
        self.tasks.push(Box::pin(task.run()) as Pin<Box<dyn Future<Output = ()>>>);
    }

    /// Runs the shard. Returns when the run has finished for every shard and this one has
    /// disconnected.
    ///
    /// # Errors
    /// [`EngineError`] for a defect of this program, such as a completion that does not match what
    /// is in flight. The results of the run cannot be trusted.
    pub async fn run(mut self) -> Result<(), EngineError> {
        let mut orders = self.shard.coordinator.subscribe();
        // Another shard may have ended the run before this one began to listen.
        orders.mark_changed();
        let mut turns = 0_u32;
        loop {
            if orders.has_changed().unwrap_or(false) {
                let latest = orders.borrow_and_update().orders.clone();
                self.follow(&latest);
            }
            if self.stage == Stage::Finished {
                break;
            }
            self.turn()?;
            self.wait(&mut orders).await?;
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_BETWEEN_YIELDS) {
                yield_now().await;
            }
        }
        self.disconnect().await;
        Ok(())
    }

    fn follow(&mut self, orders: &Orders) {
        if orders.stage != self.stage {
            self.stage = orders.stage;
            self.arrived = false;
            self.engine.enter(orders.stage, orders.origin_ns);
            let alarm = self.shard.clock.heartbeat_alarm();
            let alarm = alarm.filter(|_| orders.stage == Stage::Measure);
            self.heartbeat = alarm.map(|alarm| Heartbeat::start(alarm, orders.origin_ns));
        }
        self.give_up_ns = orders.give_up_ns;
        if orders.cut {
            self.engine.cut(self.shard.clock.now_ns());
            if self.stage == Stage::Connect {
                self.tasks.clear();
                self.connecting = 0;
            }
        }
    }

    /// Does everything that can be done now.
    fn turn(&mut self) -> Result<(), EngineError> {
        let mut processed = 0_usize;
        loop {
            let Some((slot, report)) = self.reports.borrow_mut().pop_front() else { break };
            self.process_report(slot, report)?;
            processed += 1;
            if processed.is_multiple_of(REPORTS_BETWEEN_PUBLISHING) {
                self.publish();
            }
        }
        let now_ns = self.shard.clock.now_ns();
        if self.engine.was_cut() {
            self.heartbeat = None;
        }
        if let Some(late_ns) = self.heartbeat.as_mut().and_then(|beats| beats.beat(now_ns)) {
            let phase = self.engine.phase_at(now_ns.saturating_sub(late_ns));
            self.sink.event(Event::Heartbeat { phase, late_ns });
        }
        if self.give_up_ns.is_some_and(|give_up_ns| now_ns >= give_up_ns) {
            self.give_up(now_ns);
        }
        while let Some(action) = self.engine.poll(now_ns) {
            self.act(action);
        }
        self.publish();
        self.report_reload();
        let done = match self.stage {
            Stage::Connect => self.connecting == 0,
            _ => self.engine.stage_done(),
        };
        if done && !self.arrived {
            self.arrived = true;
            self.engine.end_stage();
            self.shard.coordinator.arrive(self.stage);
        }
        Ok(())
    }

    /// Passes the engine's events on to the sink. Cuts the run if an operation of setup failed.
    fn publish(&mut self) {
        for event in self.engine.drain_events() {
            // Later, it is one client that cannot join.
            if self.stage < Stage::Measure && setup_failed(&event) {
                self.shard.coordinator.cut(CutReason::SetupFailed);
            }
            self.sink.event(event);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Issue { slot, operation } => {
                self.mailboxes[slot as usize].put(Order::Execute(operation));
            }
            Action::Pull(request) => self.shard.feed.request(request),
            Action::Expire { slot, seq } => self.mailboxes[slot as usize].expire(seq),
            Action::Close { slot } => self.mailboxes[slot as usize].put(Order::CloseAll),
            Action::Connect { slot } => {
                let settings = self.shard.client.clone();
                self.start_client(slot, settings);
            }
            Action::Disconnect { slot } => self.mailboxes[slot as usize].put(Order::Disconnect),
        }
    }

    /// Follows an order about a generation of the stream.
    fn reload(&mut self, order: ReloadOrder) {
        match order {
            ReloadOrder::Prepare(reload) => {
                let ShardReload { attempt, generation, feed, client } = *reload;
                let number = generation.number;
                // All clients of this shard may have left or ended, and others go on.
                if self.arrived && self.shard.coordinator.resume(self.stage) {
                    self.arrived = false;
                    self.engine.resume_stage();
                }
                self.shard.feed.add(number, feed);
                self.engine.prepare(generation);
                self.preparing =
                    Some(Preparing { attempt, generation: number, client, reported: false });
            }
            ReloadOrder::Begin { generation, times } => {
                self.engine.begin(generation, times);
                if let Some(prepared) = self.preparing.take() {
                    self.shard.client = prepared.client;
                }
                self.settling = Some(generation);
            }
            ReloadOrder::Withdraw { generation } => {
                self.engine.withdraw(generation);
                self.shard.feed.retain(|kept| kept != generation);
                self.preparing = None;
            }
        }
    }

    /// Reports how far the generations that come have come.
    fn report_reload(&mut self) {
        let Some(line) = &self.shard.reloads else { return };
        let shard = self.shard.index;
        if let Some(preparing) = self.preparing.as_mut().filter(|it| !it.reported)
            && let Some(fetched) = self.engine.fetched()
        {
            preparing.reported = true;
            line.report(
                shard,
                preparing.generation,
                Reached::Fetched { attempt: preparing.attempt, result: fetched },
            );
        }
        let Some(generation) = self.settling else { return };
        let cut = self.engine.take_cut_late();
        if cut > 0 {
            line.report(shard, generation, Reached::Cut(cut));
        }
        if self.engine.has_settled(generation) {
            line.report(shard, generation, Reached::Settled);
            self.settling = None;
            self.engine.settle(generation);
            self.shard.feed.retain(|kept| kept >= generation);
        }
    }

    fn process_report(&mut self, slot: u32, report: Report) -> Result<(), EngineError> {
        let client_idx = self.engine.client_idx(slot);
        match report {
            Report::Connected => {
                self.connecting = self.connecting.saturating_sub(1);
                self.sink.event(Event::Connected { client_idx });
                self.engine.joined(slot, self.shard.clock.now_ns());
            }
            Report::ConnectFailed(error) if self.stage == Stage::Connect => {
                self.shard.coordinator.cut(CutReason::Connect(error.to_string()));
            }
            Report::ConnectFailed(error) => self.client_failed(slot, error.to_string()),
            Report::Executed { seq, attempt, connection_lost } => {
                self.engine.complete(slot, seq, attempt, connection_lost)?;
            }
            Report::Withheld { seq } => {
                self.engine.withheld(slot, seq, self.shard.clock.now_ns())?;
            }
            Report::Blocked { seq } => {
                self.engine.blocked(slot, seq, self.shard.clock.now_ns())?;
            }
            Report::Unblocked { seq, ended_ns } => self.engine.unblocked(slot, seq, ended_ns),
            Report::Break(event) => self.engine.break_ended(event),
            Report::Resumed { after } => {
                self.sink.event(Event::Reconnected { client_idx, after });
                self.engine.resume(slot, self.shard.clock.now_ns());
            }
            Report::Gone { reason } => self.client_failed(slot, reason),
            Report::Closed { closed, failed } => {
                let now_ns = self.shard.clock.now_ns();
                let moves = self.engine.closed(slot, now_ns, (closed, failed))?;
                if closed + failed > 0 && !moves {
                    self.sink.event(Event::Cleanup { client_idx, closed, failed });
                }
            }
        }
        Ok(())
    }

    /// Ends a client that has no connection any more, or did not get one.
    fn client_failed(&mut self, slot: u32, reason: String) {
        let client_idx = self.engine.client_idx(slot);
        self.engine.lose(slot, self.shard.clock.now_ns());
        // The client's last operation may have completed in this same turn.
        self.publish();
        let measuring = self.stage == Stage::Measure && !self.engine.was_cut();
        self.sink.event(Event::ClientFailed { client_idx, measuring, reason });
    }

    fn take_batch(&mut self, batch: Batch) -> Result<(), EngineError> {
        let counts = self.engine.breaks_off(&batch);
        let broke_off = batch
            .error
            .as_ref()
            .filter(|_| counts)
            .map(|error| CutReason::Source(error.to_string()));
        self.engine.operations(batch, self.shard.clock.now_ns())?;
        if let Some(reason) = broke_off {
            self.shard.coordinator.cut(reason);
        }
        Ok(())
    }

    /// Drops the clients that still run at the end of the drain, with their connections.
    fn give_up(&mut self, now_ns: u64) {
        self.give_up_ns = None;
        let clients = self.engine.unfinished();
        if clients > 0 {
            let measuring = self.stage == Stage::Measure && self.engine.has_in_flight();
            self.sink.event(Event::GaveUp { clients, measuring });
        }
        self.engine.abandon(now_ns);
        self.drop_tasks();
        self.connecting = 0;
    }

    /// Drops the client tasks. Of what they still report, only breaks count.
    fn drop_tasks(&mut self) {
        self.tasks.clear();
        let reports = std::mem::take(&mut *self.reports.borrow_mut());
        for (_, report) in reports {
            if let Report::Break(event) = report {
                self.engine.break_ended(event);
            }
        }
        self.publish();
    }

    /// Waits until a task has reported, a batch has arrived, the orders have changed, a permit
    /// was handed over, or a timer is due, whichever comes first.
    async fn wait(&mut self, orders: &mut watch::Receiver<Timeline>) -> Result<(), EngineError> {
        let wake_ns = [self.engine.next_wake_ns(), self.give_up_ns].into_iter().flatten().min();
        let (tasks, reports) = (&mut self.tasks, &self.reports);
        let (feed, alarm) = (&mut self.shard.feed, &mut self.alarm);
        let reloads = &mut self.shard.reloads;
        let watched = reloads.is_some() && self.stage == Stage::Measure;
        let beats = self.heartbeat.is_some();
        let beat = poll_fn(|cx| match &mut self.heartbeat {
            Some(heartbeat) => heartbeat.poll(cx),
            None => Poll::Pending,
        });
        let due = poll_fn(|cx| {
            let ended = alarm.poll_until(wake_ns.unwrap_or(u64::MAX), cx);
            if ended.is_pending() && alarm.is_near() && self.rehearsed_ns != wake_ns {
                self.rehearsed_ns = wake_ns;
                // This ends the wait for a turn that only rehearses: an issue whose memory was
                // not used for a millisecond takes 5 µs, one that was rehearsed 1.5 µs.
                if let Some(slot) = self.engine.rehearse() {
                    self.mailboxes[slot as usize].wake();
                }
                return Poll::Ready(());
            }
            ended
        });
        let reported = poll_fn(|cx| {
            while let Poll::Ready(Some(())) = tasks.poll_next_unpin(cx) {}
            if reports.borrow().is_empty() { Poll::Pending } else { Poll::Ready(()) }
        });
        let reload = poll_fn(|cx| match reloads {
            Some(line) => line.orders.poll_recv(cx),
            None => Poll::Pending,
        });
        let (mut batch, mut order) = (None, None);
        tokio::select! {
            biased;
            fetched = poll_fn(|cx| feed.poll_batch(cx)) => batch = Some(fetched),
            () = reported => {}
            _ = orders.changed() => orders.mark_changed(),
            Some(next) = reload, if watched => order = Some(next),
            () = self.shard.permits.granted(self.shard.index),
                if self.shard.permits.is_bounded() => {}
            () = due, if wake_ns.is_some() => {}
            () = beat, if beats => {}
        }
        if let Some(batch) = batch {
            self.take_batch(batch)?;
        }
        if let Some(order) = order {
            self.reload(order);
        }
        Ok(())
    }

    async fn disconnect(mut self) {
        for mailbox in &self.mailboxes {
            mailbox.put(Order::Disconnect);
        }
        // After an abort, operations may still be in flight, and their tasks do not listen for
        // orders.
        let clock = &self.shard.clock;
        let bound = clock.sleep_until(clock.now_ns().saturating_add(DISCONNECT_BOUND_NS));
        let disconnected = async { while self.tasks.next().await.is_some() {} };
        select(pin!(disconnected), bound).await;
        self.drop_tasks();
    }
}

fn setup_failed(event: &Event) -> bool {
    matches!(event, Event::Completed(completion)
        if completion.operation.section == Section::Setup
            && matches!(completion.execution.status, CompletionStatus::Failed(_)))
}

/// Yields, so that the runtime serves its sockets and timers.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
