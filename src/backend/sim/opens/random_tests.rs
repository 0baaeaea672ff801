//! Tests with random orders of opens, closes, answers, writes and time, of what must always hold.

use std::collections::BTreeMap;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::access::{DELETE, READ_ATTRIBUTES, READ_DATA, Sharing, WRITE_DATA};
use super::test_table::{TestTable, Tried, owner, wanted, who};
use super::{BREAK_TIMEOUT_NS, BreakCause, Initiator, OpenRequest, RequestedCaching};
use crate::protocol::create::OplockLevel;
use crate::protocol::{Acknowledgement, Break, LeaseState, NtStatus};

const SEEDS: u64 = 2_000;
const STEPS: usize = 60;

struct Chance(SplitMix64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

/// The state as the clients know it, from answers to opens and from breaks alone.
#[derive(Default)]
struct Seen {
    opens: Vec<Open>,
    /// Breaks that are not answered yet, with the client that received each.
    unanswered: Vec<(u32, Break)>,
    /// The state of each lease, by client and key.
    leases: BTreeMap<(u32, u8), LeaseState>,
}

struct Open {
    number: u64,
    client: u32,
    lease: Option<u8>,
    sharing: Sharing,
}

impl Open {
    fn who(&self) -> Initiator {
        match self.lease {
            Some(key) => owner(self.client, self.number, key),
            None => who(self.client, self.number),
        }
    }
}

fn random_open(chance: &mut Chance) -> (OpenRequest, Option<u8>) {
    let client = chance.below(3) as u32 + 1;
    let number = chance.below(2) as u8 + 1;
    let letters = chance.one_of(&["R", "RH", "RW", "RWH"]);
    let levels = [OplockLevel::II, OplockLevel::Exclusive, OplockLevel::Batch];
    let (caching, key) = match chance.below(5) {
        0 => (RequestedCaching::Nothing, None),
        1 => (RequestedCaching::Oplock(chance.one_of(&levels)), None),
        _ => (super::test_table::lease(number, letters), Some(number)),
    };
    let access = chance.one_of(&[
        READ_DATA,
        READ_DATA,
        READ_DATA | WRITE_DATA,
        READ_DATA | DELETE,
        READ_ATTRIBUTES,
    ]);
    let sharing = Sharing { access, share: chance.one_of(&[7, 7, 7, 1, 0]) };
    let overwrites = access & WRITE_DATA != 0 && chance.below(4) == 0;
    (OpenRequest { sharing, overwrites, ..wanted(client, caching) }, key)
}

fn note_breaks(test_table: &mut TestTable, seen: &mut Seen) {
    for (client, what) in test_table.breaks() {
        match what {
            Break::Oplock(_) => seen.unanswered.push((client, what)),
            Break::Lease(lease) => {
                let known = seen.leases.get_mut(&(client, lease.key[0])).expect("a lease it has");
                assert_eq!(lease.current, *known, "the server breaks what the client holds");
                assert!(
                    known.contains(lease.new) && lease.new != *known,
                    "a break takes something"
                );
                if lease.acknowledgement_required {
                    seen.unanswered.push((client, what));
                } else {
                    *known = lease.new;
                }
            }
        }
    }
}

fn step(test_table: &mut TestTable, seen: &mut Seen, chance: &mut Chance) {
    match chance.below(10) {
        0..4 => {
            let (wanted, lease) = random_open(chance);
            let before = test_table.now_ns;
            match test_table.try_open(wanted) {
                Ok(Tried::Waits { until_ns }) => {
                    assert!(until_ns > before && until_ns <= before + BREAK_TIMEOUT_NS);
                }
                Ok(opened) => {
                    if let Some(key) = lease {
                        seen.leases.insert((wanted.client, key), opened.lease());
                    }
                    let (number, client) = (opened.number(), wanted.client);
                    seen.opens.push(Open { number, client, lease, sharing: wanted.sharing });
                }
                Err(refused) => assert_eq!(refused, NtStatus::SHARING_VIOLATION),
            }
        }
        4 if !seen.opens.is_empty() => {
            let closed = seen.opens.remove(chance.below(seen.opens.len() as u64) as usize);
            test_table.close(closed.number);
            let shared = |open: &Open| (open.client, open.lease) == (closed.client, closed.lease);
            if let Some(key) = closed.lease.filter(|_| !seen.opens.iter().any(shared)) {
                seen.leases.remove(&(closed.client, key));
                seen.unanswered.retain(|(client, what)| {
                    !matches!(what, Break::Lease(lease)
                        if (*client, lease.key[0]) == (closed.client, key))
                });
            }
        }
        5 | 6 if !seen.opens.is_empty() => {
            let by = &seen.opens[chance.below(seen.opens.len() as u64) as usize];
            let cause = chance.one_of(&[BreakCause::Content, BreakCause::Handles]);
            test_table.break_for(by.who(), cause);
        }
        7 | 8 if !seen.unanswered.is_empty() => {
            let at = chance.below(seen.unanswered.len() as u64) as usize;
            let (client, what) = seen.unanswered.remove(at);
            let less = chance.below(2) == 0;
            match what.acknowledgement() {
                Acknowledgement::Oplock { file_id, level } => {
                    let level = if less { OplockLevel::None } else { level };
                    // A break of level II needs no answer, and an open may be closed.
                    let _ = test_table.answer_oplock(client, file_id.volatile, level);
                }
                Acknowledgement::Lease { key: of, state } => {
                    let state = if less { state & LeaseState::R } else { state };
                    let answer = Acknowledgement::Lease { key: of, state };
                    assert_eq!(test_table.answer(client, answer), Ok(()));
                    seen.leases.insert((client, of[0]), state);
                }
            }
        }
        _ => {
            // Less than the time to answer. `settle` covers the breaks that time out.
            test_table.now_ns += chance.below(BREAK_TIMEOUT_NS / STEPS as u64);
        }
    }
    note_breaks(test_table, seen);
}

/// Checks that nobody caches what another's open contradicts.
fn check(test_table: &mut TestTable, seen: &Seen) {
    for (at, open) in seen.opens.iter().enumerate() {
        let held = test_table.held(open.number);
        assert_eq!(held, held.legal());
        if let Some(key) = open.lease {
            assert_eq!(held, seen.leases[&(open.client, key)], "client and server agree");
        }
        for (_, other) in seen.opens.iter().enumerate().filter(|(other, _)| *other != at) {
            assert!(!open.sharing.conflicts_with(other.sharing), "both have the file open");
            let same =
                open.lease.is_some() && (open.client, open.lease) == (other.client, other.lease);
            let spared = match open.lease {
                Some(_) => other.sharing.spares_leases(),
                None => other.sharing.spares_oplocks(),
            };
            if held.contains(LeaseState::W) {
                assert!(same || spared, "writes are cached beside another's open");
            }
            let others = test_table.held(other.number);
            if open.lease.is_none() && !held.is_none() && other.lease.is_some() {
                assert!(!others.contains(LeaseState::H), "handles are cached beside an oplock");
            }
        }
    }
}

/// Checks that an open gets in or is refused, however few breaks are answered.
fn settle(test_table: &mut TestTable) {
    for _ in 0..4 {
        match test_table.try_open(wanted(9, RequestedCaching::Nothing)) {
            Ok(Tried::Waits { until_ns }) => test_table.now_ns = until_ns,
            Ok(_) | Err(NtStatus::SHARING_VIOLATION) => return,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it still waits");
}

#[test]
fn whatever_happens_nobody_caches_what_another_may_change_and_nobody_waits_for_ever() {
    let mut breaks = 0;
    for seed in 0..SEEDS {
        let mut chance = Chance(SplitMix64::seed_from_u64(seed));
        let (mut test_table, mut seen) = (TestTable::default(), Seen::default());
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                step(&mut test_table, &mut seen, &mut chance);
                check(&mut test_table, &seen);
            }
            settle(&mut test_table);
        }));
        breaks += seen.unanswered.len();
        if let Err(panic) = run {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    assert!(breaks > 0, "the seeds meet breaks");
}
