//! `needs` of a workload: the backend features that it uses beyond those of its first operations.

use mlua::{Result as LuaResult, Value};

use super::super::values::{bool_field, check_keys, fail, shown, table};
use crate::ir::{Feature, Need};

/// Features and their names in a script, besides `mode`.
const FEATURES: [(&str, Feature); 7] = [
    ("locks", Feature::Locks),
    ("blocking_locks", Feature::BlockingLocks),
    ("access_mask", Feature::AccessMask),
    ("share_mode", Feature::ShareMode),
    ("disposition", Feature::Disposition),
    ("create_options", Feature::CreateOptions),
    ("file_attributes", Feature::FileAttributes),
];

/// Features above mode 0, the highest mode first, because a refusal names the first.
const BY_MODE: [Feature; 6] = [
    Feature::Caching,
    Feature::AccessMask,
    Feature::ShareMode,
    Feature::Disposition,
    Feature::CreateOptions,
    Feature::FileAttributes,
];

pub(super) fn needs(value: &Value, what: &str) -> LuaResult<Vec<Need>> {
    if value.is_nil() {
        return Ok(Vec::new());
    }
    let label = format!("{what}: needs");
    let spec = table(value, &label)?;
    let names: Vec<&str> = FEATURES.iter().map(|(name, _)| *name).chain(["mode"]).collect();
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
    let mut features: Vec<Feature> =
        BY_MODE.into_iter().filter(|feature| feature.mode() <= mode).collect();
    for (name, feature) in FEATURES {
        if bool_field(&spec, &label, name, false)? && !features.contains(&feature) {
            features.push(feature);
        }
    }
    let need = |feature| Need::stated(feature, what);
    Ok(features.into_iter().map(need).collect())
}
