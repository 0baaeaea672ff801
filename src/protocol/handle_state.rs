//! The state machine of one holder of caching: one open with an oplock, or all opens of one lease.
//! The server takes back its grants in breaks, one after the other, and each break ends exactly
//! once.
//!
//! The state machine has no clock and no side effects: the caller reports what happened, and asks
//! whether operations wait, what to answer and when to give up.

use std::collections::VecDeque;

use super::break_policy::SERVER_BREAK_TIMEOUT_NS;
use super::caching::{Acknowledgement, Break, Granted, LeaseState};
use super::create::OplockLevel;

/// The most breaks pending at a time. A lease loses at most three rights, each once, before it is
/// granted any of them again.
pub const MOST_PENDING: usize = 8;

/// One holder of caching: an open with an oplock, or a client's lease of one
/// key with all its opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleState {
    held: Held,
    /// The epoch of the lease as last received (MS-SMB2 3.2.5.19.2); 0 if there is none.
    epoch: u16,
    /// The pending breaks, in order. Only the first one can be answered now.
    pending: VecDeque<PendingBreak>,
    broken: bool,
    closed: bool,
}

/// The phase of a holder between its grant and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandlePhase {
    /// The holder has the rights that it was granted.
    Open,
    /// The server waits for an answer, and operations wait with it.
    BreakPending,
    /// The holder has the rights that a break left.
    Broken,
    Closed,
}

/// A break that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingBreak {
    pub notice: Break,
    pub noticed_ns: u64,
    /// The time at which the answer was sent; None before that.
    pub acknowledged_ns: Option<u64>,
}

/// The meaning of a notice for its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// The server wants no answer, so the break has ended.
    NotAsked,
    /// The break must be answered now.
    Pending,
    /// The break must be answered when the previous break has ended.
    Queued,
    /// The notice was dropped: the holder is closed, or has too many breaks pending.
    Dropped,
}

/// The outcome of the current break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakOutcome {
    Acknowledged,
    Refused,
    /// The server gave up on the answer, and took everything back (MS-SMB2 3.3.6.1 and 3.3.6.5).
    TimedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// An oplock: None, II, Exclusive or Batch.
    Oplock(OplockLevel),
    Lease(LeaseState),
}

impl Held {
    fn of(granted: &Granted) -> Option<Held> {
        match (granted.lease, granted.oplock) {
            (Some(lease), _) => Some(Held::Lease(lease.state)),
            (None, OplockLevel::None | OplockLevel::Lease) => None,
            (None, level) => Some(Held::Oplock(level)),
        }
    }

    /// Returns what remains when the server leaves at most what `notice` says.
    fn within(self, notice: &Break) -> Held {
        match (self, notice) {
            (Held::Oplock(level), Break::Oplock(to)) => {
                Held::Oplock(if (to.level as u8) < level as u8 { to.level } else { level })
            }
            (Held::Lease(state), Break::Lease(to)) => Held::Lease((state & to.new).legal()),
            (held, _) => held,
        }
    }

    fn nothing(self) -> Held {
        match self {
            Held::Oplock(_) => Held::Oplock(OplockLevel::None),
            Held::Lease(_) => Held::Lease(LeaseState::NONE),
        }
    }

    /// Returns whether a break of it is acknowledged (MS-SMB2 2.2.24.1 and 2.2.23.2).
    fn acknowledges(self, notice: &Break) -> bool {
        match (self, notice) {
            (_, Break::Lease(to)) => to.acknowledgement_required,
            (Held::Oplock(level), _) => {
                matches!(level, OplockLevel::Exclusive | OplockLevel::Batch)
            }
            (Held::Lease(_), Break::Oplock(_)) => false,
        }
    }

    fn caches_writes(self) -> bool {
        match self {
            Held::Oplock(level) => matches!(level, OplockLevel::Exclusive | OplockLevel::Batch),
            Held::Lease(state) => state.contains(LeaseState::W),
        }
    }
}

impl Granted {
    /// Returns whether the grant can be broken, now or after a later open of the same lease.
    pub fn can_be_broken(&self) -> bool {
        Held::of(self).is_some()
    }
}

impl HandleState {
    /// Creates the state of a new holder. Returns None if nothing was granted that can be broken. A
    /// lease without rights counts too: a later open may be granted some, which can then be broken.
    pub fn new(granted: &Granted) -> Option<HandleState> {
        Some(HandleState {
            held: Held::of(granted)?,
            epoch: granted.lease.map_or(0, |lease| lease.epoch),
            pending: VecDeque::new(),
            broken: false,
            closed: false,
        })
    }

    pub fn phase(&self) -> HandlePhase {
        match (self.closed, self.pending.is_empty(), self.broken) {
            (true, ..) => HandlePhase::Closed,
            (_, false, _) => HandlePhase::BreakPending,
            (.., true) => HandlePhase::Broken,
            _ => HandlePhase::Open,
        }
    }

    /// Returns whether operations must wait for the end of a break.
    pub fn blocks(&self) -> bool {
        self.phase() == HandlePhase::BreakPending
    }

    /// Returns the current break.
    pub fn pending(&self) -> Option<&PendingBreak> {
        self.pending.front()
    }

    /// Returns the answer to the current break, unless it was sent already.
    pub fn answer(&self) -> Option<Acknowledgement> {
        let pending = self.pending().filter(|pending| pending.acknowledged_ns.is_none())?;
        Some(pending.notice.acknowledgement())
    }

    /// Returns the time at which the server gives up on the current break, and operations continue.
    pub fn gives_up_ns(&self) -> Option<u64> {
        Some(self.pending()?.noticed_ns.saturating_add(SERVER_BREAK_TIMEOUT_NS))
    }

    /// Returns whether the client may hold cached writes, which an answer to the current break
    /// would give up.
    pub fn caches_writes(&self) -> bool {
        self.held.caches_writes()
    }

    /// Records a break notice of the server.
    pub fn notice(&mut self, notice: Break, now_ns: u64) -> Noticed {
        if self.closed {
            return Noticed::Dropped;
        }
        // The caching left once the breaks before this one have been answered.
        let held = self.pending.iter().fold(self.held, |held, before| held.within(&before.notice));
        if !held.acknowledges(&notice) {
            self.note_epoch(&notice);
            (self.held, self.broken) = (self.held.within(&notice), true);
            return Noticed::NotAsked;
        }
        if self.pending.len() == MOST_PENDING {
            return Noticed::Dropped;
        }
        self.note_epoch(&notice);
        let pending = PendingBreak { notice, noticed_ns: now_ns, acknowledged_ns: None };
        self.pending.push_back(pending);
        if self.pending.len() == 1 { Noticed::Pending } else { Noticed::Queued }
    }

    /// Records that the answer to the current break was sent.
    pub fn acknowledged(&mut self, now_ns: u64) {
        if let Some(pending) = self.pending.front_mut() {
            pending.acknowledged_ns.get_or_insert(now_ns);
        }
    }

    /// Ends the current break and returns it. The next pending break, if any, becomes the current
    /// one.
    pub fn end(&mut self, outcome: BreakOutcome) -> Option<PendingBreak> {
        let over = self.pending.pop_front()?;
        self.broken = true;
        self.held = match outcome {
            BreakOutcome::Acknowledged | BreakOutcome::Refused => self.held.within(&over.notice),
            BreakOutcome::TimedOut => self.held.nothing(),
        };
        Some(over)
    }

    /// Records the grant of another open of the lease, which may be more than before (MS-SMB2
    /// 3.2.5.7). A grant that a break has overtaken is ignored.
    pub fn regranted(&mut self, granted: &Granted) {
        let Some(lease) = granted.lease else { return };
        let older = (lease.epoch.wrapping_sub(self.epoch) as i16) < 0;
        if self.closed || lease.breaking || older || !self.pending.is_empty() {
            return;
        }
        let state = Held::Lease(lease.state);
        self.epoch = lease.epoch;
        if state != self.held {
            (self.held, self.broken) = (state, false);
        }
    }

    /// Records that the last open was closed, or lost with its connection. Returns the breaks that
    /// were pending, in the order in which they came; they end with the holder.
    pub fn closed(&mut self) -> VecDeque<PendingBreak> {
        self.closed = true;
        self.held = self.held.nothing();
        std::mem::take(&mut self.pending)
    }

    fn note_epoch(&mut self, notice: &Break) {
        if let Break::Lease(lease) = notice
            && (lease.epoch.wrapping_sub(self.epoch) as i16) > 0
        {
            self.epoch = lease.epoch;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::caching::{CreateAction, FileId, GrantedLease, LeaseBreak, OplockBreak};
    use super::*;

    const FILE: FileId = FileId { persistent: 1, volatile: 2 };
    const KEY: [u8; 16] = [7; 16];

    fn oplock(level: OplockLevel) -> Granted {
        Granted {
            file_id: FILE,
            disk_file_id: None,
            action: CreateAction::Opened,
            oplock: level,
            lease: None,
            durable: None,
        }
    }

    fn lease(state: LeaseState, epoch: u16) -> Granted {
        let lease = GrantedLease { key: KEY, state, breaking: false, parent_key: None, epoch };
        Granted { lease: Some(lease), ..oplock(OplockLevel::Lease) }
    }

    fn oplock_break(level: OplockLevel) -> Break {
        Break::Oplock(OplockBreak { file_id: FILE, level })
    }

    fn lease_break(current: LeaseState, new: LeaseState, epoch: u16, asked: bool) -> Break {
        let acknowledgement_required = asked;
        Break::Lease(LeaseBreak { key: KEY, current, new, epoch, acknowledgement_required })
    }

    fn holding(granted: &Granted) -> HandleState {
        HandleState::new(granted).unwrap()
    }

    #[test]
    fn an_open_without_a_grant_has_nothing_to_break() {
        assert_eq!(HandleState::new(&oplock(OplockLevel::None)), None);
        assert!(HandleState::new(&lease(LeaseState::NONE, 1)).is_some());
    }

    #[test]
    fn exclusive_and_batch_are_answered_and_level_ii_is_not() {
        for (level, noticed) in [
            (OplockLevel::II, Noticed::NotAsked),
            (OplockLevel::Exclusive, Noticed::Pending),
            (OplockLevel::Batch, Noticed::Pending),
        ] {
            let mut state = holding(&oplock(level));
            assert_eq!(state.notice(oplock_break(OplockLevel::None), 5), noticed, "{level:?}");
            assert_eq!(state.blocks(), noticed == Noticed::Pending);
        }
    }

    #[test]
    fn a_batch_oplock_goes_to_level_ii_and_from_there_unanswered_to_none() {
        let mut state = holding(&oplock(OplockLevel::Batch));
        assert!(state.caches_writes());
        state.notice(oplock_break(OplockLevel::II), 5);
        let answer = Acknowledgement::Oplock { file_id: FILE, level: OplockLevel::II };
        assert_eq!(state.answer(), Some(answer));
        state.acknowledged(7);
        assert_eq!((state.answer(), state.blocks()), (None, true));
        let over = state.end(BreakOutcome::Acknowledged).unwrap();
        assert_eq!((over.noticed_ns, over.acknowledged_ns), (5, Some(7)));
        assert_eq!((state.phase(), state.caches_writes()), (HandlePhase::Broken, false));
        assert_eq!(state.notice(oplock_break(OplockLevel::None), 9), Noticed::NotAsked);
    }

    #[test]
    fn a_notice_that_comes_before_the_end_of_the_one_before_waits_for_it() {
        let mut state = holding(&lease(LeaseState::RWH, 1));
        let (first, second) = (
            lease_break(LeaseState::RWH, LeaseState::RH, 2, true),
            lease_break(LeaseState::RH, LeaseState::R, 3, true),
        );
        assert_eq!(state.notice(first, 5), Noticed::Pending);
        assert_eq!(state.notice(second, 6), Noticed::Queued);
        assert_eq!(state.end(BreakOutcome::Acknowledged).unwrap().notice, first);
        assert_eq!(state.answer(), Some(second.acknowledgement()));
        assert_eq!(state.gives_up_ns(), Some(6 + SERVER_BREAK_TIMEOUT_NS));
        assert_eq!(state.end(BreakOutcome::Acknowledged).unwrap().notice, second);
        assert_eq!(state.phase(), HandlePhase::Broken);
    }

    #[test]
    fn a_lease_that_gets_more_is_open_again_but_not_by_an_answer_a_break_overtook() {
        let mut state = holding(&lease(LeaseState::R, 1));
        state.regranted(&lease(LeaseState::RWH, 2));
        assert!(state.caches_writes());
        state.notice(lease_break(LeaseState::RWH, LeaseState::RH, 3, true), 5);
        state.regranted(&lease(LeaseState::RWH, 4));
        state.end(BreakOutcome::Acknowledged);
        assert!(!state.caches_writes(), "it was pending");
        state.regranted(&lease(LeaseState::RWH, 2));
        assert_eq!((state.phase(), state.caches_writes()), (HandlePhase::Broken, false));
        state.regranted(&lease(LeaseState::RWH, 4));
        assert_eq!((state.phase(), state.caches_writes()), (HandlePhase::Open, true));
    }

    #[test]
    fn an_epoch_that_has_gone_round_is_newer() {
        let mut state = holding(&lease(LeaseState::R, u16::MAX));
        state.regranted(&lease(LeaseState::RWH, 0));
        assert!(state.caches_writes());
    }

    #[test]
    fn a_server_that_breaks_without_end_is_not_listened_to_without_end() {
        let mut state = holding(&lease(LeaseState::RWH, 0));
        let notice = lease_break(LeaseState::RWH, LeaseState::RH, 0, true);
        let dropped = (0..MOST_PENDING + 3)
            .filter(|number| state.notice(notice, *number as u64) == Noticed::Dropped);
        assert_eq!(dropped.count(), 3);
    }

    /// Everything that can happen to a holder.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Notice(Break),
        Acknowledge,
        End(BreakOutcome),
        Regrant(LeaseState),
        Close,
    }

    /// Goes through every sequence of `length` steps, and checks the state after each step.
    fn explore(granted: &Granted, steps: &[Step], length: u32) {
        let sequences = (steps.len() as u64).pow(length);
        for sequence in 0..sequences {
            let mut state = holding(granted);
            let (mut noticed, mut ended, mut closed) = (Vec::new(), Vec::new(), false);
            let mut rest = sequence;
            for now_ns in 0..u64::from(length) {
                let step = steps[(rest % steps.len() as u64) as usize];
                rest /= steps.len() as u64;
                let before = state.clone();
                match step {
                    Step::Notice(notice) => match state.notice(notice, now_ns) {
                        Noticed::NotAsked => {
                            assert_eq!(state.pending, before.pending);
                        }
                        Noticed::Pending => {
                            assert!(!before.blocks() && state.blocks());
                            noticed.push(now_ns);
                        }
                        Noticed::Queued => {
                            assert!(before.blocks());
                            assert_eq!(state.pending(), before.pending());
                            noticed.push(now_ns);
                        }
                        Noticed::Dropped => assert!(closed),
                    },
                    Step::Acknowledge => {
                        state.acknowledged(now_ns);
                        assert_eq!(state.answer(), None, "answered twice");
                        assert_eq!(state.blocks(), before.blocks(), "over before the server says");
                    }
                    Step::End(outcome) => {
                        let over = state.end(outcome);
                        assert_eq!(over.as_ref(), before.pending());
                        ended.extend(over.map(|over| over.noticed_ns));
                    }
                    Step::Regrant(to) => {
                        state.regranted(&lease(to, 0));
                        assert_eq!(state.pending, before.pending);
                        if before.blocks() || closed {
                            assert_eq!(state, before);
                        }
                    }
                    Step::Close => {
                        closed = true;
                        ended.extend(state.closed().iter().map(|over| over.noticed_ns));
                        assert_eq!(state.phase(), HandlePhase::Closed);
                    }
                }
                if !matches!(step, Step::Regrant(_)) {
                    assert!(no_more(state.held, before.held), "{before:?} {step:?} {state:?}");
                }
                assert_eq!(state.blocks(), noticed.len() > ended.len());
                assert_eq!(state.gives_up_ns().is_some(), state.blocks());
                assert!(!closed || state.phase() == HandlePhase::Closed);
            }
            ended.extend(state.closed().iter().map(|over| over.noticed_ns));
            assert_eq!(ended, noticed, "each break ends once, in the order they came");
        }
    }

    fn no_more(after: Held, before: Held) -> bool {
        match (after, before) {
            (Held::Oplock(after), Held::Oplock(before)) => after as u8 <= before as u8,
            (Held::Lease(after), Held::Lease(before)) => before.contains(after),
            _ => false,
        }
    }

    const ENDS: [Step; 5] = [
        Step::Acknowledge,
        Step::End(BreakOutcome::Acknowledged),
        Step::End(BreakOutcome::Refused),
        Step::End(BreakOutcome::TimedOut),
        Step::Close,
    ];

    #[test]
    fn whatever_happens_to_an_oplock_each_of_its_breaks_has_one_end() {
        let notices = [OplockLevel::II, OplockLevel::None].map(oplock_break).map(Step::Notice);
        let steps: Vec<Step> = notices.into_iter().chain(ENDS).collect();
        for level in [OplockLevel::II, OplockLevel::Exclusive, OplockLevel::Batch] {
            explore(&oplock(level), &steps, 6);
        }
    }

    #[test]
    fn whatever_happens_to_a_lease_each_of_its_breaks_has_one_end() {
        let to = |new, asked| Step::Notice(lease_break(LeaseState::RWH, new, 0, asked));
        let mut steps = vec![
            to(LeaseState::RH, true),
            to(LeaseState::R, true),
            to(LeaseState::NONE, false),
            Step::Regrant(LeaseState::RWH),
        ];
        steps.extend(ENDS);
        for state in [LeaseState::R, LeaseState::RH, LeaseState::RWH] {
            explore(&lease(state, 0), &steps, 5);
        }
    }
}
