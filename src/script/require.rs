//! `require`: a module by its path, as Luau resolves it. `./` and `../` lead from the file that
//! requires it, `@self/` from the directory of an `init.lua`, and `@bench/` into the embedded
//! standard library.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::luau::{NavigateError, Require};
use mlua::{Function, Lua, MultiValue, Result as LuaResult, Value};

use super::chunks::{load_chunk, shown_path};
use super::error::ScriptError;
use super::host::ScriptHost;
use super::members::GLOBALS;
use super::project::{MANIFEST, MAX_PATH_BYTES};
use super::values::{fail, fault, text, unknown};
use crate::ir::directory::{OpenError, regular_file};
use crate::ir::source::Module;

/// The modules of the standard library: path below `@bench/`, source text.
const STANDARD_LIBRARY: &[(&str, &str)] = &[("office", include_str!("../../stdlib/office.lua"))];

/// The version of a module of the project, where nothing states a version.
const UNVERSIONED: &str = "unversioned";

/// The files that a path can name, by what is added to it.
const FILES: [&str; 4] = [".lua", ".luau", "/init.lua", "/init.luau"];

/// Maximum depth to which modules may require one another. Each module runs on the stack of the
/// thread that requires it, and a thread that makes operations has a stack of 2 MiB.
const MAX_DEPTH: usize = 64;

/// The UTF-8 form of U+FEFF.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const PREFIXES: &str = "a path begins with \"./\" or \"../\" (from the file that requires it), \"@self/\" (from the directory of an init.lua) or \"@bench/\" (the standard library)";

/// The path of a module, without the ending of its file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ModulePath {
    InProject(PathBuf),
    InStandardLibrary(PathBuf),
}

impl ModulePath {
    fn path(&mut self) -> &mut PathBuf {
        match self {
            ModulePath::InProject(path) | ModulePath::InStandardLibrary(path) => path,
        }
    }

    /// Returns the path as messages write it.
    fn shown(&self) -> String {
        match self {
            ModulePath::InProject(path) => shown_path(path),
            ModulePath::InStandardLibrary(path) => {
                shown_path(&Path::new("@bench").join(path)).trim_end_matches('/').into()
            }
        }
    }
}

/// A module that was read and not run yet.
struct Found {
    name: String,
    module: ModulePath,
    /// The path of its file as the user would write it.
    path: String,
    source: String,
    version: &'static str,
}

/// The modules of one VM.
#[derive(Default)]
struct Modules {
    /// The path of each file that may call `require`, by the name under which Lua knows the file.
    files: RefCell<HashMap<String, ModulePath>>,
    loaded: RefCell<HashSet<ModulePath>>,
    /// The script and the modules that are running their top level, each required by the one
    /// before.
    loading: RefCell<Vec<(ModulePath, String)>>,
    /// The reason why the path that is being resolved leads to no module.
    problem: RefCell<Option<String>>,
}

/// Creates the function `require`. Modules are loaded once, at the top level only.
pub(super) fn function(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Function> {
    let modules = Rc::new(Modules::default());
    let script = &host.project.script;
    let chunk = chunk_name(script);
    let module = ModulePath::InProject(without_ending(script));
    modules.files.borrow_mut().insert(chunk, module.clone());
    modules.loading.borrow_mut().push((module, shown_path(script)));
    let resolve = lua.create_require_function(Resolver {
        host: Rc::clone(host),
        modules: Rc::clone(&modules),
        at: ModulePath::InProject(PathBuf::new()),
        found: RefCell::new(None),
    })?;
    let host = Rc::clone(host);
    lua.create_function(move |_, (path, more): (Value, MultiValue)| {
        host.callback(|| {
            let path = text(&path, "require: the module's path")?;
            if !more.is_empty() {
                return fail!("require takes one argument, the path of a module");
            }
            check_path(&path).map_err(fault)?;
            modules.problem.take();
            let module: LuaResult<Value> = resolve.call(path.as_str());
            match modules.problem.take() {
                Some(problem) if module.is_err() => fail!("module {path:?} {problem}"),
                _ => module,
            }
        })
    })
}

/// Checks what a path looks like, before anything is looked up.
fn check_path(path: &str) -> Result<(), String> {
    let shown = || format!("{:?}", path.chars().take(60).collect::<String>());
    if path.len() > MAX_PATH_BYTES || path.contains(char::is_control) {
        return Err(format!(
            "{} is no path of a module: it has control characters or more than {MAX_PATH_BYTES} bytes",
            shown()
        ));
    }
    if ["./", "../", "@"].iter().any(|prefix| path.starts_with(prefix)) {
        return Ok(());
    }
    if matches!(path, "bench" | "smbench") {
        return Err(
            "bench is a global and needs no require: write bench.workload { … } as it is".into()
        );
    }
    if GLOBALS.contains(&path) {
        return Err(format!("'{path}' is a global and needs no require"));
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let below = path.strip_prefix("std.").unwrap_or(path);
    let standard = STANDARD_LIBRARY.iter().find(|(name, _)| *name == below);
    let meant = match standard {
        Some((name, _)) => format!(": write require(\"@bench/{name}\")"),
        None if path.starts_with('/') || !path.contains(plain) => String::new(),
        None if path.contains('/') => format!(": write require(\"./{path}\")"),
        None => format!(": write require(\"./{}\")", path.replace('.', "/")),
    };
    Err(format!("{} is no path of a module{meant}; {PREFIXES}", shown()))
}

/// Luau's resolver walks through the project with this, step by step.
struct Resolver {
    host: Rc<ScriptHost>,
    modules: Rc<Modules>,
    /// The path that the resolver has come to.
    at: ModulePath,
    /// The module at that path, if it has one that is not loaded yet.
    found: RefCell<Option<Found>>,
}

impl Resolver {
    /// Records why the path leads to no module.
    fn problem(&self, problem: String) -> NavigateError {
        self.modules.problem.replace(Some(problem));
        NavigateError::NotFound
    }

    /// Reads the module at the present path.
    fn find(&self) -> Result<Found, String> {
        if self.host.declared.borrow().is_none() {
            return Err("must be required at the top level of the script, outside of all functions, so that it is loaded before the first operation".into());
        }
        match &self.at {
            ModulePath::InStandardLibrary(path) => {
                let name = path.to_string_lossy();
                let modules = STANDARD_LIBRARY;
                let (_, source) =
                    modules.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                        let known: Vec<String> =
                            modules.iter().map(|(name, _)| format!("@bench/{name}")).collect();
                        let known = known.iter().map(String::as_str);
                        format!("not found: {}", unknown("module", &self.at.shown(), known))
                    })?;
                Ok(Found {
                    name: self.at.shown(),
                    module: self.at.clone(),
                    path: format!("{}.lua", self.at.shown()),
                    source: (*source).into(),
                    version: env!("CARGO_PKG_VERSION"),
                })
            }
            ModulePath::InProject(path) => self.find_in_project(path),
        }
    }

    fn find_in_project(&self, path: &Path) -> Result<Found, String> {
        let project = &self.host.project;
        let mut found: Option<(PathBuf, File)> = None;
        let files = FILES.map(|ending| {
            let mut file = path.as_os_str().to_owned();
            // The module of the project's own directory.
            file.push(if file.is_empty() { ending.trim_start_matches('/') } else { ending });
            PathBuf::from(file)
        });
        for file in &files {
            let shown = || shown_path(&project.shown(file));
            match project.directory.regular_file(file) {
                Ok((opened, _)) => match found.replace((file.clone(), opened)) {
                    None => {}
                    Some((first, _)) => {
                        return Err(format!(
                            "is ambiguous: there are {} and {}; rename one of them",
                            shown_path(&project.shown(&first)),
                            shown()
                        ));
                    }
                },
                Err(OpenError::Unreadable(error))
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(OpenError::Outside) => {
                    return Err(format!(
                        "is outside: {} is a symbolic link, or below one, that is absolute or leads out of the project, and modules are read from inside the project only",
                        shown()
                    ));
                }
                Err(error) => return Err(format!("cannot be read: {}: {error}", shown())),
            }
        }
        let Some((file, opened)) = found else { return Err(self.not_found(path, &files)) };
        let shown = shown_path(&project.shown(&file));
        if chunk_name(&file).len() > MAX_PATH_BYTES {
            return Err(format!("cannot be read: its path has more than {MAX_PATH_BYTES} bytes"));
        }
        let source = read_text(opened, self.host.limits.source_bytes)
            .map_err(|why| format!("cannot be read: {shown}: {why}"))?;
        Ok(Found {
            name: shown_path(&file),
            module: self.at.clone(),
            path: shown,
            source,
            version: UNVERSIONED,
        })
    }

    fn not_found(&self, path: &Path, files: &[PathBuf]) -> String {
        let shown: Vec<String> =
            files.iter().map(|file| shown_path(&self.host.project.shown(file))).collect();
        let hint = match path.extension().and_then(|ending| ending.to_str()) {
            Some(ending @ ("lua" | "luau")) => format!("; leave .{ending} out of the path"),
            _ => String::new(),
        };
        format!("not found: there is no {}{hint}", shown.join(", no "))
    }
}

impl Require for Resolver {
    fn is_require_allowed(&self, chunk: &str) -> bool {
        self.modules.files.borrow().contains_key(chunk.trim_start_matches('='))
    }

    fn reset(&mut self, chunk: &str) -> Result<(), NavigateError> {
        // Luau looks for the configuration of aliases upward from the file, and comes back.
        self.modules.problem.take();
        let files = self.modules.files.borrow();
        self.at = files.get(chunk.trim_start_matches('=')).ok_or(NavigateError::NotFound)?.clone();
        Ok(())
    }

    fn jump_to_alias(&mut self, _path: &str) -> Result<(), NavigateError> {
        Err(NavigateError::NotFound)
    }

    fn to_alias_override(&mut self, alias: &str) -> Result<(), NavigateError> {
        match alias {
            "bench" => self.at = ModulePath::InStandardLibrary(PathBuf::new()),
            // Luau itself resolves it.
            "self" => return Err(NavigateError::NotFound),
            _ => {
                let problem = format!("not found: there is no alias @{alias}; {PREFIXES}");
                self.problem(problem.clone());
                // After "not found", Luau would look for a file that configures aliases.
                return Err(NavigateError::Other(fault(problem)));
            }
        }
        Ok(())
    }

    fn to_parent(&mut self) -> Result<(), NavigateError> {
        if self.at.path().pop() {
            return Ok(());
        }
        let project = &self.host.project;
        Err(self.problem(match self.at {
            ModulePath::InStandardLibrary(_) => {
                "is outside: a path does not lead out of the standard library".into()
            }
            ModulePath::InProject(_) if project.has_manifest => format!(
                "is outside of the project, which is the directory of {}",
                shown_path(&project.shown(Path::new(MANIFEST)))
            ),
            ModulePath::InProject(_) => format!(
                "is outside of the script's directory; a file {MANIFEST} in a directory above makes that one the project, from which modules are read"
            ),
        }))
    }

    fn to_child(&mut self, name: &str) -> Result<(), NavigateError> {
        self.at.path().push(name);
        Ok(())
    }

    fn has_module(&self) -> bool {
        if self.modules.loaded.borrow().contains(&self.at) {
            return true;
        }
        match self.find() {
            Ok(found) => {
                self.found.replace(Some(found));
                true
            }
            Err(problem) => {
                self.problem(problem);
                false
            }
        }
    }

    fn cache_key(&self) -> String {
        self.at.shown()
    }

    fn has_config(&self) -> bool {
        false
    }

    fn config(&self) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// Returns the function that runs the module. Luau keeps it, and calls it until it has
    /// returned a module.
    fn loader(&self, lua: &Lua) -> LuaResult<Function> {
        let (host, modules) = (Rc::clone(&self.host), Rc::clone(&self.modules));
        let found = self.found.take().ok_or_else(|| fault("the module was not read"))?;
        lua.create_function(move |lua, ()| host.callback(|| load(lua, &host, &modules, &found)))
    }
}

/// Runs the top level of a module and returns what it returns.
fn load(lua: &Lua, host: &ScriptHost, modules: &Modules, found: &Found) -> LuaResult<Value> {
    let Found { name, module, path, source, version } = found;
    let names = |loading: &[(ModulePath, String)]| -> Vec<String> {
        loading.iter().map(|(_, name)| name.clone()).collect()
    };
    {
        let loading = modules.loading.borrow();
        if let Some(first) = loading.iter().position(|(known, _)| known == module) {
            let circle = names(&loading[first..]).join(" -> ");
            return fail!("modules require one another in a circle: {circle} -> {name}");
        }
        if loading.len() > MAX_DEPTH {
            return Err(fault(too_deep(&names(&loading), name)));
        }
    }
    let chunk = match module {
        ModulePath::InProject(_) => chunk_name(Path::new(name)),
        ModulePath::InStandardLibrary(_) => path.clone(),
    };
    modules.files.borrow_mut().insert(chunk.clone(), module.clone());
    modules.loading.borrow_mut().push((module.clone(), name.clone()));
    host.chunks.borrow_mut().add(&chunk, path, source);
    let result: LuaResult<Value> = load_chunk(lua, &chunk, source);
    modules.loading.borrow_mut().pop();
    let value = result?;
    match &value {
        Value::Nil => return fail!("module {name} returns nothing; end it with \"return M\""),
        Value::Table(table) => table.set_readonly(true),
        _ => {}
    }
    if let Some(declared) = host.declared.borrow_mut().as_mut() {
        let hash = blake3::hash(source.as_bytes()).to_hex().to_string();
        declared.modules.push(Module { name: name.clone(), version: (*version).into(), hash });
    }
    modules.loaded.borrow_mut().insert(module.clone());
    Ok(value)
}

/// Returns the path that leads to a file, which is its directory's for an `init.lua`.
fn without_ending(file: &Path) -> PathBuf {
    match file.file_stem() {
        Some(stem) if stem == "init" => file.with_file_name("").components().collect(),
        _ => file.with_extension(""),
    }
}

/// Returns the name under which Lua knows a file: its path within the project, of which the end is
/// kept if it is longer than Lua keeps.
pub(super) fn chunk_name(file: &Path) -> String {
    let mut name = shown_path(file);
    while name.len() > MAX_PATH_BYTES {
        name.remove(0);
    }
    name
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
}
