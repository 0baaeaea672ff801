//! Tests of a client's clock and boundaries alone.

use super::super::ScriptLimits;
use super::super::client::{Bounds, Client, Identity, Paced};
use super::super::open_loop::{Begins, Span};
use super::super::queued::Queued;
use super::super::random::Random;
use crate::ir::{Due, Expect, FileControl, HandleRef, Late, Operation, Section};

fn identity() -> Identity {
    Identity { index: 0, workload: "w".into(), id: 0 }
}

fn client(bounds: Bounds) -> Client {
    let random = Random::new(0, "w", 0, Section::Iteration);
    Client::new(identity(), None, bounds, Section::Iteration, random)
}

struct Spans {
    spans: Vec<Span>,
    arrivals: std::vec::IntoIter<u64>,
}

impl Spans {
    fn new(spans: &[(u64, u64, Begins)], arrivals: impl IntoIterator<Item = u64>) -> Spans {
        let span = |&(from_ns, until_ns, begins)| Span { from_ns, until_ns, begins };
        let arrivals: Vec<u64> = arrivals.into_iter().collect();
        Spans { spans: spans.iter().map(span).collect(), arrivals: arrivals.into_iter() }
    }
}

impl Paced for Spans {
    fn span(&self, number: usize) -> Option<Span> {
        self.spans.get(number).copied()
    }

    fn next_arrival(&mut self) -> Result<Option<u64>, String> {
        Ok(self.arrivals.next())
    }

    fn random_after(&self, span: usize) -> Random {
        Random::after_span(0, "w", 0, span)
    }
}

fn arrival(at_ns: u64, think_ns: u64) -> Due {
    Due::Arrival { at_ns, think_ns, late: Late::Drop }
}

fn queued() -> Queued {
    let queued = Queued::new();
    queued.share(&ScriptLimits::default(), 1, 1);
    queued
}

fn flush(client: &mut Client) -> Operation {
    let kind = FileControl::Flush.on(HandleRef(0));
    client.emit(kind, Expect::Default, &queued()).unwrap();
    client.made.pop_back().unwrap()
}

#[test]
fn the_first_running_of_an_iteration_is_the_boundary_of_its_start() {
    let mut c = client(Bounds { iterations: Some(3), nominal_ns: None });
    assert_eq!(c.start_iteration(None), Ok(true));
    let mut numbers = Vec::new();
    while c.running(None).unwrap() {
        numbers.push(flush(&mut c).iteration);
    }
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(flush(&mut c).iteration, 2, "what follows the loop belongs to the last round");
    assert_eq!(c.start_iteration(None), Ok(false));
}

#[test]
fn think_adds_up_and_at_replaces_what_was_waited() {
    let mut c = client(Bounds::default());
    c.start_iteration(None).unwrap();
    c.think(5).unwrap();
    c.think(7).unwrap();
    assert_eq!(flush(&mut c).due, Due::After(12));
    assert_eq!(flush(&mut c).due, Due::After(0));
    c.think(1).unwrap();
    c.at(100).unwrap();
    c.think(3).unwrap();
    assert_eq!(flush(&mut c).due, Due::At(103));
    assert!(c.at(102).unwrap_err().contains("backwards"));
}

#[test]
fn a_nominal_bound_counts_the_think_time_still_waiting() {
    let mut c = client(Bounds { iterations: None, nominal_ns: Some(10) });
    assert_eq!(c.start_iteration(None), Ok(true));
    flush(&mut c);
    c.think(9).unwrap();
    assert_eq!(c.start_iteration(None), Ok(true));
    flush(&mut c);
    c.think(1).unwrap();
    assert_eq!(c.start_iteration(None), Ok(false));
}

#[test]
fn think_time_before_a_boundary_keeps_the_client_and_behind_it_the_operation() {
    let random = Random::new(0, "w", 0, Section::Iteration);
    let bounds = Bounds { iterations: None, nominal_ns: Some(1_000) };
    let mut c = Client::new(identity(), Some(0), bounds, Section::Iteration, random);
    let mut arrivals = [100, 100, 300, 700, 999, 1_000].into_iter();
    let mut next = Spans::new(&[(0, u64::MAX, Begins::AtArrivals(Late::Drop))], arrivals.by_ref());
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true));
    assert_eq!(c.running(Some(&mut next)), Ok(true));
    c.think(7).unwrap();
    assert_eq!(flush(&mut c).due, arrival(107, 7));
    c.think(5).unwrap();
    assert_eq!(flush(&mut c).due, Due::After(5));
    c.think(11).unwrap();
    assert_eq!(c.running(Some(&mut next)), Ok(true));
    assert_eq!(flush(&mut c).due, arrival(100, 11));
    c.think(3).unwrap();
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true), "and has no operation");
    c.think(2).unwrap();
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true));
    c.think(1).unwrap();
    let operation = flush(&mut c);
    assert_eq!(operation.due, arrival(701, 6));
    assert_eq!(operation.iteration, 3);
    assert_eq!(c.clock.now_ns(), 701);
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true));
    assert!(c.at(5_000).unwrap_err().starts_with("at does not go with an open loop"));
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(false), "it arrives at the bound");
    assert_eq!(flush(&mut c).due, Due::After(0));
}

#[test]
fn a_closed_loop_between_arrivals_has_its_time_until_it_is_superseded() {
    let random = Random::new(0, "w", 0, Section::Iteration);
    let mut c = Client::new(identity(), Some(0), Bounds::default(), Section::Iteration, random);
    let spans = [
        (0, 100, Begins::AtArrivals(Late::Drop)),
        (100, 200, Begins::InClosedLoop),
        (200, 300, Begins::AtArrivals(Late::Drop)),
        (300, u64::MAX, Begins::InClosedLoop),
    ];
    let mut pace = Spans::new(&spans, [50, 250]);
    let mut next = |c: &mut Client, think_ns| {
        c.think(think_ns).unwrap();
        assert_eq!(c.start_iteration(Some(&mut pace)), Ok(true));
        flush(c).due
    };
    let during = |after_ns| Due::During { after_ns, from_ns: 100, until_ns: 200 };
    assert_eq!(next(&mut c, 0), arrival(50, 0));
    assert_eq!(next(&mut c, 3), during(3));
    assert_eq!(next(&mut c, 0), during(0));
    c.random.float();
    c.supersede(0);
    assert_eq!(next(&mut c, 0), during(0), "of a span before");
    c.supersede(2);
    assert_eq!(next(&mut c, 7), arrival(250, 7));
    assert_eq!(c.random.float(), Random::after_span(0, "w", 0, 1).float());
    c.supersede(3);
    let last = Due::During { after_ns: 0, from_ns: 300, until_ns: u64::MAX };
    assert_eq!(next(&mut c, 0), last);
    assert_eq!(c.iteration, 5);
}

#[test]
fn a_closed_loop_whose_think_time_alone_takes_it_to_its_end_is_over_by_itself() {
    let random = Random::new(0, "w", 0, Section::Iteration);
    let mut c = Client::new(identity(), Some(0), Bounds::default(), Section::Iteration, random);
    let spans = [(0, 100, Begins::InClosedLoop), (100, u64::MAX, Begins::AtArrivals(Late::Drop))];
    let mut pace = Spans::new(&spans, [100]);
    let mut made = Vec::new();
    while c.start_iteration(Some(&mut pace)) == Ok(true) {
        made.push(flush(&mut c).due);
        c.think(40).unwrap();
    }
    let during = |after_ns| Due::During { after_ns, from_ns: 0, until_ns: 100 };
    assert_eq!(made, [during(0), during(40), during(40), arrival(100, 40)]);
}

#[test]
fn the_last_sequence_number_is_used_and_the_one_after_is_an_error() {
    let mut c = client(Bounds::default());
    c.next_seq = Some(u32::MAX);
    assert_eq!(flush(&mut c).seq, u32::MAX);
    let kind = FileControl::Flush.on(HandleRef(0));
    let error = c.emit(kind, Expect::Default, &queued()).unwrap_err();
    assert!(error.contains("4,294,967,296 operations"));
}
