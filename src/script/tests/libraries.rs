//! Tests of libraries: packages of the lock, which scripts require by their aliases.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::ir::StreamHeader;
use crate::library::listing::Listing;
use crate::library::lock::{LOCK, Lock, LockedPackage, LockedSource, PackageId, Reference};
use crate::library::store::directory_name;
use crate::script::Reload;

const WORKLOAD: &str = "
bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";

/// A project whose libraries are installed.
pub(super) struct WithLibraries {
    pub written: Written,
    lock: Lock,
}

/// Parses a name and a version, such as `acme/office 1.2.0`.
fn id(text: &str) -> PackageId {
    let (name, version) = text.split_once(' ').unwrap();
    PackageId { name: name.into(), version: semver::Version::parse(version).unwrap() }
}

/// Parses aliases with their packages, such as `office acme/office 1.2.0`.
fn ids(aliases: &[&str]) -> BTreeMap<String, PackageId> {
    let pairs = aliases.iter().map(|text| text.split_once(' ').unwrap());
    pairs.map(|(alias, package)| (alias.to_string(), id(package))).collect()
}

/// Returns the manifest of a package that names these aliases.
fn manifest_of(id: &PackageId, aliases: &[&str]) -> String {
    let named = ids(aliases).into_iter().map(|(alias, PackageId { name, version })| {
        format!("{alias} = {{ repo = \"https://host/{name}.git\", version = \"={version}\" }}\n")
    });
    let named: String = named.collect();
    let PackageId { name, version } = id;
    format!("name = \"{name}\"\nversion = \"{version}\"\n[dependencies]\n{named}")
}

/// Makes a project with this script, which has a workload after it, and with these aliases.
pub(super) fn project(text: &str, aliases: &[&str]) -> WithLibraries {
    let written = script(&format!("{text}{WORKLOAD}"));
    let lock = Lock { dependencies: ids(aliases), ..Lock::default() };
    let named: String = (lock.dependencies.iter())
        .map(|(alias, PackageId { name, version })| {
            format!(
                "{alias} = {{ repo = \"https://host/{name}.git\", version = \"={version}\" }}\n"
            )
        })
        .collect();
    let written = written.file("smbench.toml", &format!("[dependencies]\n{named}"));
    WithLibraries { written, lock }
}

impl WithLibraries {
    /// Installs a package from a repository.
    pub fn package(mut self, package: &str, aliases: &[&str], files: &[(&str, &str)]) -> Self {
        let id = id(package);
        let manifest = manifest_of(&id, aliases);
        let files: Vec<(&str, &str)> =
            files.iter().copied().chain([("smbench.toml", manifest.as_str())]).collect();
        let listing = Listing::of(files.iter().map(|(path, text)| (*path, text.as_bytes())));
        let hash = listing.hash();
        let directory = format!(".smbench/packages/{}", directory_name(&id, &hash));
        self.written = self.written.file(&format!("{directory}/files"), &listing.text());
        fs::create_dir_all(self.written.path(&format!("{directory}/library"))).unwrap();
        for (path, text) in files {
            self.written = self.written.file(&format!("{directory}/library/{path}"), text);
        }
        let source = LockedSource::Repository {
            repo: format!("https://host/{}.git", id.name),
            reference: Reference::Tag(format!("v{}", id.version)),
            commit: "a".repeat(40),
            hash,
        };
        self.lock.packages.insert(id, LockedPackage { source, dependencies: ids(aliases) });
        self
    }

    /// Names a package in the directory `path`, and writes its manifest.
    pub fn in_directory(mut self, package: &str, path: &str, aliases: &[&str]) -> Self {
        let id = id(package);
        let manifest = format!("name = \"{}\"\nversion = \"{}\"\n", id.name, id.version);
        self.written = self.written.file(&format!("{path}/smbench.toml"), &manifest);
        let source = LockedSource::Path(path.into());
        self.lock.packages.insert(id, LockedPackage { source, dependencies: ids(aliases) });
        self
    }

    /// Writes the lock.
    pub fn locked(self) -> Written {
        let text = self.lock.text();
        self.written.file(LOCK, &text)
    }
}

/// Returns the directory of a package's files.
fn files_of(written: &Written, package: &str) -> PathBuf {
    let prefix = package.replace(['/', ' '], "-");
    let packages = fs::read_dir(written.path(".smbench/packages")).unwrap();
    let mut paths = packages.map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&prefix);
    paths.find(is_it).unwrap().join("library")
}

/// Loads the script again, as a reload does.
fn loaded_anew(written: &Written) -> Result<StreamHeader, String> {
    let mut options = written.options.clone();
    options.begin_generation(Reload { generation: 2, begin_ns: 0 });
    let script = Script::load(&options).map_err(|error| error.to_string())?;
    Ok(script.header().clone())
}

fn refused_anew(written: &Written) -> String {
    loaded_anew(written).unwrap_err()
}

const OFFICE: &str = "acme/office 1.2.0";

/// Makes a project that requires `@office`, whose `init.lua` has this text.
fn with_office(text: &str) -> WithLibraries {
    project("local office = require('@office')", &["office acme/office 1.2.0"]).package(
        OFFICE,
        &[],
        &[("init.lua", text), ("save.lua", "return 'save'")],
    )
}

#[test]
fn a_library_is_required_by_its_alias_and_recorded_with_its_version() {
    let text = "local office, save = require('@office'), require('@Office/lib/save')
        assert(office.save == save and office.size == 7 and require('@office/lib').x == 1)
        assert(require('@office/lib/../lib/save') == save)";
    let written = project(text, &["office acme/office 1.2.0"])
        .package(
            OFFICE,
            &[],
            &[
                ("init.lua", "return { save = require('@self/lib/save'), size = 7 }"),
                ("lib/save.luau", "return { sizes = require('../sizes') } :: any"),
                ("lib/init.lua", "require('./sizes') return { x = 1 }"),
                ("sizes.lua", "return {}"),
                ("README.md", "# office"),
            ],
        )
        .locked();
    let script = written.load().unwrap();
    let modules: Vec<(&str, &str)> =
        script.header().modules.iter().map(|it| (&*it.name, &*it.version)).collect();
    let version = "1.2.0";
    let expected = [
        ("acme/office@1.2.0/sizes.lua", version),
        ("acme/office@1.2.0/lib/save.luau", version),
        ("acme/office@1.2.0/init.lua", version),
        ("acme/office@1.2.0/lib/init.lua", version),
    ];
    assert_eq!(modules, expected);
    let [package] = &script.header().packages[..] else { panic!("one package") };
    assert_eq!(
        (&*package.alias, &*package.name, &*package.version),
        ("office", "acme/office", version)
    );
    assert_eq!(package.repo.as_deref(), Some("https://host/acme/office.git"));
    assert_eq!(package.tag.as_deref(), Some("v1.2.0"));
    assert_eq!(package.commit, Some("a".repeat(40)));
    assert_eq!((package.hash.len(), &package.path, &package.rev), (64, &None, &None));
}

#[test]
fn each_package_has_aliases_of_its_own_and_one_that_several_use_is_loaded_once() {
    let text = "local a, b = require('@a'), require('@b')
        assert(a.base == b.base and a.old ~= b.base and a.old.major == 1 and b.base.major == 2)";
    let written = project(text, &["a acme/a 1.0.0", "b acme/b 1.0.0"])
        .package(
            "acme/a 1.0.0",
            &["base acme/base 2.0.0", "old acme/base 1.0.0"],
            &[("init.lua", "return { base = require('@base'), old = require('@old') }")],
        )
        .package(
            "acme/b 1.0.0",
            &["other acme/base 2.0.0"],
            &[("init.lua", "return { base = require('@other') }")],
        )
        .package("acme/base 1.0.0", &[], &[("init.lua", "return { major = 1 }")])
        .package("acme/base 2.0.0", &[], &[("init.lua", "return { major = 2 }")])
        .locked();
    let script = written.load().unwrap();
    assert_eq!(script.header().modules.len(), 4);
    let packages: Vec<String> = (script.header().packages.iter())
        .map(|it| format!("{} {} {}", it.alias, it.name, it.version))
        .collect();
    let expected =
        ["a acme/a 1.0.0", "b acme/b 1.0.0", "a.base acme/base 2.0.0", "a.old acme/base 1.0.0"];
    assert_eq!(packages, expected);
    for (alias, known) in [("base", "@a, @b"), ("old", "@a, @b")] {
        let text = format!("require('@{alias}'){WORKLOAD}");
        fs::write(written.path("s.lua"), text).unwrap();
        assert_eq!(
            refused_anew(&written),
            format!(
                "s.lua:1: module \"@{alias}\" not found: there is no alias @{alias}; the libraries here are {known}; smbench lib add adds a library to the project"
            )
        );
    }
}

#[test]
fn a_library_knows_neither_the_aliases_nor_the_files_of_the_project() {
    let refused = |path: &str| {
        let text = format!("require('{path}')");
        let written = with_office("return {}").package(OFFICE, &[], &[("init.lua", &text)]);
        let own = written.written.file("mine.lua", "return {}");
        WithLibraries { written: own, lock: written.lock }.locked().refused()
    };
    let place = |directory: &str| format!(".smbench/packages/{directory}/library/init.lua:1: ");
    for (path, problem) in [
        ("@office", "not found: there is no alias @office; a path begins with"),
        ("@mine", "not found: there is no alias @mine"),
        ("./mine", "is outside of the library acme/office; an init.lua stands for its directory"),
        ("../mine", "is outside of the library acme/office"),
        ("@self/../mine", "is outside of the library acme/office"),
        ("@self/../../../../../mine", "is outside of the library acme/office"),
        (
            "@self/none",
            "not found: the library acme/office has none of none.lua, none.luau, none/init.lua, none/init.luau",
        ),
        ("@self/README", "not found: the library acme/office has none of README.lua"),
    ] {
        let message = refused(path);
        let directory = message.split('/').nth(2).unwrap();
        let expected = format!("{}module \"{path}\" {problem}", place(directory));
        assert!(message.starts_with(&expected), "{message}");
    }
    assert!(
        refused("@mine").ends_with(
            "; the aliases in the library acme/office are those of [dependencies] in its own smbench.toml"
        )
    );
}

#[test]
fn nothing_shadows_the_standard_library_and_a_project_cannot_pass_for_a_library() {
    let text = "assert(require('@bench/options') ~= 'mine' and require('@office') == 'office')";
    let written = project(text, &["office acme/office 1.2.0"])
        .package(
            OFFICE,
            &[],
            &[
                ("init.lua", "assert(require('@self/bench/options') == 'mine') return 'office'"),
                ("bench/options.lua", "return 'mine'"),
            ],
        )
        .locked();
    written.load().unwrap();
    let both = "require('@office') require('./acme/office@1.2.0/init')";
    let written = project(both, &["office acme/office 1.2.0"])
        .package(OFFICE, &[], &[("init.lua", "return 1")])
        .locked()
        .file("acme/office@1.2.0/init.lua", "return 2");
    assert!(written.refused().contains("two modules have the name acme/office@1.2.0/init.lua"));
}

#[test]
fn an_error_in_a_library_names_the_file_as_the_user_finds_it() {
    let written = with_office("\nerror('boom')").locked();
    let message = written.refused();
    assert!(message.starts_with(".smbench/packages/acme-office-1.2.0-"), "{message}");
    assert!(message.contains("/library/init.lua:2: boom"), "{message}");
    // The script sees a name that does not depend on the place of the project.
    let text = "local ok, why = pcall(function() return require('@office') end)
        error('seen ' .. why:match('acme/office@1.2.0/init.lua:1: boom'))";
    let written = project(text, &["office acme/office 1.2.0"])
        .package(OFFICE, &[], &[("init.lua", "error('boom')")])
        .locked();
    assert!(written.refused().contains("s.lua:2: seen "), "{}", written.refused());
}

#[test]
fn a_library_changes_neither_globals_nor_the_table_of_another_module() {
    for (text, problem) in [
        ("x = 1 return {}", "globals cannot be set or changed"),
        ("bench.workload = nil return {}", "attempt to modify a readonly table"),
        ("string.find = nil return {}", "attempt to modify a readonly table"),
        ("require('@self/other').x = 1 return {}", "attempt to modify a readonly table"),
        ("getmetatable('').__index = nil return {}", "attempt"),
        ("while true do end", "no result after 150ms of computing (--script-time)"),
        ("return nil", "module acme/office@1.2.0/init.lua returns nothing"),
        ("return string.dump", "returns nothing"),
        ("return {", "init.lua:1: "),
        ("\x1bLua", "it is compiled bytecode"),
    ] {
        let written = project("require('@office')", &["office acme/office 1.2.0"])
            .package(OFFICE, &[], &[("init.lua", text), ("other.lua", "return {}")])
            .locked()
            .with(|options| options.limits = quick());
        let message = written.refused();
        assert!(message.contains(problem), "{text}: {message}");
    }
}

#[test]
fn modules_of_libraries_neither_require_one_another_in_a_circle_nor_too_deep() {
    let circle = with_office("return require('@self/save')")
        .package(
            OFFICE,
            &[],
            &[
                ("init.lua", "return require('@self/a')"),
                ("a.lua", "return require('./b')"),
                ("b.lua", "return require('./a')"),
            ],
        )
        .locked();
    assert!(circle.refused().contains(
        "modules require one another in a circle: acme/office@1.2.0/a.lua -> acme/office@1.2.0/b.lua -> acme/office@1.2.0/a.lua"
    ), "{}", circle.refused());
    let chain = |length: usize| {
        let mut files = vec![("init.lua".to_string(), "return require('@self/m2')".to_string())];
        for at in 2..=length {
            let next = if at < length { format!("require('./m{}')", at + 1) } else { "1".into() };
            files.push((format!("m{at}.lua"), format!("return {next}")));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (&**a, &**b)).collect();
        with_office("").package(OFFICE, &[], &files).locked()
    };
    assert_eq!(chain(64).load().unwrap().header().modules.len(), 64);
    let message = chain(65).refused();
    assert!(message.contains("modules require one another more than 64 levels deep"), "{message}");
}

#[test]
fn files_that_differ_from_the_lock_are_refused_by_name() {
    let change = |change: &dyn Fn(&Path)| {
        let written = with_office("return {}").locked();
        change(&files_of(&written, OFFICE));
        let message = written.refused();
        let directory = directory_of_package(&written);
        message.replace(&directory, "PACKAGE")
    };
    let differs = "smbench.toml: the library acme/office 1.2.0 cannot be used: PACKAGE/";
    let restore = "run smbench lib sync to restore it";
    assert_eq!(
        change(&|files| fs::write(files.join("save.lua"), "return 'other'").unwrap()),
        format!("{differs}library/save.lua does not match smbench.lock; {restore}")
    );
    assert_eq!(
        change(&|files| fs::write(files.join("save.luau"), "return 'more'").unwrap()),
        format!("{differs}library/save.luau is not one of its files; {restore}")
    );
    assert_eq!(
        change(&|files| fs::remove_file(files.join("save.lua")).unwrap()),
        format!("{differs}library/save.lua is missing; {restore}")
    );
    assert_eq!(
        change(&|files| fs::write(files.parent().unwrap().join("files"), "").unwrap()),
        format!("{differs}files does not match smbench.lock; {restore}")
    );
    let linked = change(&|files| {
        fs::remove_file(files.join("save.lua")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", files.join("save.lua")).unwrap();
    });
    assert!(linked.contains("a symbolic link leads out of the directory"), "{linked}");
    assert_eq!(
        change(&|files| fs::remove_dir_all(files.parent().unwrap()).unwrap()),
        "smbench.toml: the library acme/office 1.2.0 is not installed: run smbench lib sync"
    );
}

fn directory_of_package(written: &Written) -> String {
    let directory = match fs::read_dir(written.path(".smbench/packages")).unwrap().next() {
        Some(entry) => entry.unwrap().file_name().into_string().unwrap(),
        None => return "none".into(),
    };
    format!(".smbench/packages/{directory}")
}

#[test]
fn a_lock_that_is_missing_or_that_does_not_fit_is_refused() {
    let project = with_office("return {}");
    assert_eq!(
        project.written.refused(),
        "smbench.toml names libraries, and there is no smbench.lock: run smbench lib lock"
    );
    let written = project.locked();
    written.load().unwrap();
    let manifest = fs::read_to_string(written.path("smbench.toml")).unwrap();
    let added = manifest.clone() + "mail = { repo = \"https://host/mail.git\", version = \"1\" }\n";
    fs::write(written.path("smbench.toml"), added).unwrap();
    let message = refused_anew(&written);
    assert!(message.contains("mail") && message.contains("run smbench lib lock"), "{message}");
    fs::write(written.path("smbench.toml"), "").unwrap();
    let message = refused_anew(&written);
    assert!(message.contains("office") && message.contains("run smbench lib lock"), "{message}");
    fs::write(written.path("smbench.toml"), &manifest).unwrap();
    fs::write(written.path(LOCK), "version = \"1\"\n<<<<<<<\n").unwrap();
    assert!(refused_anew(&written).starts_with("smbench.lock:"), "{}", refused_anew(&written));
    fs::write(written.path("smbench.toml"), "[dependencies\n").unwrap();
    assert!(refused_anew(&written).starts_with("smbench.toml:1: "), "{}", refused_anew(&written));
}

/// Makes a project that requires `@local` from the directory `lib/local`.
fn with_local(text: &str, files: &[(&str, &str)]) -> Written {
    let mut made =
        project(text, &["local local 0.1.0"]).in_directory("local 0.1.0", "lib/local", &[]);
    made.written =
        made.written.file("smbench.toml", "[dependencies]\nlocal = { path = \"lib/local\" }\n");
    let written = made.locked();
    files
        .iter()
        .fold(written, |written, (name, text)| written.file(&format!("lib/local/{name}"), text))
}

#[test]
fn a_library_in_a_directory_is_read_as_it_is() {
    let text = "assert(require('@local').name == 'local' and require('@local/deep/m') == 1)";
    let files = [("init.lua", "return { name = 'local' }"), ("deep/m.luau", "return 1")];
    let written = with_local(text, &files);
    let script = written.load().unwrap();
    let names: Vec<&str> = script.header().modules.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["local@0.1.0/init.lua", "local@0.1.0/deep/m.luau"]);
    let package = script.header().packages[0].clone();
    assert_eq!((package.path.as_deref(), &package.commit), (Some("lib/local"), &None));
    let write = |name: &str, text: &str| {
        fs::write(written.path(&format!("lib/local/{name}")), text).unwrap();
    };
    write("deep/m.luau", "return 2");
    let same = written.load().unwrap().header().clone();
    assert_eq!(&same, script.header(), "the VMs of one load read the files once");
    write("deep/m.luau", "return 1");
    let before = loaded_anew(&written).unwrap();
    write("notes.txt", "no module");
    assert_eq!(loaded_anew(&written).unwrap(), before);
    write("deep/m.luau", "return 1 -- edited");
    let after = loaded_anew(&written).unwrap();
    assert_ne!(after.packages[0].hash, package.hash);
    assert_ne!(after.ir_hash, before.ir_hash);
}

#[test]
fn a_library_in_a_directory_is_that_of_the_lock_and_no_link_leads_out_of_it() {
    let written = with_local("require('@local')", &[("init.lua", "return require('@self/out')")]);
    fs::write(written.path("secret.lua"), "return 'secret'").unwrap();
    std::os::unix::fs::symlink("../../secret.lua", written.path("lib/local/out.lua")).unwrap();
    let outside = "lib/local/init.lua:1: module \"@self/out\" is outside of the library local: the path out.lua contains a symbolic link that is absolute or leads out of the library; copy the file into the library";
    assert_eq!(written.refused(), outside);
    let manifest = written.path("lib/local/smbench.toml");
    fs::write(&manifest, "name = \"local\"\nversion = \"0.2.0\"\n").unwrap();
    let message = refused_anew(&written);
    assert!(message.contains("local 0.1.0"), "{message}");
    assert!(message.ends_with("run smbench lib lock"), "{message}");
    fs::write(&manifest, "").unwrap();
    let message = refused_anew(&written);
    assert!(message.contains("no name"), "{message}");
    fs::remove_dir_all(written.path("lib")).unwrap();
    let message = refused_anew(&written);
    assert!(message.contains("lib/local"), "{message}");
}

#[test]
fn what_may_change_the_libraries_is_recorded() {
    let reads = |written: &Written| -> Vec<String> {
        let _ = written.load();
        let directory = written.folder.path().canonicalize().unwrap();
        let paths = written.options.reads.paths();
        paths
            .iter()
            .filter_map(|it| it.strip_prefix(&directory).ok())
            .map(|path| path.display().to_string())
            .collect()
    };
    let written = with_local("require('@local')", &[("init.lua", "return 1")]);
    let recorded = reads(&written);
    for path in [
        "smbench.toml",
        "smbench.lock",
        "lib/local/smbench.toml",
        "lib/local/init.lua",
        "lib/local/init.luau",
    ] {
        assert!(recorded.iter().any(|known| known == path), "{path}: {recorded:?}");
    }
    let written = with_office("return {}").locked();
    let recorded = reads(&written);
    let ends = |end: &str| recorded.iter().filter(|path| path.ends_with(end)).count();
    assert_eq!((ends("/files"), ends("/library/init.lua"), ends("save.lua")), (1, 1, 0));
    assert_eq!(ends("/library/init.luau"), 0, "the listing has no such file");
    let missing = with_office("return {}");
    assert!(reads(&missing.written).iter().any(|path| path == LOCK));
    let tampered = with_office("return {}").locked();
    fs::write(files_of(&tampered, OFFICE).join("save.lua"), "").unwrap();
    assert!(reads(&tampered).iter().any(|path| path.ends_with("library/save.lua")));
}

#[test]
fn a_library_is_tested_in_its_own_directory_with_the_libraries_that_it_names() {
    let text = "assert(require('./save') == 'save' and require('@base') == 'base')";
    let mut made = project(text, &["base acme/base 1.0.0"]).package(
        "acme/base 1.0.0",
        &[],
        &[("init.lua", "return 'base'")],
    );
    let manifest = "name = \"acme/office\"\nversion = \"1.2.0\"\n[dev_dependencies]\nbase = { repo = \"https://host/acme/base.git\", version = \"1\" }\n";
    made.lock.dev_dependencies = std::mem::take(&mut made.lock.dependencies);
    let written = made.locked().file("smbench.toml", manifest).file("save.lua", "return 'save'");
    assert_eq!(written.load().unwrap().header().modules.len(), 2);
}

#[test]
fn errors_name_a_library_beside_the_project_without_detours() {
    let mut made = project("", &["near near 0.1.0"]).in_directory("near 0.1.0", "near", &[]);
    let id = id("near 0.1.0");
    let source = LockedSource::Path("../near".into());
    made.lock.packages.insert(id, LockedPackage { source, dependencies: BTreeMap::new() });
    let written = (made.written)
        .file("p/smbench.toml", "[dependencies]\nnear = { path = \"../near\" }\n")
        .file(&format!("p/{LOCK}"), &made.lock.text())
        .file("p/s.lua", "require('@near')")
        .file("near/init.lua", "error('boom')");
    fs::remove_file(written.path("smbench.toml")).unwrap();
    let path = written.path("p/s.lua");
    let written = written.with(|options| (options.location, options.shown) = (path.into(), None));
    assert_eq!(written.refused(), "DIR/near/init.lua:1: boom");
    let written = written.with(|options| options.shown = Some("s.lua".into()));
    assert_eq!(written.refused(), "../near/init.lua:1: boom");
}

#[test]
fn a_path_without_a_prefix_that_is_an_alias_is_written_with_it() {
    for (path, meant) in [("office", "@office"), ("office/save", "@office/save")] {
        let made = project(&format!("require('{path}')"), &["office acme/office 1.2.0"]);
        let written = made.package(OFFICE, &[], &[("init.lua", "return {}")]).locked();
        let message = written.refused();
        let begin = format!(
            "s.lua:1: \"{path}\" is not the path of a module: write require(\"{meant}\"); "
        );
        assert!(message.starts_with(&begin), "{message}");
    }
}

#[test]
fn a_chain_of_libraries_has_a_limit_and_a_circle_in_the_lock_is_refused() {
    let chain = |length: usize, last: &[&str]| {
        let mut made = project("require('@a')", &["a p1 1.0.0"]);
        for at in 1..=length {
            let next = format!("a p{} 1.0.0", at + 1);
            let next = if at == length { last } else { &[next.as_str()] };
            made = made.package(&format!("p{at} 1.0.0"), next, &[("init.lua", "return 1")]);
        }
        made.locked()
    };
    let circle = chain(3, &["a p1 1.0.0"]).refused();
    assert!(circle.starts_with("smbench.lock:1: package p1 1.0.0 uses itself"), "{circle}");
    let chain = |length| chain(length, &[]);
    assert_eq!(chain(64).load().unwrap().header().packages.len(), 64);
    let deep = "smbench.lock: libraries use one another more than 64 levels deep";
    assert_eq!(chain(65).refused(), deep);
}

#[test]
fn a_module_of_a_library_may_declare_what_a_module_of_the_project_may() {
    let declares = "local M = {}
        function M.declare(name)
            bench.workload { name = name, iteration = function(c) c:stat(name) end }
            bench.thresholds { 'stat.response.p99 < 1s' }
        end
        M.tree = bench.tree('tree.json').directories[1]
        return M";
    let tree = r#"{"schema":"smbench.tree/1","totals":{"directories":1,"files":1,"bytes":1,"skipped":{"links":0,"special":0,"unreadable":0},"replaced_names":0},"directories":[{"files":[1],"names":["a"]}]}"#;
    let text =
        "local office = require('@office') office.declare('of a library') assert(office.tree)";
    let written = project(text, &["office acme/office 1.2.0"])
        .package(OFFICE, &[], &[("init.lua", declares)])
        .locked()
        .file("tree.json", tree);
    let script = written.load().unwrap();
    let names: Vec<&str> = script.header().workloads.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["of a library", "w"]);
    assert!(script.header().thresholds[0].place.contains("/library/init.lua:4"));
}
