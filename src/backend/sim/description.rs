//! A simulated server as `--target` describes it: `sim?latency=5ms&stall=200ms/5s`.

use std::fmt;
use std::time::Duration;

use super::faults::shares;
use super::latency::{LONGEST, Latency};
use super::server::SimSettings;
use super::window::Window;
use crate::ir::units::parse_duration_ns;
use crate::protocol::{NtStatus, nearest};

/// The part of a target after `sim?`. It is printed as it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    text: String,
    latency: Option<Latency>,
    stalls: Vec<Window>,
    outages: Vec<Window>,
    /// The statuses with which operations fail, and the share of operations that fails with each.
    failures: Vec<(NtStatus, f64)>,
}

/// The reason why a string describes no simulated server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    #[error("sim has no setting {key:?}{}: the settings are latency, stall, outage and fail", did_you_mean(*.nearest))]
    UnknownKey { key: String, nearest: Option<&'static str> },
    #[error("sim: {key}={value}: {reason}; write {}", examples(.key))]
    Value { key: &'static str, value: String, reason: String },
}

const KEYS: [&str; 4] = ["latency", "stall", "outage", "fail"];
const DISTRIBUTIONS: [&str; 3] = ["uniform", "lognormal", "bimodal"];

/// Returns every form that a value can have.
fn examples(key: &str) -> &'static str {
    match key {
        "latency" => {
            "latency=5ms, uniform(1ms,5ms), lognormal(2ms,0.5) with median and sigma, \
             or bimodal(1ms,50ms,0.05) with the share of the slow"
        }
        "stall" => "stall=200ms/5s for 200 ms every 5 s, or stall=200ms@10s for once after 10 s",
        "outage" => "outage=2s@10s for 2 s after 10 s, or outage=2s/30s for 2 s every 30 s",
        _ => "fail=STATUS_SHARING_VIOLATION:0.01 for one operation in a hundred",
    }
}

impl Description {
    /// Parses what follows `sim?`: `key=value`, joined by `&`. There may be several stalls, outages
    /// and failures.
    ///
    /// # Errors
    /// [`DescriptionError`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Description, DescriptionError> {
        let mut description = Description { text: text.into(), ..Description::default() };
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
                let nearest = nearest(key, KEYS);
                return Err(DescriptionError::UnknownKey { key: shortened(key), nearest });
            };
            description.set(key, value).map_err(|reason| DescriptionError::Value {
                key,
                value: shortened(value),
                reason,
            })?;
        }
        Ok(description)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "latency" if self.latency.is_some() => return Err("latency is given twice".into()),
            "latency" => self.latency = Some(latency(value)?),
            "stall" => self.stalls.push(window(value)?),
            "outage" => self.outages.push(window(value)?),
            _ => {
                self.failures.push(failure(value)?);
                let all: f64 = self.failures.iter().map(|(_, share)| share).sum();
                // Shares such as ten times 0.1 do not add up to 1 exactly.
                if all > 1.0 + 1e-9 {
                    return Err(format!(
                        "the shares of all failures add up to {all}, which is more than 1"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Returns the settings of the described server, with random numbers from this seed.
    pub fn settings(&self, seed: u64) -> SimSettings {
        let plain = SimSettings::default();
        SimSettings {
            latency: self.latency.unwrap_or(plain.latency),
            stalls: self.stalls.clone(),
            outages: self.outages.clone(),
            faults: match self.failures.is_empty() {
                true => plain.faults,
                false => shares(seed, self.failures.clone()),
            },
            seed,
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => f.write_str("sim"),
            text => write!(f, "sim?{text}"),
        }
    }
}

fn latency(value: &str) -> Result<Latency, String> {
    let Some((name, rest)) = value.split_once('(') else {
        return duration(value).map(Latency::Constant);
    };
    let Some(inner) = rest.strip_suffix(')') else {
        return Err("the \"(\" has no \")\" at the end".into());
    };
    let values: Vec<&str> = inner.split(',').map(str::trim).collect();
    match (name, &values[..]) {
        ("uniform", [low, high]) => {
            let (low, high) = (duration(low)?, duration(high)?);
            if low > high {
                return Err("the lower bound is above the upper bound".into());
            }
            Ok(Latency::Uniform { low, high })
        }
        ("lognormal", [median, sigma]) => {
            const MOST: f64 = 10.0;
            let sigma = number(sigma).filter(|sigma| *sigma <= MOST);
            let sigma = sigma.ok_or_else(|| format!("sigma is a number from 0 to {MOST}"))?;
            Ok(Latency::Lognormal { median: duration(median)?, sigma })
        }
        ("bimodal", [fast, slow, slow_share]) => {
            let (fast, slow) = (duration(fast)?, duration(slow)?);
            if fast > slow {
                return Err("the fast latency is longer than the slow latency".into());
            }
            Ok(Latency::Bimodal { fast, slow, slow_share: share(slow_share)? })
        }
        _ if DISTRIBUTIONS.contains(&name) => {
            let takes = if name == "bimodal" { 3 } else { 2 };
            Err(format!("{name} takes {takes} values, not {}", values.len()))
        }
        _ => {
            let nearest = nearest(name, DISTRIBUTIONS);
            Err(format!("unknown distribution {:?}{}", shortened(name), did_you_mean(nearest)))
        }
    }
}

/// Parses `LENGTH@START` or `LENGTH/PERIOD`.
fn window(value: &str) -> Result<Window, String> {
    let (length, at, window): (_, _, fn(Duration, Duration) -> Window) =
        match (value.split_once('@'), value.split_once('/')) {
            (Some((length, start)), None) => (length, start, Window::once),
            (None, Some((length, period))) => (length, period, Window::every),
            _ => return Err("it has a duration, but no time or period".into()),
        };
    let window = window(duration(at)?, duration(length)?);
    if window.length.is_zero() {
        return Err("its length is 0".into());
    }
    if window.every.is_some_and(|every| every <= window.length) {
        return Err("it is not shorter than its period".into());
    }
    Ok(window)
}

/// Parses `STATUS:SHARE`.
fn failure(value: &str) -> Result<(NtStatus, f64), String> {
    let Some((name, failing)) = value.split_once(':') else {
        return Err("it names no share".into());
    };
    let Some(status) = NtStatus::from_name(name) else {
        let names = NtStatus::KNOWN.iter().filter_map(|status| status.name());
        // Without the prefix, which makes any two names alike.
        let bare = names.map(|name| name.trim_start_matches("STATUS_"));
        let nearest = nearest(name.trim_start_matches("STATUS_"), bare);
        return Err(format!("unknown status {:?}{}", shortened(name), did_you_mean(nearest)));
    };
    if status.is_success() {
        return Err(format!("{status} is not a failure"));
    }
    Ok((status, share(failing)?))
}

fn share(text: &str) -> Result<f64, String> {
    let share = number(text).filter(|share| *share <= 1.0);
    share.ok_or_else(|| format!("{:?} is not a number from 0 to 1", shortened(text)))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = parse_duration_ns(text).map_err(|error| error.to_string())?;
    let duration = Duration::from_nanos(parsed);
    if duration > LONGEST {
        return Err(format!("{} is longer than an hour", shortened(text)));
    }
    Ok(duration)
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(" (did you mean {nearest:?}?)")).unwrap_or_default()
}

/// Returns the beginning of a word that may be very long, enough to recognize it.
fn shortened(word: &str) -> String {
    word.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn parsed(text: &str) -> Description {
        Description::parse(text).unwrap()
    }

    fn error(text: &str) -> String {
        Description::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_setting_is_understood() {
        for (text, latency) in [
            ("5ms", Latency::Constant(ms(5))),
            ("0", Latency::Constant(ms(0))),
            ("uniform(1ms,5ms)", Latency::Uniform { low: ms(1), high: ms(5) }),
            ("lognormal(2ms, 0.5)", Latency::Lognormal { median: ms(2), sigma: 0.5 }),
            (
                "bimodal(1ms,50ms,0.05)",
                Latency::Bimodal { fast: ms(1), slow: ms(50), slow_share: 0.05 },
            ),
        ] {
            assert_eq!(parsed(&format!("latency={text}")).latency, Some(latency));
        }
        let all = parsed(
            "stall=200ms/5s&stall=1s@3s&outage=2s@10s&outage=1s/1m&fail=disk_full:0.01&\
             fail=STATUS_SHARING_VIOLATION:0.5",
        );
        assert_eq!(all.latency, None);
        assert_eq!(
            all.stalls,
            [Window::every(ms(5_000), ms(200)), Window::once(ms(3_000), ms(1_000))]
        );
        assert_eq!(
            all.outages,
            [Window::once(ms(10_000), ms(2_000)), Window::every(ms(60_000), ms(1_000))]
        );
        let failures = [(NtStatus::DISK_FULL, 0.01), (NtStatus::SHARING_VIOLATION, 0.5)];
        assert_eq!(all.failures, failures);
    }

    #[test]
    fn a_plain_server_is_as_its_settings_are_by_default() {
        let plain = Description::default().settings(3);
        assert_eq!(plain.latency, SimSettings::default().latency);
        assert_eq!((plain.stalls, plain.outages, plain.seed), (vec![], vec![], 3));
    }

    #[test]
    fn an_unknown_setting_is_answered_with_the_nearest_and_with_all() {
        assert_eq!(
            error("latancy=5ms"),
            "sim has no setting \"latancy\" (did you mean \"latency\"?): the settings are latency, stall, outage and fail"
        );
        assert_eq!(
            error("latency=5ms&colour=red"),
            "sim has no setting \"colour\": the settings are latency, stall, outage and fail"
        );
        assert!(error("").starts_with("sim has no setting \"\": "));
        assert!(error("latency=5ms&").starts_with("sim has no setting \"\": "));
    }

    #[test]
    fn a_wrong_value_is_answered_with_the_reason_and_with_what_to_write() {
        assert_eq!(
            error("latency=lognorml(2ms,0.5)"),
            "sim: latency=lognorml(2ms,0.5): unknown distribution \"lognorml\" (did you mean \"lognormal\"?); \
             write latency=5ms, uniform(1ms,5ms), lognormal(2ms,0.5) with median and sigma, \
             or bimodal(1ms,50ms,0.05) with the share of the slow"
        );
        assert_eq!(
            error("fail=SHARING_VIOLATON:0.1"),
            "sim: fail=SHARING_VIOLATON:0.1: unknown status \"SHARING_VIOLATON\" (did you mean \
             \"SHARING_VIOLATION\"?); write fail=STATUS_SHARING_VIOLATION:0.01 for one operation in a hundred"
        );
        for (text, reason) in [
            ("latency", "\"\" is not a duration"),
            ("latency=5", "\"5\" is not a duration"),
            ("latency=2h", "2h is longer than an hour"),
            ("latency=5ms&latency=5ms", "latency is given twice"),
            ("latency=uniform(1ms,5ms", "the \"(\" has no \")\" at the end"),
            ("latency=uniform(5ms,1ms)", "the lower bound is above the upper bound"),
            ("latency=uniform(1ms)", "uniform takes 2 values, not 1"),
            ("latency=bimodal(1ms,2ms)", "bimodal takes 3 values, not 2"),
            ("latency=bimodal(3ms,2ms,0.1)", "the fast latency is longer than the slow latency"),
            ("latency=bimodal(1ms,2ms,1.1)", "\"1.1\" is not a number from 0 to 1"),
            ("latency=lognormal(2ms,NaN)", "sigma is a number from 0 to 10"),
            ("latency=lognormal(2ms,-1)", "sigma is a number from 0 to 10"),
            ("stall=200ms", "it has a duration, but no time or period"),
            ("stall=0/5s", "its length is 0"),
            ("stall=5s/5s", "it is not shorter than its period"),
            ("outage=2s@10", "\"10\" is not a duration"),
            ("fail=DISK_FULL", "it names no share"),
            ("fail=DISK_FULL:1%", "\"1%\" is not a number from 0 to 1"),
            ("fail=SUCCESS:0.1", "STATUS_SUCCESS is not a failure"),
            ("fail=DISK_FULL:0.7&fail=ACCESS_DENIED:0.7", "add up to 1.4, which is more than 1"),
        ] {
            let error = error(text);
            assert!(error.contains(reason), "{text}: {error}");
            let key = text.split('=').next().unwrap();
            assert!(error.contains(&format!("; write {key}=")), "{text}: {error}");
        }
    }

    #[test]
    fn a_long_text_is_not_repeated_whole() {
        for text in ["x".repeat(10_000), format!("latency={}", "9".repeat(10_000))] {
            assert!(error(&text).len() < 600);
        }
    }
}
