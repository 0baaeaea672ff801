//! `require`: modules from the script's directory `lib/`, then the embedded `std.*`.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Value};
use semver::{Version, VersionReq};

use super::chunks::load_chunk;
use super::error::ScriptError;
use super::host::Host;
use super::members::GLOBALS;
use super::values::{fail, fault, text, unknown};
use crate::ir::directory::{Directory, OpenError, regular_file};
use crate::ir::source::Module;

/// The embedded modules: name, file name in messages, source text.
const EMBEDDED: &[(&str, &str, &str)] =
    &[("std.office", "std/office.lua", include_str!("../../stdlib/office.lua"))];

/// The version of a module in `lib/`, where nothing states a version.
const UNVERSIONED: &str = "unversioned";

/// The message for a link out of the script's directory. It is the same whether or not the target
/// of the link exists.
const OUTSIDE: &str = "a symbolic link leads out of the script's directory, or is absolute; modules are read from inside that directory only";

/// Maximum depth to which modules may require one another. Each module runs on the stack of the
/// thread that requires it, and a thread that makes operations has a stack of 2 MiB.
const MAX_DEPTH: usize = 64;

/// The UTF-8 form of U+FEFF.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

struct Found {
    chunk: String,
    /// The path as the user would name it.
    path: String,
    source: String,
    version: String,
}

/// Creates the function `require`. Modules are loaded once, at the top level only.
pub(super) fn function(lua: &Lua, host: &Rc<Host>) -> LuaResult<Function> {
    let host = Rc::clone(host);
    let loaded = lua.create_table()?;
    let loading = RefCell::new(Vec::<String>::new());
    lua.create_function(move |lua, (name, wanted): (Value, Value)| {
        host.callback(|| {
            let name = text(&name, "require: the module's name")?;
            let cached: Value = loaded.raw_get(name.as_str())?;
            if !cached.is_nil() {
                check_version(&name, &recorded(&host, &name), &wanted)?;
                return Ok(cached);
            }
            if loading.borrow().contains(&name) {
                let circle = loading.borrow().join(" -> ");
                return fail!("modules require one another in a circle: {circle} -> {name}");
            }
            if loading.borrow().len() == MAX_DEPTH {
                return Err(fault(too_deep(&loading.borrow(), &name)));
            }
            let found = find(&host, &name)?;
            check_version(&name, &found.version, &wanted)?;
            loading.borrow_mut().push(name.clone());
            host.chunks.borrow_mut().add(&found.chunk, &found.path, &found.source);
            let result: LuaResult<Value> = load_chunk(lua, &found.chunk, &found.source);
            loading.borrow_mut().pop();
            let module = result?;
            if module.is_nil() {
                return fail!("module '{name}' returns nothing; end it with \"return M\"");
            }
            if let Value::Table(table) = &module {
                table.set_readonly(true);
            }
            if let Some(declared) = host.declared.borrow_mut().as_mut() {
                let hash = blake3::hash(found.source.as_bytes()).to_hex().to_string();
                declared.modules.push(Module { name: name.clone(), version: found.version, hash });
            }
            loaded.raw_set(name, &module)?;
            Ok(module)
        })
    })
}

fn recorded(host: &Host, name: &str) -> String {
    let declared = host.declared.borrow();
    let module =
        declared.as_ref().and_then(|declared| declared.modules.iter().find(|m| m.name == name));
    module.map_or_else(String::new, |module| module.version.clone())
}

fn find(host: &Host, name: &str) -> LuaResult<Found> {
    let directory = match host.declared.borrow().as_ref() {
        Some(declared) => declared.directory.clone(),
        None => {
            return fail!(
                "require {} must be called at the top level of the script, outside of all functions",
                shown_name(name)
            );
        }
    };
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if name.len() > 128 || !name.split('.').all(plain) {
        return fail!(
            "{} is no module name: write names of letters, digits and '_' with dots between, such as \"acme.office\"",
            shown_name(name)
        );
    }
    if name == "std" || name.starts_with("std.") {
        let embedded = EMBEDDED.iter().find(|(known, ..)| *known == name);
        let (_, chunk, source) = embedded.ok_or_else(|| {
            fault(unknown("module", name, EMBEDDED.iter().map(|(known, ..)| *known)))
        })?;
        return Ok(Found {
            chunk: (*chunk).to_string(),
            path: (*chunk).to_string(),
            source: (*source).to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
        });
    }
    let file = format!("lib/{}.lua", name.replace('.', "/"));
    let path = directory.join(&file);
    let shown = host.chunks.borrow().beside_the_script(&file);
    let refused = |why: &str| fault(format!("module '{name}': {}: {why}", path.display()));
    let opened = Directory::open(&directory)
        .map_err(OpenError::Unreadable)
        .and_then(|directory| directory.regular_file(file.as_ref()));
    let opened = opened.map_err(|error| match error {
        OpenError::Outside => refused(OUTSIDE),
        OpenError::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
            fault(not_found(name, &path))
        }
        other => refused(&other.to_string()),
    })?;
    let source = read_text(opened.0, host.limits.source_bytes).map_err(|why| refused(&why))?;
    Ok(Found { chunk: file, path: shown, source, version: UNVERSIONED.to_string() })
}

fn not_found(name: &str, path: &Path) -> String {
    match name {
        "bench" | "smbench" => {
            "bench is a global and needs no require: write bench.workload { … } as it is".into()
        }
        name if GLOBALS.contains(&name) => format!("'{name}' is a global and needs no require"),
        name => format!("module '{name}' not found: there is no {}", path.display()),
    }
}

fn too_deep(loading: &[String], name: &str) -> String {
    let ends = match loading {
        [first, second, .., last] => format!("{first} -> {second} -> … -> {last} -> {name}"),
        all => format!("{} -> {name}", all.join(" -> ")),
    };
    format!(
        "modules require one another more than {MAX_DEPTH} levels deep: {ends}; require them side by side, or put several into one file"
    )
}

fn shown_name(name: &str) -> String {
    format!("{:?}", name.chars().take(60).collect::<String>())
}

fn check_version(name: &str, version: &str, wanted: &Value) -> LuaResult<()> {
    if wanted.is_nil() {
        return Ok(());
    }
    let wanted = text(wanted, "require: the version")?;
    let request = VersionReq::parse(&wanted).map_err(|_| {
        fault(format!(
            "require: {} is no version; write \"^1.2\" or \">=0.1\"",
            shown_name(&wanted)
        ))
    })?;
    if version == UNVERSIONED {
        return fail!("module '{name}' has no version, so \"{wanted}\" cannot be required");
    }
    match Version::parse(version) {
        Ok(found) if request.matches(&found) => Ok(()),
        _ => fail!("module '{name}' is version {version}; the script requires {wanted}"),
    }
}

/// Reads a script, which must be a regular text file within the size limit.
pub(super) fn read_source(path: &Path, limit: usize) -> Result<String, ScriptError> {
    let opened = regular_file(path).map_err(|error| error.to_string());
    opened
        .and_then(|(file, _)| read_text(file, limit))
        .map_err(|reason| ScriptError::Unreadable { path: path.to_path_buf(), reason })
}

/// Reads the text of a script or module within the size limit, without a byte order mark.
fn read_text(file: File, limit: usize) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > limit {
        return Err(format!("it has more than {limit} bytes, the most a script may have"));
    }
    // Editors on Windows begin a file with this mark. It is not part of the text.
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    if bytes.first().is_some_and(|byte| *byte < b'\t' || *byte == 0x1b) {
        return Err("it is compiled bytecode; a script must be source code".into());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_text_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.lua");
        let reason = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_source(&path, 16).map_err(|error| error.to_string())
        };
        assert_eq!(reason(b"return 1"), Ok("return 1".into()));
        assert_eq!(reason(b"\xef\xbb\xbfreturn 1"), Ok("return 1".into()));
        assert!(reason(b"\xef\xbb\xbf\x1bLua").unwrap_err().contains("bytecode"));
        assert!(reason(b"\x06\x03abc").unwrap_err().contains("bytecode"));
        assert!(reason(b"\x1bLua").unwrap_err().contains("bytecode"));
        assert!(reason(b"-- \xff").unwrap_err().contains("UTF-8"));
        assert!(reason(&[b' '; 17]).unwrap_err().contains("more than 16 bytes"));
        assert!(read_source(folder.path(), 16).is_err());
        assert!(read_source(Path::new("/dev/zero"), 16).is_err());
    }

    #[test]
    fn every_embedded_module_is_below_std() {
        assert!(EMBEDDED.iter().all(|(name, ..)| name.starts_with("std.")));
    }
}
