//! The policy of a client for answering breaks, by which a server takes back what it granted.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parameter_value::{CreateError, ParameterValue, nanoseconds, only};

/// The reaction of a client to a break. Its operations stay blocked until the break has ended:
/// acknowledged, closed, lost with the connection, or given up by the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BreakPolicy {
    pub answer: BreakAnswer,
    /// The time from the notice to the answer.
    pub delay_ns: u64,
    /// Whether a FLUSH is sent before the answer if the client could cache writes (an exclusive or
    /// a batch oplock, a lease with W).
    pub flush: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakAnswer {
    /// The client acknowledges the break and keeps what the server leaves (MS-SMB2 3.2.5.19).
    #[default]
    Acknowledge,
    /// The client does not answer; the server gives up after [`SERVER_BREAK_TIMEOUT_NS`].
    Ignore,
}

/// The time for which a server waits for an acknowledgement before it takes back what it granted
/// all the same: 35 s, MS-SMB2 3.3.2.1 (note 200) and 3.3.2.5.
pub const SERVER_BREAK_TIMEOUT_NS: u64 = 35_000_000_000;

/// The key in scripts and documents.
const KEY: &str = "on_break";

impl BreakAnswer {
    pub const ALL: [BreakAnswer; 2] = [BreakAnswer::Acknowledge, BreakAnswer::Ignore];

    /// Returns the name used in scripts and documents.
    pub fn name(self) -> &'static str {
        match self {
            BreakAnswer::Acknowledge => "acknowledge",
            BreakAnswer::Ignore => "ignore",
        }
    }
}

impl BreakPolicy {
    /// The fields of a policy, in scripts and in documents.
    pub const FIELDS: [&str; 3] = ["policy", "delay", "flush"];
    /// The message for a delay that is too long.
    const TOO_LATE: &str = "a delay of less than 35 s, for that is how long a server waits for an answer; policy = \"ignore\" gives none";
    /// The message for a policy that ignores breaks and has further fields.
    const IGNORES: &str = "neither delay nor flush where the policy is \"ignore\": they belong to an answer, and it gives none";

    /// Returns whether breaks are answered at once, with no flush before the answer.
    pub fn is_default(&self) -> bool {
        *self == BreakPolicy::default()
    }

    /// Parses a table of policy, delay (a string with a unit) and flush.
    ///
    /// # Errors
    /// [`CreateError`] for anything else.
    pub fn parse(value: ParameterValue<'_>) -> Result<BreakPolicy, CreateError> {
        let wants = |wanted| CreateError::Wants { key: KEY, wanted };
        let ParameterValue::Structure(Value::Object(fields)) = value else {
            return Err(wants("a table with policy, delay and flush"));
        };
        only(KEY, fields, &BreakPolicy::FIELDS)?;
        let answer = match fields.get("policy") {
            None => BreakAnswer::default(),
            Some(policy) => BreakAnswer::ALL
                .into_iter()
                .find(|answer| policy == answer.name())
                .ok_or(wants("the policy \"acknowledge\" or \"ignore\""))?,
        };
        let delay_ns = match fields.get("delay") {
            None => 0,
            Some(delay) => nanoseconds(delay)
                .ok_or(wants("a delay with a unit, such as \"50ms\" or \"2s\""))?,
        };
        let flush = match fields.get("flush") {
            None => false,
            Some(flush) => flush.as_bool().ok_or(wants("flush to be true or false"))?,
        };
        BreakPolicy::new(answer, delay_ns, flush).map_err(wants)
    }

    /// Creates a policy.
    ///
    /// # Errors
    /// A message that says what is wanted instead, if the delay is too long or the fields
    /// contradict one another.
    pub fn new(
        answer: BreakAnswer,
        delay_ns: u64,
        flush: bool,
    ) -> Result<BreakPolicy, &'static str> {
        if answer == BreakAnswer::Ignore && (delay_ns > 0 || flush) {
            return Err(BreakPolicy::IGNORES);
        }
        if delay_ns >= SERVER_BREAK_TIMEOUT_NS {
            return Err(BreakPolicy::TOO_LATE);
        }
        Ok(BreakPolicy { answer, delay_ns, flush })
    }

    /// Returns the policy in the form that [`parse`](Self::parse) reads.
    pub fn written(&self) -> Value {
        let mut fields = Map::from_iter([("policy".to_string(), self.answer.name().into())]);
        if self.delay_ns > 0 {
            let (factor, unit) = [(1_000_000, "ms"), (1_000, "us"), (1, "ns")]
                .into_iter()
                .find(|(factor, _)| self.delay_ns.is_multiple_of(*factor))
                .unwrap_or((1, "ns"));
            fields.insert("delay".into(), format!("{}{unit}", self.delay_ns / factor).into());
        }
        if self.flush {
            fields.insert("flush".into(), true.into());
        }
        Value::Object(fields)
    }
}

/// The serde format of a policy in a document's header, which is that of scripts.
pub mod in_words {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use serde_json::Value;

    use super::BreakPolicy;

    pub fn serialize<S: Serializer>(policy: &BreakPolicy, to: S) -> Result<S::Ok, S::Error> {
        policy.written().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BreakPolicy, D::Error> {
        let value = Value::deserialize(from)?;
        BreakPolicy::parse((&value).into()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<BreakPolicy, String> {
        BreakPolicy::parse(value.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_is_read_back_as_it_was_written_to_the_nanosecond() {
        let acknowledge = BreakAnswer::Acknowledge;
        for (value, policy) in [
            (json!({}), BreakPolicy::default()),
            (
                json!({ "policy": "ignore" }),
                BreakPolicy { answer: BreakAnswer::Ignore, ..BreakPolicy::default() },
            ),
            (
                json!({ "policy": "acknowledge", "delay": "50ms", "flush": true }),
                BreakPolicy { answer: acknowledge, delay_ns: 50_000_000, flush: true },
            ),
            (
                json!({ "delay": "1.5 s" }),
                BreakPolicy { delay_ns: 1_500_000_000, ..BreakPolicy::default() },
            ),
            (
                json!({ "delay": "1500us" }),
                BreakPolicy { delay_ns: 1_500_000, ..BreakPolicy::default() },
            ),
            (json!({ "delay": "7ns" }), BreakPolicy { delay_ns: 7, ..BreakPolicy::default() }),
            (json!({ "delay": 0 }), BreakPolicy::default()),
        ] {
            assert_eq!(parse(&value), Ok(policy), "{value}");
            assert_eq!(parse(&policy.written()), Ok(policy), "{value}");
        }
        assert_eq!(parse(&json!({ "delay": "50ms" })).unwrap().written()["delay"], "50ms");
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused() {
        for (value, expected) in [
            (json!("ignore"), "on_break wants a table with policy, delay and flush"),
            (
                json!({ "policy": "ignroe" }),
                r#"on_break wants the policy "acknowledge" or "ignore""#,
            ),
            (
                json!({ "delay": 50 }),
                r#"on_break wants a delay with a unit, such as "50ms" or "2s""#,
            ),
            (json!({ "flush": 1 }), "on_break wants flush to be true or false"),
            (json!({ "dealy": "1s" }), r#"on_break has no "dealy"; nearest is "delay""#),
            (
                json!({ "policy": "ignore", "delay": "1s" }),
                "on_break wants neither delay nor flush where the policy is \"ignore\": they belong to an answer, and it gives none",
            ),
            (
                json!({ "delay": "35s" }),
                "on_break wants a delay of less than 35 s, for that is how long a server waits for an answer; policy = \"ignore\" gives none",
            ),
        ] {
            assert_eq!(parse(&value).unwrap_err(), expected);
        }
    }
}
