//! The plain data in `bench.state`, which a reload carries from one hook VM to the next.

use std::collections::HashMap;

use mlua::{Lua, Result as LuaResult, Table, Value};

use crate::observability::text::{counted, was};
use crate::script::values::shown;

/// Maximum number of values that are named in the warning about what was not carried over.
const MOST_NAMED: usize = 5;
/// Length, in bytes, from which the path of a value is not made longer.
const LONG_PATH: usize = 100;

/// The numbers, strings, booleans and tables in `bench.state`. A table that several others refer to
/// stays one.
#[derive(Debug, Default)]
pub(super) struct CarriedState {
    /// The content of each table. The first is that of `bench.state`.
    tables: Vec<Vec<(PlainValue, PlainValue)>>,
}

#[derive(Debug)]
enum PlainValue {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    String(Vec<u8>),
    /// The index of a table.
    Table(usize),
}

/// The values in `bench.state` that are not plain data.
#[derive(Debug, Default)]
pub(super) struct NotCarried {
    /// The first few of them: the path and the type of each.
    first: Vec<String>,
    count: usize,
}

impl NotCarried {
    /// Returns a warning that names the first few of them; None if there are none.
    pub fn warning(&self) -> Option<String> {
        let values = counted(self.count as u64, "value");
        let more = if self.count > self.first.len() { ", …" } else { "" };
        (self.count > 0).then(|| {
            format!(
                "a reload keeps only plain data in bench.state (numbers, strings, booleans, and tables of these), so {values} {} dropped: {}{more}",
                was(self.count as u64),
                self.first.join(", ")
            )
        })
    }

    fn add(&mut self, path: &str, value: &Value) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(format!("{path} ({})", value.type_name()));
        }
    }
}

/// The tables that were found, and those whose content is still to be copied.
#[derive(Default)]
struct FoundTables {
    known: HashMap<usize, usize>,
    to_copy: Vec<(usize, Table, String)>,
}

impl FoundTables {
    /// Returns the index of a table.
    fn index(&mut self, table: &Table, path: String) -> usize {
        let next = self.known.len();
        *self.known.entry(table.to_pointer().addr()).or_insert_with(|| {
            self.to_copy.push((next, table.clone(), path));
            next
        })
    }
}

impl CarriedState {
    /// Copies the plain data in `state`. A function, a handle, a metric and a table with a metatable
    /// are none.
    pub fn of(state: &Table) -> LuaResult<(CarriedState, NotCarried)> {
        let mut found = FoundTables::default();
        let mut tables: Vec<Vec<(PlainValue, PlainValue)>> = Vec::new();
        let mut refused = NotCarried::default();
        found.index(state, "bench.state".into());
        while let Some((at, table, path)) = found.to_copy.pop() {
            let mut content = Vec::new();
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair?;
                let path = path_of(&path, &key);
                let Some(plain_key) = plain(&key) else {
                    refused.add(&path, &key);
                    continue;
                };
                let plain_value = match &value {
                    Value::Table(inner) if inner.metatable().is_none() => {
                        Some(PlainValue::Table(found.index(inner, path.clone())))
                    }
                    value => plain(value),
                };
                match plain_value {
                    Some(plain_value) => content.push((plain_key, plain_value)),
                    None => refused.add(&path, &value),
                }
            }
            tables.resize_with(tables.len().max(at + 1), Vec::new);
            tables[at] = content;
        }
        Ok((CarriedState { tables }, refused))
    }

    /// Writes the data into `state`.
    pub fn restore(self, lua: &Lua, state: &Table) -> LuaResult<()> {
        let mut made = vec![state.clone()];
        for content in self.tables.iter().skip(1) {
            made.push(lua.create_table_with_capacity(0, content.len())?);
        }
        let value = |plain: PlainValue| -> LuaResult<Value> {
            Ok(match plain {
                PlainValue::Boolean(value) => Value::Boolean(value),
                PlainValue::Integer(value) => Value::Integer(value),
                PlainValue::Number(value) => Value::Number(value),
                PlainValue::String(bytes) => Value::String(lua.create_string(bytes)?),
                PlainValue::Table(at) => Value::Table(made[at].clone()),
            })
        };
        for (table, content) in made.iter().zip(self.tables) {
            for (key, plain) in content {
                table.raw_set(value(key)?, value(plain)?)?;
            }
        }
        Ok(())
    }
}

/// Returns a value that is neither a table nor bound to its VM.
fn plain(value: &Value) -> Option<PlainValue> {
    Some(match value {
        Value::Boolean(value) => PlainValue::Boolean(*value),
        Value::Integer(value) => PlainValue::Integer(*value),
        Value::Number(value) => PlainValue::Number(*value),
        Value::String(text) => PlainValue::String(text.as_bytes().to_vec()),
        _ => return None,
    })
}

fn path_of(path: &str, key: &Value) -> String {
    match key {
        _ if path.len() >= LONG_PATH => path.to_string(),
        Value::String(name) => {
            let name: String = name.to_string_lossy().chars().take(LONG_PATH).collect();
            format!("{path}.{name}")
        }
        key => format!("{path}[{}]", shown(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_data_is_named_by_its_path() {
        let lua = Lua::new();
        let of = |text: &str| {
            let state: Table = lua.load(text).eval().unwrap();
            let (carried, refused) = CarriedState::of(&state).unwrap();
            (carried.tables.iter().map(Vec::len).sum::<usize>(), refused.warning())
        };
        assert_eq!(of("return { 1, { 'a', true } }"), (4, None));
        let why = "a reload keeps only plain data in bench.state (numbers, strings, booleans, and tables of these), so";
        let (kept, warning) = of("return { deep = { [2] = { f = print } }, x = 1 }");
        let expected = format!("{why} 1 value was dropped: bench.state.deep[2].f (function)");
        assert_eq!((kept, warning), (3, Some(expected)));
        let (kept, warning) = of("return { [{}] = 1, o = setmetatable({}, {}) }");
        assert_eq!(kept, 0);
        let warning = warning.unwrap();
        assert!(warning.starts_with(&format!("{why} 2 values were dropped: ")), "{warning}");
        assert!(warning.contains("bench.state.o (table)"), "{warning}");
        assert!(warning.contains("bench.state[a table] (table)"), "{warning}");
        let (_, warning) = of("local t = {} for i = 1, 9 do t[i] = print end return t");
        assert!(warning.unwrap().ends_with("bench.state[5] (function), …"));
    }

    #[test]
    fn a_deep_or_cyclic_state_is_copied_in_bounded_space() {
        let lua = Lua::new();
        let text = "local t = { x = 1 } t.itself = t
            for i = 1, 1e5 do t = { inner = t, again = t } end
            return t";
        let state: Table = lua.load(text).eval().unwrap();
        let (carried, refused) = CarriedState::of(&state).unwrap();
        assert_eq!((carried.tables.len(), refused.count), (100_001, 0));
        let into = lua.create_table().unwrap();
        carried.restore(&lua, &into).unwrap();
        let check = "local t = ... local n = 0
            while t.inner do assert(t.inner == t.again) t = t.inner n += 1 end
            return n, t.itself == t and t.x == 1";
        let checked: (u32, bool) = lua.load(check).call(into).unwrap();
        assert_eq!(checked, (100_000, true));
    }
}
