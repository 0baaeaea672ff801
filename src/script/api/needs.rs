//! `needs` of a workload: the backend features that it uses beyond those of its first operations.

use std::cmp::Reverse;

use mlua::{Result as LuaResult, Value};

use super::super::values::{bool_field, check_keys, fail, shown, table};
use crate::ir::{Feature, Need};

/// Returns the features that a workload names one by one. It gets those of mode 2 with `mode`.
fn features_named_singly() -> impl Iterator<Item = Feature> {
    Feature::ALL.into_iter().filter(|feature| feature.mode() < 2)
}

pub(super) fn needs(value: &Value, what: &str) -> LuaResult<Vec<Need>> {
    if value.is_nil() {
        return Ok(Vec::new());
    }
    let label = format!("{what}: needs");
    let spec = table(value, &label)?;
    let names: Vec<&str> = features_named_singly().map(Feature::key).chain(["mode"]).collect();
    check_keys(&spec, &label, "field", &names)?;
    let mode: u8 = match spec.raw_get::<Value>("mode")? {
        Value::Nil => 0,
        Value::Integer(mode @ 0..=2) => mode as u8,
        other => {
            return fail!(
                "{label}: mode is 0 (paths), 1 (fields of CREATE) or 2 (oplocks, leases, durable handles), not {}",
                shown(&other)
            );
        }
    };
    let mut features = Feature::ALL.to_vec();
    features.retain(|feature| (1..=mode).contains(&feature.mode()));
    // The highest mode comes first, because a refusal names the first feature.
    features.sort_by_key(|feature| Reverse(feature.mode()));
    for feature in features_named_singly() {
        if bool_field(&spec, &label, feature.key(), false)? && !features.contains(&feature) {
            features.push(feature);
        }
    }
    let need = |feature| Need::stated(feature, what);
    Ok(features.into_iter().map(need).collect())
}
