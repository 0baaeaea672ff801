//! Tests of the sequence of arrivals alone.

use crate::ir::random::RandomNumbers;
use crate::script::arrivals::{Arrivals, OwnClients, Ramp, Rates, Spacing, Stretch};

const SECOND: u64 = 1_000_000_000;

fn ramp(seconds: f64, from: f64, to: f64) -> Ramp {
    Ramp { duration_ns: (seconds * 1e9) as u64, from, to }
}

fn arrivals(rates: Rates, spacing: Spacing, clients: u32) -> Arrivals {
    dealt(rates, spacing, clients, OwnClients { first: 0, step: 1 })
}

fn dealt(rates: Rates, spacing: Spacing, clients: u32, own: OwnClients) -> Arrivals {
    let stretches = vec![Stretch { start_ns: 0, spacing }];
    Arrivals::new(rates, stretches, RandomNumbers::of_arrivals(7, "w", 1), clients, own)
}

fn no_gap(_: usize, _: &mut RandomNumbers, _: u64, _: f64) -> Result<u64, String> {
    panic!("only a function is asked for gaps")
}

/// Returns the arrivals of a single client before `end_ns`.
fn until(arrivals: &mut Arrivals, end_ns: u64) -> Vec<u64> {
    std::iter::from_fn(|| arrivals.next_of(0, &mut no_gap).unwrap())
        .take_while(|ns| *ns < end_ns)
        .collect()
}

fn constant(ramps: &[Ramp], afterwards: f64, seconds: u64) -> Vec<u64> {
    let mut one = arrivals(Rates::new(ramps, afterwards), Spacing::Constant, 1);
    until(&mut one, seconds * SECOND)
}

fn between(all: &[u64], from: u64, to: u64) -> usize {
    all.iter().filter(|ns| (from * SECOND..to * SECOND).contains(ns)).count()
}

#[test]
fn a_constant_rate_spaces_arrivals_evenly_from_time_zero() {
    assert_eq!(constant(&[], 4.0, 1), [0, 250_000_000, 500_000_000, 750_000_000]);
    let thirds = constant(&[], 3.0, 1_000);
    assert_eq!(thirds.len(), 3_000);
    assert_eq!(thirds[1..4], [333_333_333, 666_666_667, SECOND]);
    assert_eq!(constant(&[], 0.25, 9), [0, 4 * SECOND, 8 * SECOND]);
    let mut fast = arrivals(Rates::new(&[], 1e7), Spacing::Constant, 1);
    assert_eq!(until(&mut fast, SECOND / 1_000)[9_998..], [999_800, 999_900]);
}

#[test]
fn through_ramps_every_phase_has_the_integral_of_its_rate() {
    // The rate is 50/s for 10 s, rises to 500/s within 10 s, falls to 100/s within 5 s, and stays.
    let all = constant(
        &[ramp(10.0, 50.0, 50.0), ramp(10.0, 50.0, 500.0), ramp(5.0, 500.0, 100.0)],
        100.0,
        35,
    );
    let counts = [(0, 10), (10, 20), (20, 25), (25, 35)].map(|(from, to)| between(&all, from, to));
    assert_eq!(counts, [500, 2_750, 1_500, 1_000]);
    assert!(all.is_sorted());
    // Within the ramp, 50·t + 22.5·t² have arrived t seconds after its start.
    for (n, ns) in all[500..3_250].iter().enumerate() {
        let t = (*ns - 10 * SECOND) as f64 / 1e9;
        assert!((50.0 * t + 22.5 * t * t - n as f64).abs() < 1e-5, "arrival {n} at {ns}");
    }
}

#[test]
fn nothing_arrives_in_a_pause_and_none_is_lost_by_it() {
    let all = constant(&[ramp(1.0, 0.0, 0.0), ramp(1.0, 10.0, 10.0), ramp(3.0, 0.0, 0.0)], 10.0, 7);
    let counts = [(0, 1), (1, 2), (2, 5), (5, 7)].map(|(from, to)| between(&all, from, to));
    assert_eq!(counts, [0, 10, 0, 20]);
    assert_eq!((all[0], all[9], all[10]), (SECOND, 1_900_000_000, 5 * SECOND));
}

#[test]
fn arrivals_end_when_the_rate_ends_at_zero() {
    let mut all = arrivals(
        Rates::new(&[ramp(2.0, 0.0, 10.0), ramp(2.0, 10.0, 0.0)], 0.0),
        Spacing::Constant,
        1,
    );
    let times = until(&mut all, u64::MAX);
    assert_eq!((times.len(), times[0], times[10]), (20, 0, 2 * SECOND));
    assert!(times[19] < 4 * SECOND);
    assert_eq!(all.next_of(0, &mut no_gap), Ok(None));
    let mut rare = arrivals(Rates::new(&[], 1e-300), Spacing::Constant, 1);
    assert_eq!(until(&mut rare, u64::MAX), [0], "the next would be beyond every clock");
}

#[test]
fn poisson_arrivals_have_the_mean_and_the_variance_of_a_poisson_process() {
    let seconds = 1_000;
    let mut all = arrivals(Rates::new(&[], 100.0), Spacing::Poisson, 1);
    let times = until(&mut all, seconds * SECOND);
    let mut counts = vec![0.0_f64; 10 * seconds as usize];
    for ns in &times {
        counts[(ns / (SECOND / 10)) as usize] += 1.0;
    }
    let bins = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / bins;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (bins - 1.0);
    // Each of 10,000 bins is expected to have 10: the standard error of the mean
    // is sqrt(10 / 10,000), that of the variance about 10·sqrt(2.1 / 10,000).
    assert!((mean - 10.0).abs() < 4.0 * 0.032, "{mean}");
    assert!((variance - 10.0).abs() < 4.0 * 0.145, "{variance}");
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let deviation =
        (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
    assert!((deviation / mean - 1.0).abs() < 0.02, "gaps are exponential: {deviation} {mean}");
}

#[test]
fn a_poisson_process_follows_ramps_and_pauses() {
    let ramps = [ramp(100.0, 100.0, 1_000.0), ramp(100.0, 0.0, 0.0), ramp(100.0, 1_000.0, 0.0)];
    let mut all = arrivals(Rates::new(&ramps, 0.0), Spacing::Poisson, 1);
    let times = until(&mut all, u64::MAX);
    let quarter = |n: u64| between(&times, n * 25, (n + 1) * 25) as f64;
    let expected = [
        5_312.5, 10_937.5, 16_562.5, 22_187.5, 0.0, 0.0, 0.0, 0.0, 21_875.0, 15_625.0, 9_375.0,
        3_125.0,
    ];
    for (n, expected) in expected.into_iter().enumerate() {
        let count = quarter(n as u64);
        // The standard deviation of a Poisson number is the square root of its mean.
        assert!((count - expected).abs() <= 4.0 * expected.sqrt(), "{n}: {count}, not {expected}");
    }
}

#[test]
fn arrival_n_is_client_n_modulo_the_clients_whoever_asks_first() {
    let made = || arrivals(Rates::new(&[ramp(1.0, 10.0, 90.0)], 20.0), Spacing::Poisson, 3);
    let mut one = arrivals(Rates::new(&[ramp(1.0, 10.0, 90.0)], 20.0), Spacing::Poisson, 1);
    let whole: Vec<u64> = (0..90).map(|_| one.next_of(0, &mut no_gap).unwrap().unwrap()).collect();
    let orders: [fn(usize) -> u32; 4] =
        [|n| (n % 3) as u32, |n| 2 - (n % 3) as u32, |n| (n / 30) as u32, |n| 2 - (n / 30) as u32];
    for order in orders {
        let mut dealt = made();
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for client in (0..90).map(order) {
            times[client as usize].push(dealt.next_of(client, &mut no_gap).unwrap().unwrap());
        }
        for (client, times) in times.iter().enumerate() {
            let its: Vec<u64> = whole.iter().skip(client).step_by(3).copied().collect();
            assert_eq!(*times, its, "client {client}");
        }
    }
}

#[test]
fn a_client_that_leaves_changes_nothing_for_the_others() {
    let mut two = arrivals(Rates::new(&[], 1.0), Spacing::Constant, 2);
    assert_eq!(two.next_of(1, &mut no_gap), Ok(Some(SECOND)));
    two.leave(0);
    assert_eq!(two.next_of(0, &mut no_gap), Ok(None));
    assert_eq!(two.next_of(1, &mut no_gap), Ok(Some(3 * SECOND)));
    two.leave(0);
}

#[test]
fn arrivals_that_nobody_takes_are_bounded() {
    let mut two = arrivals(Rates::new(&[], 1e6), Spacing::Constant, 2);
    let refused = loop {
        match two.next_of(0, &mut no_gap) {
            Ok(arrival) => assert!(arrival.unwrap() < 100 * SECOND),
            Err(problem) => break problem,
        }
    };
    assert_eq!(
        refused,
        "16777216 arrivals wait for clients that do not get to them: lower the rate, or give the workload more clients"
    );
    assert_eq!(two.next_of(1, &mut no_gap), Ok(Some(1_000)), "those there are stay good");
    assert!(two.next_of(0, &mut no_gap).unwrap().is_some(), "and make room");
}

#[test]
fn of_the_whole_sequence_a_machine_keeps_what_its_own_clients_get_and_passes_over_the_rest() {
    let rates = || Rates::new(&[ramp(1.0, 10.0, 90.0)], 20.0);
    let mut whole = arrivals(rates(), Spacing::Poisson, 5);
    let mut part = dealt(rates(), Spacing::Poisson, 5, OwnClients { first: 1, step: 3 });
    let next = |arrivals: &mut Arrivals, client| arrivals.next_of(client, &mut no_gap);
    for client in [4, 1, 1, 4, 1] {
        assert_eq!(next(&mut part, client), next(&mut whole, client));
    }
    for other in [0, 2, 3, 5] {
        assert_eq!(next(&mut part, other), Ok(None));
    }
}

#[test]
fn arrivals_of_clients_of_other_machines_do_not_wait() {
    let own = OwnClients { first: 1, step: 4 };
    let mut part = dealt(Rates::new(&[], 1e6), Spacing::Constant, 4, own);
    // As many arrivals as may wait, over all four clients.
    for n in 0..4 << 20 {
        assert_eq!(part.next_of(1, &mut no_gap), Ok(Some((4 * n + 1) * 1_000)));
    }
}

#[test]
fn a_function_receives_time_and_rate_and_its_gaps_step_over_pauses() {
    let rates = Rates::new(&[ramp(1.0, 0.0, 0.0), ramp(2.0, 10.0, 20.0), ramp(1.0, 0.0, 0.0)], 5.0);
    let mut all = arrivals(rates, Spacing::Function(0), 1);
    let mut received = Vec::new();
    let mut gaps = [0, SECOND, SECOND / 2, SECOND, 0, SECOND].into_iter();
    let mut gap = |_: usize, _: &mut RandomNumbers, now: u64, rate: f64| {
        received.push((now, rate));
        gaps.next().ok_or_else(|| "no more".to_string())
    };
    let times: Vec<u64> = (0..6).map(|_| all.next_of(0, &mut gap).unwrap().unwrap()).collect();
    assert_eq!(times, [10, 20, 25, 40, 40, 50].map(|tenths| tenths * SECOND / 10));
    assert_eq!(all.next_of(0, &mut gap), Err("no more".into()));
    assert_eq!(all.next_of(0, &mut no_gap), Err("no more".into()), "for good");
    let expected =
        [(10, 10.0), (10, 10.0), (20, 15.0), (25, 17.5), (40, 5.0), (40, 5.0), (50, 5.0)];
    assert_eq!(received, expected.map(|(tenths, rate)| (tenths * SECOND / 10, rate)));
}

#[test]
fn gaps_of_zero_without_end_are_refused() {
    let mut all = arrivals(Rates::new(&[], 1.0), Spacing::Function(0), 1);
    let mut zero = |_: usize, _: &mut RandomNumbers, _: u64, _: f64| Ok(0);
    let mut made = 0;
    let refused = loop {
        match all.next_of(0, &mut zero) {
            Ok(arrival) => assert_eq!(arrival, Some(0)),
            Err(problem) => break problem,
        }
        made += 1;
    };
    assert_eq!(made, 1_000_000, "as many as there can be clients");
    assert_eq!(refused, "the gap was 0 1000000 times in a row, so time would never go on");
}

#[test]
fn each_stretch_begins_anew_in_its_own_manner() {
    let stretch = |seconds: u64, spacing| Stretch { start_ns: seconds * SECOND, spacing };
    // In the first second there is time for 2.5 arrivals. The rate of the third is 0.
    let ramps =
        [ramp(1.0, 2.5, 2.5), ramp(1.0, 2.0, 2.0), ramp(1.0, 0.0, 0.0), ramp(1.0, 4.0, 4.0)];
    let stretches = vec![
        stretch(0, Spacing::Constant),
        stretch(1, Spacing::Function(3)),
        stretch(2, Spacing::Poisson),
        stretch(3, Spacing::Constant),
    ];
    let random = RandomNumbers::of_arrivals(7, "w", 1);
    let mut all = Arrivals::new(
        Rates::new(&ramps, 4.0),
        stretches,
        random,
        1,
        OwnClients { first: 0, step: 1 },
    );
    let mut received = Vec::new();
    let mut gap = |number: usize, _: &mut RandomNumbers, now: u64, rate: f64| {
        received.push((number, now, rate));
        Ok(SECOND / 5 * 2)
    };
    let times: Vec<u64> = (0..8).map(|_| all.next_of(0, &mut gap).unwrap().unwrap()).collect();
    let expected = [0, 400, 800, 1_400, 1_800, 3_000, 3_250, 3_500];
    assert_eq!(times, expected.map(|milliseconds| milliseconds * SECOND / 1_000));
    let asked = [1_000, 1_400, 1_800].map(|ms| (3, ms * SECOND / 1_000, 2.0));
    assert_eq!(received, asked);
}

/// Returns the next arrivals of each of `clients` clients that are before `end_ns`.
fn of_each(mut arrivals: Arrivals, clients: u32, end_ns: u64) -> Vec<Vec<u64>> {
    let mut of = |client| {
        std::iter::from_fn(|| arrivals.next_of(client, &mut no_gap).unwrap())
            .take_while(|ns| *ns < end_ns)
            .collect()
    };
    (0..clients).map(&mut of).collect()
}

#[test]
fn constant_arrivals_that_begin_later_are_the_rest_of_the_same_sequence() {
    let ramps =
        [ramp(1.0, 0.0, 7.0), ramp(1.0, 0.0, 0.0), ramp(2.0, 30.0, 3.0), ramp(1.0, 3.0, 3.0)];
    let sequence = || arrivals(Rates::new(&ramps, 3.0), Spacing::Constant, 3);
    let whole = of_each(sequence(), 3, 20 * SECOND);
    let at_an_arrival = whole[1][3];
    let begins = [1, SECOND, 1_500_000_000, 2 * SECOND, 4 * SECOND, 5 * SECOND, 9_999_999_999];
    let around = [at_an_arrival - 1, at_an_arrival, at_an_arrival + 1];
    for begin_ns in begins.into_iter().chain(around) {
        let rest: Vec<Vec<u64>> = (whole.iter())
            .map(|times| times.iter().copied().filter(|ns| *ns >= begin_ns).collect())
            .collect();
        assert!(rest.iter().all(|times| !times.is_empty()));
        let begun = of_each(sequence().beginning_at(begin_ns), 3, 20 * SECOND);
        assert_eq!(begun, rest, "from {begin_ns} ns");
    }
}

#[test]
fn constant_arrivals_are_the_same_sequence_from_any_beginning_at_any_rate() {
    let mut random = RandomNumbers::of_arrivals(3, "beginnings", 1);
    for (rate, to, end_ns) in [
        (1.0 / 3.0, 0.7, 60 * SECOND),
        (3.0, 3.0, 10 * SECOND),
        (997.0, 0.5, SECOND),
        (1e7, 9e6, SECOND / 10_000),
    ] {
        let ramps = [ramp(0.0003, rate, to), ramp(0.2, to, rate)];
        let sequence = || arrivals(Rates::new(&ramps, rate), Spacing::Constant, 1);
        let whole = until(&mut sequence(), end_ns);
        for draw in 0..200 {
            // Every other beginning is at an arrival, where rounding decides.
            let begin_ns = match draw % 2 {
                0 => random.below(end_ns),
                _ => whole[random.below(whole.len() as u64) as usize],
            };
            let first = whole.partition_point(|ns| *ns < begin_ns);
            let begun = until(&mut sequence().beginning_at(begin_ns), end_ns);
            assert_eq!(begun, whole[first..], "{rate}/s from {begin_ns} ns");
        }
    }
}

#[test]
fn constant_arrivals_that_begin_after_the_rate_has_ended_are_none() {
    let one = || arrivals(Rates::new(&[ramp(2.0, 10.0, 0.0)], 0.0), Spacing::Constant, 1);
    assert_eq!(
        one().beginning_at(SECOND * 6 / 5).next_of(0, &mut no_gap).map(|at| at.is_some()),
        Ok(true)
    );
    assert_eq!(one().beginning_at(3 * SECOND).next_of(0, &mut no_gap), Ok(None));
    assert_eq!(one().beginning_at(u64::MAX).next_of(0, &mut no_gap), Ok(None));
}

#[test]
fn a_poisson_process_that_begins_later_starts_there_and_keeps_its_ramps() {
    let ramps = [ramp(100.0, 0.0, 0.0), ramp(100.0, 100.0, 1_000.0)];
    let rates = || Rates::new(&ramps, 0.0);
    let times = |begin_ns| {
        let mut all = arrivals(rates(), Spacing::Poisson, 1).beginning_at(begin_ns);
        until(&mut all, u64::MAX)
    };
    assert_eq!(times(50 * SECOND), times(0), "in a pause, nothing is lost");
    let all = times(150 * SECOND);
    assert!(all.iter().all(|ns| *ns >= 150 * SECOND));
    for (from, to, expected) in [(150, 175, 16_562.5_f64), (175, 200, 22_187.5)] {
        let count = between(&all, from, to) as f64;
        assert!((count - expected).abs() <= 4.0 * expected.sqrt(), "{from}: {count}");
    }
}

#[test]
fn a_function_of_arrivals_that_begin_later_is_first_called_with_the_time_of_the_beginning() {
    let rates = || Rates::new(&[ramp(1.0, 10.0, 20.0), ramp(1.0, 0.0, 0.0)], 5.0);
    for (begin_tenths, now_tenths, rate) in [(5, 5, 15.0), (15, 20, 5.0), (40, 40, 5.0)] {
        let mut all = arrivals(rates(), Spacing::Function(0), 1);
        all = all.beginning_at(begin_tenths * SECOND / 10);
        let mut received = Vec::new();
        let mut gap = |_: usize, _: &mut RandomNumbers, now: u64, rate: f64| {
            received.push((now, rate));
            Ok(SECOND / 10)
        };
        let first = all.next_of(0, &mut gap).unwrap();
        assert_eq!(first, Some((now_tenths + 1) * SECOND / 10));
        assert_eq!(received, [(now_tenths * SECOND / 10, rate)]);
    }
}

#[test]
fn arrivals_that_begin_later_keep_to_the_stretches_of_time() {
    let stretch = |seconds: u64, spacing| Stretch { start_ns: seconds * SECOND, spacing };
    let stretches = || {
        vec![
            stretch(0, Spacing::Function(0)),
            stretch(1, Spacing::Constant),
            stretch(2, Spacing::Function(1)),
        ]
    };
    let rates = || Rates::new(&[ramp(1.0, 2.5, 2.5), ramp(1.0, 4.0, 4.0)], 2.0);
    let begun = |begin_ns| {
        let random = RandomNumbers::of_arrivals(7, "w", 1);
        let own = OwnClients { first: 0, step: 1 };
        Arrivals::new(rates(), stretches(), random, 1, own).beginning_at(begin_ns)
    };
    let milliseconds = |mut all: Arrivals| -> [u64; 4] {
        let mut gap = |number: usize, _: &mut RandomNumbers, _: u64, _: f64| match number {
            0 => Ok(SECOND * 3 / 10),
            _ => Ok(SECOND * 4 / 10),
        };
        std::array::from_fn(|_| all.next_of(0, &mut gap).unwrap().unwrap() * 1_000 / SECOND)
    };
    assert_eq!(milliseconds(begun(0)), [300, 600, 900, 1_000]);
    assert_eq!(milliseconds(begun(SECOND / 2)), [800, 1_000, 1_250, 1_500]);
    assert_eq!(milliseconds(begun(SECOND)), [1_000, 1_250, 1_500, 1_750]);
    assert_eq!(milliseconds(begun(SECOND * 3 / 2)), [1_500, 1_750, 2_400, 2_800]);
    assert_eq!(milliseconds(begun(SECOND * 2)), [2_400, 2_800, 3_200, 3_600]);
}
