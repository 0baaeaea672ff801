//! The function `require`, which loads a module by its path. Luau resolves the path. `./` and `../`
//! are relative to the directory of the file that calls `require`. An `init.lua` stands for its
//! directory, so in it they are relative to the directory above: in `lib/m/init.lua`, `./x` is
//! `lib/x` and `@self/x` is `lib/m/x`. `@bench/` is the embedded standard library. Another alias is a
//! library that the manifest of the calling file's project or library names. Paths of a library stay
//! within it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::luau::{NavigateError, Require};
use mlua::{Function, Lua, MultiValue, Result as LuaResult, Value};

use super::chunks::{load_chunk, shown_path};
use super::error::{ScriptError, TEST_MODULE};
use super::host::ScriptHost;
use super::members::GLOBALS;
use super::project::{MAX_PATH_BYTES, NO_FILES, Project};
use super::read_files::ReadFiles;
use super::values::{fail, fault, shown, text, unknown};
use crate::ir::directory::{OpenError, regular_file};
use crate::ir::source::Module;
use crate::library::packages::{Package, Packages};
use crate::project::manifest::MANIFEST;
use crate::project::standard_library;
use crate::protocol::nearest;
use crate::protocol::shortened;

/// The version that is recorded for a module or a tree of the project, because these state none.
pub(super) const UNVERSIONED: &str = "unversioned";

/// The endings that turn the path of a module into the path of a file. For the directory of the
/// project itself, only those of an `init` file apply.
const ENDINGS: [&str; 4] = [".lua", ".luau", "/init.lua", "/init.luau"];

/// Maximum depth to which modules may require one another. Each module runs on the stack of the
/// thread that requires it, and a thread that makes operations has a stack of 2 MiB.
const MAX_DEPTH: usize = 64;

/// Maximum length of the name of a library's file in bytes: that of the library, its version and the
/// file's path. An error of Lua contains at most 255 bytes of it.
const MAX_NAME_BYTES: usize = 250;

/// The UTF-8 form of U+FEFF.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const PREFIXES: &str = "a path begins with \"./\" or \"../\" (relative to the directory of the file), \"@self/\" (inside the directory of an init.lua) or \"@bench/\" (the standard library)";

/// The path of a module, without the extension of its file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ModulePath {
    /// The path within the project.
    Project(PathBuf),
    /// The number of the library, and the path within it.
    Library(usize, PathBuf),
    /// The path within the standard library.
    Standard(PathBuf),
}

impl ModulePath {
    /// Returns the path of the module that this file of the project contains.
    fn of_file(file: &Path) -> ModulePath {
        ModulePath::Project(match is_init(file) {
            true => file.parent().unwrap_or(Path::new("")).into(),
            false => file.with_extension(""),
        })
    }

    /// Returns the aliases of libraries that the module can use. The standard library has none.
    fn aliases<'p>(&self, packages: &'p Packages) -> Option<&'p BTreeMap<String, usize>> {
        match self {
            ModulePath::Project(_) => Some(packages.aliases(None)),
            ModulePath::Library(number, _) => Some(packages.aliases(Some(*number))),
            ModulePath::Standard(_) => None,
        }
    }

    fn path(&mut self) -> &mut PathBuf {
        match self {
            ModulePath::Project(path)
            | ModulePath::Library(_, path)
            | ModulePath::Standard(path) => path,
        }
    }
}

/// Returns whether a file stands for its directory.
fn is_init(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "init")
}

/// Returns the name of a module of the standard library, such as `@bench/office`.
fn in_standard_library(path: &Path) -> String {
    shown_path(&Path::new("@bench").join(path)).trim_end_matches('/').into()
}

/// A module that was read and has not run yet.
struct ReadModule {
    /// The name under which Lua knows the file: its path within the project, or the path with
    /// `@bench/` for the standard library. That of a library's file has the library's name and
    /// version before its path.
    name: String,
    module: ModulePath,
    /// The path of its file as the user would write it.
    path: String,
    source: String,
    version: String,
}

/// The modules of one VM.
#[derive(Default)]
struct Modules {
    /// The module of each file that may call `require`, by the name under which Lua knows the file.
    files: RefCell<HashMap<String, ModulePath>>,
    loaded: RefCell<HashSet<ModulePath>>,
    /// The script, followed by the modules whose top level is running. Each was required by the one
    /// before it. The strings are Lua's names of the files.
    loading: RefCell<Vec<(ModulePath, String)>>,
    /// The module that made the latest call of `require`.
    caller: RefCell<Option<ModulePath>>,
    /// A hint for the case that the path that is being resolved leads nowhere; may be empty.
    hint: RefCell<String>,
    /// The reason why that path leads to no module.
    problem: RefCell<Option<String>>,
}

/// Creates the function `require`. It loads each module once, and only while the top level of the
/// script runs.
pub(super) fn function(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Function> {
    let modules = Rc::new(Modules::default());
    let script = &host.project.script;
    let (module, name) = (ModulePath::of_file(script), shown_path(script));
    modules.files.borrow_mut().insert(name.clone(), module.clone());
    modules.loading.borrow_mut().push((module, name));
    let resolve = lua.create_require_function(Resolver {
        host: Rc::clone(host),
        modules: Rc::clone(&modules),
        at: ModulePath::Project(PathBuf::new()),
        read: RefCell::new(None),
    })?;
    let host = Rc::clone(host);
    lua.create_function(move |lua, (path, more): (Value, MultiValue)| {
        host.callback(|| {
            let quoted = shown(&path);
            let path = text(&path, "require: the module's path")?;
            if !more.is_empty() {
                return fail!("require takes one argument, the path of a module");
            }
            // The caller is the nearest file of the script on the stack. Luau would report the
            // prelude as the caller of `pcall(require, path)`.
            let line = host.line(lua).unwrap_or_default();
            let file = line.rsplit_once(':').map_or("", |(file, _)| file);
            let caller = modules.files.borrow().get(file).cloned();
            let aliases = caller.as_ref().and_then(|caller| caller.aliases(&host.project.packages));
            check_path(&path, &quoted, aliases).map_err(fault)?;
            let Some(caller) = caller else {
                return fail!(
                    "require must be called from a line of the script or of a module, to which the path is relative: write function() return require({path:?}) end instead of passing require itself"
                );
            };
            if host.project.directory.is_none()
                && matches!(caller, ModulePath::Project(_))
                && ["./", "../", "@self"].iter().any(|prefix| path.starts_with(prefix))
            {
                return fail!("module {quoted} cannot be read: {NO_FILES}");
            }
            modules.caller.replace(Some(caller));
            modules.hint.replace(prefix_hint(&path, file));
            modules.problem.take();
            let module: LuaResult<Value> = resolve.call(path.as_str());
            match modules.problem.take() {
                Some(problem) if module.is_err() => fail!("module {quoted} {problem}"),
                _ => module,
            }
        })
    })
}

/// Checks the form of a path before any file is looked up. Errors write the path as `quoted`.
/// `aliases` are those that the calling file can use.
fn check_path(
    path: &str,
    quoted: &str,
    aliases: Option<&BTreeMap<String, usize>>,
) -> Result<(), String> {
    if path.len() > MAX_PATH_BYTES {
        return Err(format!("the path {quoted} is longer than {MAX_PATH_BYTES} bytes"));
    }
    if path.contains(char::is_control) {
        return Err(format!("the path {quoted} has control characters"));
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
    let bare = path.strip_suffix(".luau").or_else(|| path.strip_suffix(".lua")).unwrap_or(path);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let below = path.strip_prefix("std.").unwrap_or(path);
    let first = path.split('/').next().unwrap_or_default();
    let meant = match standard_library::MODULES.iter().find(|(name, _)| *name == below) {
        _ if aliases.is_some_and(|known| known.contains_key(first)) => {
            format!(": write require(\"@{path}\")")
        }
        Some((name, _)) => format!(": write require(\"@bench/{name}\")"),
        None if path.is_empty() || path.starts_with(['/', '.']) || !path.chars().all(plain) => {
            String::new()
        }
        None if bare != path || path.contains('/') => format!(": write require(\"./{bare}\")"),
        None => format!(": write require(\"./{}\")", path.replace('.', "/")),
    };
    Err(format!("{quoted} is not the path of a module{meant}; {PREFIXES}"))
}

/// Returns a hint for a path that begins with `./` in an `init.lua` or with `@self/` in another
/// file, and otherwise an empty string.
fn prefix_hint(path: &str, file: &str) -> String {
    match (is_init(Path::new(file)), path.strip_prefix("./"), path.strip_prefix("@self/")) {
        (true, Some(rest), _) => format!(
            "; an init.lua stands for its directory: write \"@self/{rest}\" for a module inside it"
        ),
        (false, _, Some(rest)) => {
            format!("; \"@self/\" is for an init.lua: write \"./{rest}\" here")
        }
        _ => String::new(),
    }
}

/// The position from which Luau's resolver looks for a module. The resolver moves it step by step.
struct Resolver {
    host: Rc<ScriptHost>,
    modules: Rc<Modules>,
    at: ModulePath,
    /// The module at that position, if it has one that is not loaded yet.
    read: RefCell<Option<ReadModule>>,
}

impl Resolver {
    /// Records why the path leads to no module.
    fn problem(&self, problem: String) -> NavigateError {
        self.modules.problem.replace(Some(problem));
        NavigateError::NotFound
    }

    /// Reads the module at the present position.
    fn read(&self) -> Result<ReadModule, String> {
        if self.host.declared.borrow().is_none() {
            return Err("must be required at the top level of the script, outside of all functions, so that it is loaded before the first operation".into());
        }
        let (name, path, source, version) = match &self.at {
            ModulePath::Standard(path) => {
                let name = in_standard_library(path);
                if name == TEST_MODULE && self.host.tests.is_none() {
                    return Err("is for test files, which smbench test runs".into());
                }
                let source = standard_module(path, &name)?.to_string();
                (name.clone(), name, source, env!("CARGO_PKG_VERSION").into())
            }
            ModulePath::Library(number, path) => return self.read_of_library(*number, path),
            ModulePath::Project(path) => {
                let project = &self.host.project;
                // A new file at any of these paths would change the result.
                if let Some(root) = &project.root {
                    candidates(path).for_each(|file| self.host.reads.add(&root.join(file)));
                }
                let (file, opened) = module_file(project, path)?.ok_or_else(|| {
                    format!("{}{}", not_found(project.name(), path), self.modules.hint.borrow())
                })?;
                let limit = self.host.limits.source_bytes;
                let source = (self.host.sources)
                    .file(false, &file, || {
                        let bytes = read_bytes(opened, limit)?;
                        if let Some(root) = &project.root {
                            self.host.reads.set_content(&root.join(&file), &bytes);
                        }
                        text_of(bytes)
                    })
                    .map_err(|why| format!("cannot be read: {}: {why}", shown_path(&file)))?
                    .to_string();
                let shown = shown_path(&self.host.project.shown(&file));
                (shown_path(&file), shown, source, UNVERSIONED.into())
            }
        };
        Ok(ReadModule { name, module: self.at.clone(), path, source, version })
    }

    /// Reads the module at `path` in a library.
    fn read_of_library(&self, number: usize, path: &Path) -> Result<ReadModule, String> {
        let project = &self.host.project;
        let package = project.packages.get(number);
        let (file, opened) =
            file_of_library(package, path, &self.host.reads)?.ok_or_else(|| {
                let library = library_name(package);
                format!("{}{}", not_found(&library, path), self.modules.hint.borrow())
            })?;
        let name = format!("{}@{}/{}", package.id.name, package.id.version, shown_path(&file));
        if name.len() > MAX_NAME_BYTES {
            return Err(format!(
                "cannot be read: the name of its file, {}, is longer than {MAX_NAME_BYTES} bytes",
                shortened(&name, MAX_NAME_BYTES)
            ));
        }
        let limit = self.host.limits.source_bytes;
        let read = || {
            let opened = match opened {
                Some(opened) => opened,
                None => package.file(&file).ok().flatten().ok_or("it cannot be opened")?,
            };
            let bytes = read_bytes(opened, limit)?;
            self.host.reads.set_content(&package.root.join(&file), &bytes);
            match package.may_have(&file, &bytes) {
                true => text_of(bytes),
                false => Err("it was changed while the script was loaded".into()),
            }
        };
        let source = (self.host.sources)
            .file(false, &package.root.join(&file), read)
            .map_err(|why| format!("cannot be read: {name}: {why}"))?
            .to_string();
        let shown = shown_path(&project.shown_in_package(number, &file));
        let version = package.id.version.to_string();
        Ok(ReadModule { name, module: self.at.clone(), path: shown, source, version })
    }

    /// Returns the message for an alias that the calling file does not have.
    fn no_alias(&self, alias: &str) -> String {
        let packages = &self.host.project.packages;
        let caller = self.modules.caller.borrow();
        let of = match &*caller {
            Some(ModulePath::Library(number, _)) => Some(*number),
            _ => None,
        };
        let aliases: &BTreeMap<String, usize> = packages.aliases(of);
        let known: Vec<String> = aliases.keys().map(|alias| format!("@{alias}")).collect();
        let meant = nearest(alias, aliases.keys().map(String::as_str));
        let known = match (known.is_empty(), meant) {
            (true, _) => PREFIXES.to_string(),
            (false, Some(meant)) => format!("did you mean @{meant}?"),
            (false, None) => format!("the libraries here are {}", known.join(", ")),
        };
        let advice = match of {
            Some(number) => format!(
                "; the aliases in {} are those of [dependencies] in its own {MANIFEST}",
                library_name(packages.get(number))
            ),
            None if self.host.project.directory.is_none() => String::new(),
            None => "; smbench lib add adds a library to the project".into(),
        };
        format!("not found: there is no alias @{alias}; {known}{advice}")
    }
}

/// Returns the words with which errors name a library.
fn library_name(package: &Package) -> String {
    format!("the library {}", package.id.name)
}

fn standard_module(path: &Path, name: &str) -> Result<&'static str, String> {
    if path.as_os_str().is_empty() {
        return Err("names no module; add its name, such as \"@bench/office\"".into());
    }
    let found = standard_library::MODULES.iter().find(|(known, _)| Path::new(known) == path);
    found.map(|(_, source)| *source).ok_or_else(|| {
        let known: Vec<String> =
            standard_library::MODULES.iter().map(|(known, _)| format!("@bench/{known}")).collect();
        let known = known.iter().map(String::as_str);
        format!("not found: {}", unknown("module", name, known))
    })
}

/// Returns the files that can contain the module at `path`.
fn candidates(path: &Path) -> impl Iterator<Item = PathBuf> {
    let endings = if path.as_os_str().is_empty() { &ENDINGS[2..] } else { &ENDINGS[..] };
    endings.iter().map(move |ending| {
        let mut file = path.as_os_str().to_owned();
        file.push(if file.is_empty() { ending.trim_start_matches('/') } else { ending });
        PathBuf::from(file)
    })
}

fn not_found(place: &str, path: &Path) -> String {
    let names: Vec<String> = candidates(path).map(|file| shown_path(&file)).collect();
    let hint = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension @ ("lua" | "luau")) => format!("; leave .{extension} out of the path"),
        _ => String::new(),
    };
    format!("not found: {place} has none of {}{hint}", names.join(", "))
}

/// Opens the file of the project that contains the module at `path`. Returns None if there is none.
fn module_file(project: &Project, path: &Path) -> Result<Option<(PathBuf, File)>, String> {
    let directory = project.directory.as_ref().ok_or(format!("cannot be read: {NO_FILES}"))?;
    let found = only_file(path, "the project", |file| match directory.regular_file(file) {
        Ok((opened, _)) => Ok(Some(opened)),
        Err(OpenError::Unreadable(error)) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    })?;
    match &found {
        Some((file, _)) if shown_path(file).len() > MAX_PATH_BYTES => Err(format!(
            "cannot be read: the path of its file is longer than {MAX_PATH_BYTES} bytes"
        )),
        _ => Ok(found),
    }
}

/// Finds the file of a library that contains the module at `path`. Returns None if there is none.
/// Opens the file if the library has no listing.
fn file_of_library(
    package: &Package,
    path: &Path,
    reads: &ReadFiles,
) -> Result<Option<(PathBuf, Option<File>)>, String> {
    let library = library_name(package);
    // The files of a library with a listing are known, so only the file itself can change.
    if let Some(listing) = &package.listing {
        return only_file(path, &library, |file| {
            let is_listed = file.to_str().is_some_and(|path| listing.file_hash(path).is_some());
            if is_listed {
                reads.add(&package.root.join(file));
            }
            Ok(is_listed.then_some(None))
        });
    }
    only_file(path, &library, |file| {
        reads.add(&package.root.join(file));
        Ok(package.file(file)?.map(Some))
    })
}

/// Returns the one file that can contain the module at `path` and is there. `place` is the words for
/// the directory that the files are in.
fn only_file<T>(
    path: &Path,
    place: &str,
    open: impl Fn(&Path) -> Result<Option<T>, OpenError>,
) -> Result<Option<(PathBuf, T)>, String> {
    let mut found: Option<(PathBuf, T)> = None;
    for file in candidates(path) {
        let name = shown_path(&file);
        match open(&file) {
            Ok(Some(opened)) => {
                if let Some((first, _)) = found.replace((file, opened)) {
                    let first = shown_path(&first);
                    return Err(format!(
                        "is ambiguous: there are {first} and {name}; rename one of them"
                    ));
                }
            }
            Ok(None) => {}
            Err(OpenError::Outside) => {
                let which = if place == "the project" { place } else { "the library" };
                return Err(format!(
                    "is outside of {place}: the path {name} contains a symbolic link that is absolute or leads out of {which}; copy the file into {which}"
                ));
            }
            Err(error) => return Err(format!("cannot be read: {name}: {error}")),
        }
    }
    Ok(found)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Require for Resolver {
    fn is_require_allowed(&self, _chunk: &str) -> bool {
        true
    }

    fn reset(&mut self, _chunk: &str) -> Result<(), NavigateError> {
        // For `@self`, Luau first searches the directories above for a configuration of aliases and
        // then resets. A problem that this search recorded does not count.
        self.modules.problem.take();
        self.at = self.modules.caller.borrow().clone().ok_or(NavigateError::NotFound)?;
        Ok(())
    }

    fn jump_to_alias(&mut self, _path: &str) -> Result<(), NavigateError> {
        Err(NavigateError::NotFound)
    }

    fn to_alias_override(&mut self, alias: &str) -> Result<(), NavigateError> {
        let caller = self.modules.caller.borrow();
        let aliases = caller.as_ref().and_then(|it| it.aliases(&self.host.project.packages));
        let number = aliases.and_then(|aliases| aliases.get(alias).copied());
        match (alias, number) {
            ("bench", _) => self.at = ModulePath::Standard(PathBuf::new()),
            // Luau itself resolves `@self` if this returns "not found".
            ("self", _) => return Err(NavigateError::NotFound),
            (_, Some(number)) => {
                self.at = ModulePath::Library(number, PathBuf::new());
            }
            (_, None) => {
                let problem = self.no_alias(alias);
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
        let problem = match self.at {
            ModulePath::Standard(_) => "is outside of the standard library".into(),
            ModulePath::Library(number, _) => {
                let packages = &self.host.project.packages;
                format!("is outside of {}", library_name(packages.get(number)))
            }
            ModulePath::Project(_) if self.host.project.has_manifest => {
                format!("is outside of the project, which is the directory with {MANIFEST}")
            }
            ModulePath::Project(_) => format!(
                "is outside of the script's directory; to read modules from a directory above, create a file {MANIFEST} in it"
            ),
        };
        let hint = self.modules.hint.borrow();
        Err(self.problem(problem + &hint))
    }

    fn to_child(&mut self, name: &str) -> Result<(), NavigateError> {
        self.at.path().push(name);
        Ok(())
    }

    fn has_module(&self) -> bool {
        if self.modules.loaded.borrow().contains(&self.at) {
            return true;
        }
        match self.read() {
            Ok(read) => {
                self.read.replace(Some(read));
                true
            }
            Err(problem) => {
                self.problem(problem);
                false
            }
        }
    }

    fn cache_key(&self) -> String {
        match &self.at {
            ModulePath::Project(path) => format!("./{}", shown_path(path)),
            ModulePath::Library(number, path) => format!("{number}:{}", shown_path(path)),
            ModulePath::Standard(path) => in_standard_library(path),
        }
    }

    fn has_config(&self) -> bool {
        false
    }

    fn config(&self) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// Returns the function that runs the module. Luau keeps the function, and calls it at each
    /// `require` until it has returned a module.
    fn loader(&self, lua: &Lua) -> LuaResult<Function> {
        let (host, modules) = (Rc::clone(&self.host), Rc::clone(&self.modules));
        let read = self.read.take().ok_or_else(|| fault("the module was not read"))?;
        lua.create_function(move |lua, ()| host.callback(|| load(lua, &host, &modules, &read)))
    }
}

/// Runs the top level of a module and returns the module's value.
fn load(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    modules: &Modules,
    read: &ReadModule,
) -> LuaResult<Value> {
    let ReadModule { name, module, path, source, version } = read;
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
    // A file of the project could have the name of a library's file.
    if modules.files.borrow().get(name).is_some_and(|known| known != module) {
        return fail!(
            "two modules have the name {name}; rename the directory of the one in the project"
        );
    }
    modules.files.borrow_mut().insert(name.clone(), module.clone());
    if let ModulePath::Library(number, _) = module {
        host.files_of_libraries.borrow_mut().insert(name.clone(), *number);
    }
    modules.loading.borrow_mut().push((module.clone(), name.clone()));
    // A module whose top level failed may be required again, and is already in the list then.
    if !host.chunks.borrow().names.contains(name) {
        host.chunks.borrow_mut().add(name, path, source);
    }
    let result: LuaResult<Value> = match &host.tests {
        Some(tests) if name == TEST_MODULE => {
            let native = tests.native.borrow().clone();
            lua.load(source.as_str())
                .set_name(format!("={name}"))
                .set_mode(ChunkMode::Text)
                .call(native)
        }
        _ => load_chunk(lua, name, source),
    };
    modules.loading.borrow_mut().pop();
    let value = result?;
    match &value {
        Value::Nil => return fail!("module {name} returns nothing; end it with \"return M\""),
        Value::Table(table) => table.set_readonly(true),
        _ => {}
    }
    if let Some(declared) = host.declared.borrow_mut().as_mut() {
        let hash = blake3::hash(source.as_bytes()).to_hex().to_string();
        declared.modules.push(Module { name: name.clone(), version: version.clone(), hash });
    }
    modules.loaded.borrow_mut().insert(module.clone());
    Ok(value)
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
pub(super) fn read_source(
    path: &Path,
    limit: usize,
    reads: &ReadFiles,
) -> Result<String, ScriptError> {
    let opened = regular_file(path).map_err(|error| error.to_string());
    opened
        .and_then(|(file, _)| read_bytes(file, limit))
        .and_then(|bytes| {
            reads.set_content(path, &bytes);
            text_of(bytes)
        })
        .map_err(|reason| ScriptError::Unreadable { path: path.to_path_buf(), reason })
}

/// Reads the bytes of a script or module within the size limit.
fn read_bytes(file: File, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > limit {
        return Err(format!("it has more than {limit} bytes, the most a script may have"));
    }
    Ok(bytes)
}

/// Returns the text of a script or module, without a byte order mark.
fn text_of(mut bytes: Vec<u8>) -> Result<String, String> {
    // Some editors on Windows put this mark at the beginning of a file. It is not part of the text.
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
            read_source(&path, 16, &ReadFiles::default()).map_err(|error| error.to_string())
        };
        assert_eq!(reason(b"return 1"), Ok("return 1".into()));
        assert_eq!(reason(b"\xef\xbb\xbfreturn 1"), Ok("return 1".into()));
        assert!(reason(b"\xef\xbb\xbf\x1bLua").unwrap_err().contains("bytecode"));
        assert!(reason(b"\x06\x03abc").unwrap_err().contains("bytecode"));
        assert!(reason(b"\x1bLua").unwrap_err().contains("bytecode"));
        assert!(reason(b"-- \xff").unwrap_err().contains("UTF-8"));
        assert!(reason(&[b' '; 17]).unwrap_err().contains("more than 16 bytes"));
        assert!(read_source(folder.path(), 16, &ReadFiles::default()).is_err());
        assert!(read_source(Path::new("/dev/zero"), 16, &ReadFiles::default()).is_err());
    }
}
