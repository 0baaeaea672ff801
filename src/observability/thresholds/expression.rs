//! Threshold expressions such as `read.response.p99 < 20ms`, and their parser.

use super::metric::{CustomKinds, Metric, Unit};
use super::names::{self, short};
use crate::ir::units::{parse_duration_ns, parse_size};

/// A metric, a comparison, and the value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub metric: Metric,
    pub operator: Operator,
    /// The value to compare with, in the metric's unit.
    pub bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

/// The most characters of a threshold. A longer string is no threshold, and no message should quote
/// it.
const MAX_CHARS: usize = 300;

impl Operator {
    /// The operators by symbol. Symbols of two characters come first, because they begin like
    /// others.
    const SYMBOLS: [(&str, Operator); 6] = [
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<", Operator::Less),
        (">", Operator::More),
    ];

    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Operator::Less => value < bound,
            Operator::AtMost => value <= bound,
            Operator::More => value > bound,
            Operator::AtLeast => value >= bound,
            Operator::Equal => value == bound,
            Operator::Unequal => value != bound,
        }
    }
}

/// How a value of a summary is compared, and with what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    operator: Operator,
    /// The bound, in the unit of the summary.
    bound: f64,
}

impl Comparison {
    pub fn holds(self, value: f64) -> bool {
        self.operator.holds(value, self.bound)
    }
}

impl Expression {
    /// Returns the comparison for values as they are in a summary.
    pub fn comparison_in_summary(&self) -> Comparison {
        let bound = self.metric.unit().in_summary(self.bound);
        Comparison { operator: self.operator, bound }
    }

    /// Parses `<metric>.<statistic> <operator> <value>`. Never panics, whatever the string is.
    ///
    /// # Errors
    /// A message that says what is wrong and how to write it.
    pub fn parse(text: &str, custom: &CustomKinds) -> Result<Expression, String> {
        const LIKE: &str =
            "write a metric, a comparison and a value, such as 'read.response.p99 < 20ms'";
        if text.chars().count() > MAX_CHARS {
            return Err(format!("it is longer than {MAX_CHARS} characters; {LIKE}"));
        }
        let Some(at) = text.find(['<', '>', '=', '!']) else {
            let what = if text.trim().is_empty() { "it is empty" } else { "it has no comparison" };
            return Err(format!("{what}; {LIKE}"));
        };
        let (metric, rest) = text.split_at(at);
        if metric.contains('{') {
            return Err(
                "a threshold cannot select values of a metric by their tags; let a hook record these in a metric of their own"
                    .into(),
            );
        }
        let Some((operator, value)) = Operator::SYMBOLS
            .iter()
            .find_map(|(symbol, operator)| Some((*operator, rest.strip_prefix(symbol)?)))
        else {
            let near = match rest.as_bytes() {
                [b'!', ..] => "!=",
                [_, b'<', ..] => "<=",
                [_, b'>', ..] => ">=",
                _ => "==",
            };
            return Err(format!("'{}' is not a comparison; write {near}", &rest[..1]));
        };
        let metric_text = metric.trim();
        if metric_text.is_empty() {
            return Err(format!("it has no metric before the comparison; {LIKE}"));
        }
        let metric = names::parse(metric_text, custom)?;
        let value = value.trim();
        let bound = bound(metric.unit(), value).ok_or_else(|| {
            let described = metric.unit().described();
            match value {
                "" => format!("it has no value; {metric_text} is {described}"),
                value => format!("{metric_text} is {described}, not '{}'", short(value)),
            }
        })?;
        Ok(Expression { metric, operator, bound })
    }

    pub fn holds(&self, value: f64) -> bool {
        self.operator.holds(value, self.bound)
    }

    /// Returns whether the expression fails for `value` and will fail whatever is measured later. A
    /// value that may shrink again is not waited for: only a count that is still too small may pass
    /// later.
    pub fn is_lost(&self, value: f64) -> bool {
        let mendable = match self.operator {
            _ if !self.metric.grows() => false,
            Operator::Less | Operator::AtMost => false,
            Operator::Equal => value < self.bound,
            Operator::More | Operator::AtLeast | Operator::Unequal => true,
        };
        !self.holds(value) && !mendable
    }
}

/// Parses a value in `unit`. Returns None for any other string.
fn bound(unit: Unit, text: &str) -> Option<f64> {
    match unit {
        Unit::Time => parse_duration_ns(text).ok().map(|ns| ns as f64),
        Unit::Share => share(text),
        Unit::Count => decimal(text).filter(|count| count.fract() == 0.0),
        Unit::PerSecond => decimal(without_per_second(text)),
        Unit::Bytes => parse_size(text).ok().map(|bytes| bytes as f64),
        Unit::BytesPerSecond => parse_size(without_per_second(text)).ok().map(|bytes| bytes as f64),
        Unit::Number => match text.strip_prefix('-') {
            Some(positive) => decimal(positive).map(|number| -number),
            None => decimal(text),
        },
    }
}

fn without_per_second(text: &str) -> &str {
    text.strip_suffix("/s").map_or(text, str::trim_end)
}

/// Parses digits and at most one decimal point: no sign, no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    text.parse().ok().filter(|number: &f64| text.chars().all(plain) && number.is_finite())
}

/// Parses a share. A bare 1 would mean everything and is most likely meant as one percent, so from
/// 1 on only percentages are accepted.
fn share(text: &str) -> Option<f64> {
    let Some(percent) = text.strip_suffix('%') else {
        return decimal(text).filter(|share| *share < 1.0);
    };
    let percent = percent.trim_end();
    decimal(percent)?;
    // Parsed as hundredths instead of divided, so that 0.1% is the same number as 0.001.
    format!("{percent}e-2").parse().ok().filter(|share: &f64| *share <= 1.0)
}
