//! The arrivals of an open loop: when its iterations are due, and the client of each.
//!
//! All clients of a workload share one sequence, which is made forward as it is asked for. Arrival
//! n belongs to client n modulo the number of clients and waits for it. So the arrivals of a client
//! do not depend on which client is asked when. If clients are divided among VMs, each VM makes the
//! whole sequence and keeps the arrivals of its own clients.

use std::collections::VecDeque;

use super::values::LARGEST_EXACT;
use crate::ir::random::RandomNumbers;
use crate::ir::workloads::MAX_CLIENTS;

/// Maximum number of arrivals of a workload that may wait for their clients: 128 MiB of them, over
/// all VMs.
const MAX_WAITING: usize = 16 << 20;

/// Maximum number of successive gaps of zero: all possible clients may arrive at once.
const MAX_ZERO_GAPS: u32 = MAX_CLIENTS;

/// Number of arrivals for which an empty client queue keeps its allocation.
const KEPT: usize = 64;

/// A rate over time in iterations per second, linear in each piece.
#[derive(Clone, Debug)]
pub(super) struct Rates(Vec<Piece>);

#[derive(Clone, Copy, Debug)]
struct Piece {
    start_ns: f64,
    length_ns: f64,
    from: f64,
    to: f64,
    /// The integral of the rate up to the start of the piece.
    before: f64,
}

/// The rate during one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ramp {
    pub duration_ns: u64,
    pub from: f64,
    pub to: f64,
}

impl Rates {
    /// Creates rates from successive ramps that start at time zero, and a constant rate after them.
    pub fn new(ramps: &[Ramp], afterwards: f64) -> Rates {
        let mut pieces = Vec::with_capacity(ramps.len() + 1);
        let (mut start_ns, mut before) = (0.0, 0.0);
        for &Ramp { duration_ns, from, to } in ramps {
            let length_ns = duration_ns as f64;
            pieces.push(Piece { start_ns, length_ns, from, to, before });
            before += (from + to) / 2.0 * (length_ns / 1e9);
            start_ns += length_ns;
        }
        // The last piece ends where the clock of a client does.
        let length_ns = LARGEST_EXACT as f64 - start_ns;
        pieces.push(Piece { start_ns, length_ns, from: afterwards, to: afterwards, before });
        Rates(pieces)
    }

    fn piece_at(&self, ns: f64) -> usize {
        self.0.partition_point(|piece| piece.start_ns <= ns).saturating_sub(1)
    }

    /// Returns the rate at this time, in iterations per second.
    fn at(&self, ns: u64) -> f64 {
        let ns = ns as f64;
        let piece = &self.0[self.piece_at(ns)];
        if piece.from == piece.to {
            return piece.to;
        }
        piece.from + (piece.to - piece.from) * ((ns - piece.start_ns) / piece.length_ns)
    }

    /// Returns the integral of the rate from time zero to this time.
    fn integral(&self, ns: u64) -> f64 {
        let ns = ns as f64;
        let Piece { start_ns, length_ns, from, to, before } = self.0[self.piece_at(ns)];
        let passed_ns = ns - start_ns;
        let rate = from + (to - from) * (passed_ns / length_ns);
        before + (from + rate) / 2.0 * (passed_ns / 1e9)
    }

    /// Returns the time at which the integral of the rate reaches `count`, and the piece of that
    /// time. It is looked for from `piece` on.
    fn time_of(&self, count: f64, piece: usize) -> Option<(usize, u64)> {
        let pieces = self.0.iter().enumerate().skip(piece);
        pieces.filter_map(|(at, piece)| Some((at, piece.time_of(count)?))).next()
    }

    /// Returns this time, or the end of the pause it falls into. `None` if that pause never ends.
    fn outside_pauses(&self, ns: u64) -> Option<u64> {
        let first = self.piece_at(ns as f64);
        let open = first + self.0[first..].iter().position(|piece| !piece.is_pause())?;
        let ns = if open == first { ns } else { self.0[open].start_ns as u64 };
        (ns <= LARGEST_EXACT).then_some(ns)
    }
}

impl Piece {
    fn is_pause(&self) -> bool {
        self.from == 0.0 && self.to == 0.0
    }

    /// Returns the time at which the integral of the rate reaches `count`, if that is before the
    /// piece ends. A time at the border belongs to the next piece.
    fn time_of(&self, count: f64) -> Option<u64> {
        if self.is_pause() {
            return None;
        }
        let wanted = (count - self.before).max(0.0);
        // Solves from·t + slope/2·t² = wanted without subtracting numbers that may be close.
        let slope = (self.to - self.from) / (self.length_ns / 1e9);
        let discriminant = self.from * self.from + 2.0 * slope * wanted;
        let ns = match wanted > 0.0 {
            true => (2.0 * wanted * 1e9 / (self.from + discriminant.sqrt())).round(),
            false => 0.0,
        };
        // Beyond the end of a falling ramp the discriminant is negative and `ns` is NaN, for which
        // the comparison is false.
        (ns < self.length_ns).then_some((self.start_ns + ns) as u64)
    }
}

/// The spacing of arrivals at the given rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// One arrival whenever the integral of the rate reaches the next whole number, the first at
    /// time zero.
    Constant,
    /// A Poisson process of that rate: a process of rate one, whose gaps are exponential, with its
    /// time changed by the inverse of the rate's integral (Çinlar, Introduction to Stochastic
    /// Processes, 1975, chapter 4.7).
    Poisson,
    /// Gaps that the script's function with this number returns.
    Function(usize),
}

/// A stretch of time that begins at `start_ns`, and the spacing of its arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub start_ns: u64,
    pub spacing: Spacing,
}

/// A function that returns the gap after an arrival, in nanoseconds. Its arguments are the number
/// of the script's function, the sequence's random numbers, the time of the arrival (before the
/// first arrival of a stretch: the start of the stretch) and the rate at that time.
pub(super) type Gap<'f> =
    dyn FnMut(usize, &mut RandomNumbers, u64, f64) -> Result<u64, String> + 'f;

pub(super) struct Arrivals {
    rates: Rates,
    /// The stretches, at least one. Each starts afresh, as if its start were time zero.
    stretches: Vec<Stretch>,
    stretch: usize,
    random: RandomNumbers,
    /// Index of the piece of the rate that the sequence has reached.
    piece: usize,
    /// The integral of the rate at the next arrival, or in a Poisson process at the last one.
    count: f64,
    last_ns: u64,
    zero_gaps: u32,
    /// The end of the sequence: an error message, or `Ok` if the rate stays 0 from here on.
    over: Option<Result<(), String>>,
    clients: u32,
    own: OwnClients,
    /// The client that the next arrival belongs to.
    turn: u32,
    /// The queue of each of its own clients; `None` for a client that takes no more arrivals.
    queues: Vec<Option<VecDeque<u64>>>,
    waiting: usize,
    most_waiting: usize,
}

/// The clients of a workload that a VM makes: `first`, and every `step`-th after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnClients {
    pub first: u32,
    pub step: u32,
}

impl OwnClients {
    pub fn count(self, clients: u32) -> usize {
        clients.saturating_sub(self.first).div_ceil(self.step) as usize
    }

    /// Returns the position of a client among these clients.
    fn place(self, client: u32) -> Option<usize> {
        let after = client.checked_sub(self.first)?;
        after.is_multiple_of(self.step).then_some((after / self.step) as usize)
    }
}

impl Arrivals {
    /// Creates the sequence. `stretches` start where ramps do, the first of them at 0.
    pub fn new(
        rates: Rates,
        stretches: Vec<Stretch>,
        random: RandomNumbers,
        clients: u32,
        own: OwnClients,
    ) -> Arrivals {
        Arrivals {
            rates,
            stretches,
            stretch: 0,
            random,
            piece: 0,
            count: 0.0,
            last_ns: 0,
            zero_gaps: 0,
            over: None,
            clients,
            own,
            turn: 0,
            queues: vec![Some(VecDeque::new()); own.count(clients)],
            waiting: 0,
            most_waiting: MAX_WAITING / own.step as usize,
        }
    }

    /// Makes the sequence begin at this time: no arrival is before it. Rates and stretches keep their
    /// places in time.
    ///
    /// With constant spacing the arrivals are those that the sequence would have from then on if it
    /// had begun at time zero, and each goes to the same client. A Poisson process, which has no
    /// memory, starts there. A function is first called with the time of the beginning.
    pub fn beginning_at(mut self, begin_ns: u64) -> Arrivals {
        if begin_ns == 0 {
            return self;
        }
        let begun = |stretch: &Stretch| stretch.start_ns <= begin_ns;
        self.stretch = self.stretches.partition_point(begun).saturating_sub(1);
        self.last_ns = begin_ns;
        self.piece = self.rates.piece_at(begin_ns as f64);
        self.count = self.rates.integral(begin_ns);
        if let Some(&Stretch { start_ns, spacing: Spacing::Constant }) =
            self.stretches.get(self.stretch)
        {
            self.piece = self.rates.piece_at(start_ns as f64);
            let before = self.rates.0[self.piece].before;
            // The time of an arrival is rounded, so a neighbour of the computed number may be the
            // first one.
            let near = (self.count - before).floor() - 1.0;
            let mut numbers = (0..4).map(|more| (near + f64::from(more)).max(0.0));
            let is_not_before = |number: &f64| {
                let time = self.rates.time_of(before + number, self.piece);
                time.is_none_or(|(_, ns)| ns >= begin_ns)
            };
            let number = numbers.find(is_not_before).unwrap_or(near + 2.0);
            self.count = before + number;
            self.turn = (number % f64::from(self.clients.max(1))) as u32;
        }
        self
    }

    /// Returns the client's next arrival, in nanoseconds from time zero, or `None` if it has no
    /// more.
    ///
    /// # Errors
    /// The error of `gap`, for this arrival and all after it, or a message that too many arrivals
    /// wait.
    pub fn next_of(&mut self, client: u32, gap: &mut Gap<'_>) -> Result<Option<u64>, String> {
        loop {
            let Some(queue) = self.queue_of(client) else { return Ok(None) };
            if let Some(arrival) = queue.pop_front() {
                if queue.is_empty() && queue.capacity() > KEPT {
                    *queue = VecDeque::new();
                }
                self.waiting -= 1;
                return Ok(Some(arrival));
            }
            if let Some(over) = &self.over {
                return over.clone().map(|()| None);
            }
            if self.waiting >= self.most_waiting {
                return Err(format!(
                    "{} arrivals wait for clients that do not get to them: lower the rate, or give the workload more clients",
                    self.most_waiting
                ));
            }
            self.deal(gap);
        }
    }

    /// Removes a client, which takes no more arrivals: later arrivals of this client are skipped.
    pub fn leave(&mut self, client: u32) {
        let place = self.own.place(client).and_then(|place| self.queues.get_mut(place));
        let queue = place.and_then(Option::take);
        self.waiting -= queue.map_or(0, |queue| queue.len());
    }

    fn queue_of(&mut self, client: u32) -> Option<&mut VecDeque<u64>> {
        self.queues.get_mut(self.own.place(client)?)?.as_mut()
    }

    /// Makes one arrival and gives it to the client it belongs to.
    fn deal(&mut self, gap: &mut Gap<'_>) {
        match self.next(gap) {
            Ok(Some(arrival)) => {
                self.last_ns = self.last_ns.max(arrival);
                let arrival = self.last_ns;
                if let Some(queue) = self.queue_of(self.turn) {
                    queue.push_back(arrival);
                    self.waiting += 1;
                }
                self.turn = (self.turn + 1) % self.clients;
            }
            over => self.over = Some(over.map(drop)),
        }
    }

    fn next(&mut self, gap: &mut Gap<'_>) -> Result<Option<u64>, String> {
        loop {
            let arrival = self.next_of_stretch(gap)?;
            let Some(next) = self.stretches.get(self.stretch + 1) else { return Ok(arrival) };
            if arrival.is_some_and(|ns| ns < next.start_ns) {
                return Ok(arrival);
            }
            self.stretch += 1;
            self.last_ns = next.start_ns;
            self.piece = self.rates.piece_at(next.start_ns as f64);
            self.count = self.rates.0[self.piece].before;
        }
    }

    /// Returns the next arrival as if the present stretch never ended.
    fn next_of_stretch(&mut self, gap: &mut Gap<'_>) -> Result<Option<u64>, String> {
        let stretch = self.stretches.get(self.stretch);
        let count = match stretch.map_or(Spacing::Constant, |stretch| stretch.spacing) {
            Spacing::Constant => {
                let count = self.count;
                self.count += 1.0;
                count
            }
            Spacing::Poisson => {
                self.count += self.random.exp(1.0);
                self.count
            }
            Spacing::Function(number) => return self.after_gap(number, gap),
        };
        let next = self.rates.time_of(count, self.piece);
        self.piece = next.map_or(self.rates.0.len(), |(piece, _)| piece);
        Ok(next.map(|(_, ns)| ns))
    }

    fn after_gap(&mut self, number: usize, gap: &mut Gap<'_>) -> Result<Option<u64>, String> {
        let Some(now_ns) = self.rates.outside_pauses(self.last_ns) else { return Ok(None) };
        let gap_ns = gap(number, &mut self.random, now_ns, self.rates.at(now_ns))?;
        self.zero_gaps = if gap_ns == 0 { self.zero_gaps + 1 } else { 0 };
        if self.zero_gaps > MAX_ZERO_GAPS {
            return Err(format!(
                "the gap was 0 {MAX_ZERO_GAPS} times in a row, so time would never go on"
            ));
        }
        Ok(self.rates.outside_pauses(now_ns.saturating_add(gap_ns)))
    }
}
