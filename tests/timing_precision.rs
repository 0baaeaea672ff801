//! Tests of the specification's bounds on timing, on the alarm that wakes a driver.

use std::future::poll_fn;

use futures_util::future::join_all;
use smbench::backend::{Clock, open_files};
use smbench::scheduler::clock::DriverClock;
use smbench::scheduler::{Precision, RealClock};

/// Sets 1,000 alarms, a millisecond apart, and returns their lateness in microseconds, sorted.
async fn lateness_us(precision: Precision) -> Vec<u64> {
    let clock = RealClock::start(precision);
    let mut lateness_us = join_all((0..1_000).map(|timer| {
        let clock = clock.clone();
        async move {
            let mut alarm = clock.alarm();
            let deadline_ns = 100_000_000 + timer * 1_000_000;
            poll_fn(|cx| alarm.poll_until(deadline_ns, cx)).await;
            let late_ns = clock.now_ns().checked_sub(deadline_ns);
            late_ns.expect("no alarm rings early") / 1_000
        }
    }))
    .await;
    lateness_us.sort_unstable();
    lateness_us
}

#[tokio::test]
async fn test_timing_precision_realistic() {
    open_files::raise_open_file_limit(2_000).unwrap();
    for precision in [Precision::Sleep, Precision::Yield] {
        let lateness_us = lateness_us(precision).await;
        let quantile = |percent: usize| lateness_us[lateness_us.len() * percent / 100];
        let (p50, p95, p99) = (quantile(50), quantile(95), quantile(99));
        println!("{precision:?}: p50 {p50} µs, p95 {p95} µs, p99 {p99} µs late");
        assert!(p50 < 5_000, "{precision:?}: p50 is {p50} µs");
        assert!(p95 < 20_000, "{precision:?}: p95 is {p95} µs");
        assert!(p99 < 50_000, "{precision:?}: p99 is {p99} µs");
    }
}
