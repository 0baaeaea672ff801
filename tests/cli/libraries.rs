//! `smbench lib` with real git repositories.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Call, Ended, Place, names};

/// A project, and repositories beside it.
struct Libraries {
    place: Place,
    /// Holds the repositories, the cache and the project, which has hidden files.
    directory: tempfile::TempDir,
}

/// Runs git in a directory and returns its output.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]);
    command.args(["-c", "init.defaultBranch=main", "-c", "commit.gpgSign=false"]);
    command.args(arguments).current_dir(directory);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

impl Libraries {
    fn new() -> Libraries {
        let directory = tempfile::Builder::new().prefix("smbench-lib-").tempdir().unwrap();
        fs::create_dir(directory.path().join("project")).unwrap();
        let libraries = Libraries { place: Place::new(), directory };
        libraries.write("smbench.toml", "name = \"team\" # ours\n");
        libraries
    }

    fn project(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.directory.path().join("repositories").join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.repository(name).display())
    }

    /// Commits a version of a library, with a tag. `wanted` has lines such as `sizes ^1`.
    fn publish(&self, name: &str, version: &str, wanted: &[&str]) {
        self.commit(name, version, wanted);
        git(&self.repository(name), &["tag", &format!("v{version}")]);
    }

    fn commit(&self, name: &str, version: &str, wanted: &[&str]) {
        let repository = self.repository(name);
        if !repository.exists() {
            fs::create_dir_all(&repository).unwrap();
            git(&repository, &["init", "--quiet"]);
        }
        let wanted = wanted.iter().map(|wanted| {
            let (name, requirement) = wanted.split_once(' ').unwrap();
            format!("{name} = {{ repo = \"{}\", version = \"{requirement}\" }}\n", self.url(name))
        });
        let manifest = format!(
            "name = \"acme/{name}\"\nversion = \"{version}\"\n[dependencies]\n{}",
            wanted.collect::<String>()
        );
        fs::write(repository.join("smbench.toml"), manifest).unwrap();
        fs::write(repository.join("init.lua"), format!("return \"{name} {version}\"\n")).unwrap();
        fs::create_dir_all(repository.join("parts")).unwrap();
        fs::write(repository.join("parts/one.lua"), format!("return \"{version}\"\n")).unwrap();
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "--allow-empty", "-m", version]);
    }

    /// Makes a call of `smbench lib` in the project.
    fn lib(&self, line: &str) -> Call {
        self.place
            .smbench(&format!("lib {line}"))
            .within(self.project().to_str().unwrap())
            .env("SMBENCH_CACHE_DIR", self.directory.path().join("cache"))
            .env("PATH", std::env::var_os("PATH").unwrap())
    }

    /// Makes a call and returns its lines on standard output, after checking that it succeeded
    /// without a word on standard error.
    fn done(&self, line: &str) -> Vec<String> {
        let ended = self.lib(line).end().exits(0);
        assert_eq!(ended.stderr, "", "{line}");
        ended.stdout.lines().map(String::from).collect()
    }

    fn add(&self, name: &str) -> Vec<String> {
        self.done(&format!("add {name} --repo {}", self.url(name)))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.project().join(name), text).unwrap();
    }

    /// Returns the names of the installed packages, without their hashes.
    fn installed(&self) -> Vec<String> {
        packages(&self.project().join(".smbench/packages"))
    }

    /// Returns the directory of the installed package whose name begins so.
    fn package(&self, within: &str, name: &str) -> PathBuf {
        let place = self.project().join(within);
        let found = names(&place).into_iter().find(|it| it.starts_with(name));
        place.join(found.unwrap_or_else(|| panic!("{name} is not in {within}")))
    }

    fn aliases(&self) -> Value {
        serde_json::from_str::<Value>(&self.read(".luaurc")).unwrap()["aliases"].clone()
    }

    /// Returns the manifest and the lock.
    fn files(&self) -> [Option<String>; 2] {
        ["smbench.toml", "smbench.lock"]
            .map(|name| fs::read_to_string(self.project().join(name)).ok())
    }
}

fn packages(place: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap()).filter(|it| it.path().join("library").is_dir());
    let mut names: Vec<String> = names
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .map(|name| name.rsplit_once('-').map_or(name.clone(), |(name, _)| name.into()))
        .collect();
    names.sort();
    names
}

/// Returns the error of a call that failed with exit code 2 and printed nothing.
fn error(ended: Ended) -> String {
    let ended = ended.exits(2);
    assert_eq!(ended.stdout, "");
    let lines: Option<Vec<&str>> =
        ended.stderr.lines().map(|line| line.strip_prefix("error: ")).collect();
    lines.unwrap_or_else(|| panic!("{ended:?}")).join("\n")
}

#[test]
fn a_library_is_added_with_those_it_needs_and_is_found_by_editors() {
    let libraries = Libraries::new();
    libraries.publish("sizes", "0.3.0", &[]);
    libraries.publish("sizes", "0.3.1", &[]);
    libraries.publish("office", "1.2.0", &["sizes ^0.3"]);
    libraries.publish("office", "1.10.0-rc.1", &["sizes ^0.3"]);
    let url = libraries.url("office");
    let lines = libraries.add("office");
    assert_eq!(
        lines,
        [
            &format!("added office, {url} ^1.2"),
            "+ acme/office 1.2.0",
            "+ acme/sizes 0.3.1",
            "2 libraries are in place, 2 fetched now"
        ]
    );
    assert_eq!(
        libraries.read("smbench.toml"),
        format!(
            "name = \"team\" # ours\n\n[dependencies]\noffice = {{ repo = \"{url}\", version = \"^1.2\" }}\n"
        )
    );
    assert_eq!(libraries.installed(), ["acme-office-1.2.0", "acme-sizes-0.3.1"]);
    let office = libraries.package(".smbench/packages", "acme-office-");
    let init = office.join("library/init.lua");
    assert_eq!(fs::read_to_string(&init).unwrap(), "return \"office 1.2.0\"\n");
    assert_eq!(fs::metadata(&init).unwrap().permissions().mode() & 0o111, 0);
    let alias = libraries.aliases()["office"].as_str().unwrap().to_string();
    assert_eq!(libraries.project().join(&alias), office.join("library"));
    let inner = fs::read_to_string(office.join(".luaurc")).unwrap();
    let inner: Value = serde_json::from_str(&inner).unwrap();
    let sizes = office.join(inner["aliases"]["sizes"].as_str().unwrap());
    assert_eq!(fs::read_to_string(sizes.join("parts/one.lua")).unwrap(), "return \"0.3.1\"\n");

    let lock = libraries.read("smbench.lock");
    assert_eq!(libraries.done("lock"), ["smbench.lock is up to date"]);
    assert_eq!(libraries.done("sync"), ["2 libraries are in place"]);
    assert_eq!(libraries.read("smbench.lock"), lock);
    let verified = libraries.done("verify");
    assert!(verified[0].starts_with(
        "acme/office 1.2.0: 3 files match smbench.lock, in .smbench/packages/acme-office-1.2.0-"
    ));
    assert_eq!(verified.len(), 2);
    let commit = git(&libraries.repository("office"), &["rev-parse", "v1.2.0^{commit}"]);
    assert_eq!(
        libraries.done("list")[0],
        format!("office: acme/office 1.2.0, {url} at v1.2.0, commit {}", &commit[..10])
    );
    let listed: Value = serde_json::from_str(&libraries.done("list --json").concat()).unwrap();
    assert_eq!(listed["dependencies"]["office"], "acme/office 1.2.0");
    assert_eq!(listed["packages"][0]["commit"], commit);
}

#[test]
fn an_update_can_be_undone_with_the_lock_of_before() {
    let libraries = Libraries::new();
    libraries.publish("sizes", "0.3.0", &[]);
    libraries.publish("office", "1.2.0", &["sizes ^0.3"]);
    libraries.add("office");
    let before = libraries.read("smbench.lock");
    libraries.publish("office", "1.3.0", &["sizes ^0.3"]);
    libraries.publish("office", "2.0.0", &[]);
    libraries.publish("sizes", "0.3.1", &[]);
    assert_eq!(libraries.done("lock"), ["smbench.lock is up to date"]);
    assert_eq!(
        libraries.done("update office"),
        ["acme/office 1.2.0 -> 1.3.0", "2 libraries are in place, 1 fetched now"]
    );
    assert_eq!(libraries.installed(), ["acme-office-1.3.0", "acme-sizes-0.3.0"]);
    assert_eq!(
        libraries.done("update"),
        ["acme/sizes 0.3.0 -> 0.3.1", "2 libraries are in place, 1 fetched now"]
    );
    libraries.write("smbench.lock", &before);
    assert_eq!(libraries.done("sync"), ["2 libraries are in place, 2 fetched now"]);
    assert_eq!(libraries.installed(), ["acme-office-1.2.0", "acme-sizes-0.3.0"]);
    libraries.done("verify");
    let problem = error(libraries.lib("update offices").end());
    assert_eq!(problem, "the project has no library offices; did you mean office?");
}

#[test]
fn a_library_that_is_removed_leaves_nothing() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    let before = libraries.read("smbench.toml");
    libraries.add("office");
    let near = libraries.directory.path().join("near");
    fs::create_dir(&near).unwrap();
    fs::write(near.join("smbench.toml"), "name = \"near\"\nversion = \"0.1.0\"\n").unwrap();
    let added = libraries.done("add near --path ../near --dev");
    assert_eq!(added, ["added near, ../near", "+ near 0.1.0", "2 libraries are in place"]);
    assert_eq!(libraries.aliases()["near"], "../near");
    assert!(libraries.read("smbench.toml").contains("[dev_dependencies]\nnear = { path"));
    assert_eq!(libraries.done("list")[1], "near: near 0.1.0, ../near, for tests only");
    let problem = error(libraries.lib("remove mail").end());
    assert_eq!(problem, "smbench.toml has no library mail; it has office, near");
    let removed = libraries.done("remove near");
    assert_eq!(removed, ["- near 0.1.0", "1 library is in place"]);
    assert!(libraries.aliases().get("near").is_none());
    let removed = libraries.done("remove office");
    assert_eq!(removed, ["- acme/office 1.2.0", "0 libraries are in place"]);
    assert_eq!(libraries.installed(), [""; 0]);
    assert_eq!(libraries.aliases(), serde_json::json!({}));
    assert!(libraries.read("smbench.toml").starts_with(&before));
    for line in ["lock", "sync", "update", "list", "verify", "vendor", "remove office"] {
        let lines = libraries.done(line);
        assert_eq!(
            lines,
            ["this project uses no libraries; smbench lib add NAME --repo URL adds one"],
            "{line}"
        );
    }
}

#[test]
fn a_command_that_fails_leaves_the_manifest_and_the_lock_as_they_were() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.publish("office", "1.4.0", &[]);
    libraries.publish("mail", "2.1.0", &["office ^1.3"]);
    libraries.commit("untagged", "0.1.0", &[]);
    let office = libraries.url("office");
    libraries.done(&format!("add office --repo {office} --version =1.2.0"));
    let before = libraries.files();
    let mail = libraries.url("mail");
    let problem = error(libraries.lib(&format!("add mail --repo {mail}")).end());
    assert_eq!(
        problem,
        format!(
            "no version of {office} fits both:\n  project -> office =1.2.0\n  project -> mail ^2.1 (2.1.0) -> office ^1.3\nits versions are 1.4.0, 1.2.0"
        )
    );
    let untagged = libraries.url("untagged");
    let gone = libraries.url("gone");
    for (line, expected) in [
        (
            format!("add untagged --repo {untagged}"),
            "has no released version, which is a tag such as v1.2.0; name a tag, a branch or a commit with --rev",
        ),
        (format!("add gone --repo {gone}"), "gone"),
        (format!("add office --repo {office} --version ^3"), "meets ^3"),
        (
            "add near --path ../none".into(),
            "library near: there is no library in ../none: it has no smbench.toml; correct the path",
        ),
        (
            format!("add Office --repo {office}"),
            "\"Office\": a name here has at most 64 lower-case letters",
        ),
        ("add x --repo ext::sh".into(), "URL"),
    ] {
        let problem = error(libraries.lib(&line).end());
        assert!(problem.contains(expected), "{line}: {problem}");
        assert_eq!(libraries.files(), before, "{line}");
    }
    let added = libraries.done(&format!("add untagged --repo {untagged} --rev main"));
    assert_eq!(added[1], "+ acme/untagged 0.1.0");
    let replaced = libraries.done(&format!("add office --repo {office}"));
    assert_eq!(replaced[0], format!("office is now {office} ^1.4; it was {office} =1.2.0"));
}

#[test]
fn a_tag_that_moved_changes_nothing_until_an_update() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.add("office");
    let before = libraries.read("smbench.lock");
    fs::write(libraries.repository("office").join("init.lua"), "return 'moved'\n").unwrap();
    git(&libraries.repository("office"), &["commit", "--quiet", "--all", "-m", "moved"]);
    git(&libraries.repository("office"), &["tag", "--force", "v1.2.0"]);
    assert_eq!(libraries.done("lock"), ["smbench.lock is up to date"]);
    fs::remove_dir_all(libraries.project().join(".smbench")).unwrap();
    libraries.lib("sync").end().exits(0);
    libraries.lib("verify").end().exits(0);
    assert_eq!(libraries.read("smbench.lock"), before);
    let updated = libraries.lib("update").end().exits(0);
    assert!(updated.stdout.starts_with("acme/office 1.2.0: commit "), "{}", updated.stdout);
    let office = libraries.package(".smbench/packages", "acme-office-");
    assert_eq!(fs::read_to_string(office.join("library/init.lua")).unwrap(), "return 'moved'\n");
    assert_eq!(libraries.installed(), ["acme-office-1.2.0"]);
}

#[test]
fn a_lock_that_does_not_fit_is_named_with_the_command_that_makes_it_anew() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.publish("office", "2.0.0", &[]);
    libraries.add("office");
    let manifest = libraries.read("smbench.toml");
    libraries.write("smbench.toml", &manifest.replace("^2.0", "^1"));
    for line in ["sync", "verify", "list", "vendor"] {
        assert_eq!(
            error(libraries.lib(line).end()),
            "smbench.lock does not fit smbench.toml: office: it requires ^1, and the lock has 2.0.0; run smbench lib lock"
        );
    }
    assert_eq!(
        libraries.done("lock"),
        [
            "acme/office 2.0.0 -> 1.2.0",
            "smbench.lock is written; smbench lib sync installs what it names"
        ]
    );
    libraries.done("sync");
    fs::remove_file(libraries.project().join("smbench.lock")).unwrap();
    let problem = error(libraries.lib("sync").end());
    assert_eq!(
        problem,
        "smbench.toml names libraries, and there is no smbench.lock: run smbench lib lock"
    );
    libraries.write("smbench.lock", "<<<<<<< HEAD\n");
    let problem = error(libraries.lib("sync").end());
    assert!(problem.contains("run smbench lib lock to make it anew"), "{problem}");
    let ended = libraries.lib("lock").end().exits(0);
    assert!(
        ended.stderr.starts_with("warning: all libraries get the highest version that fits"),
        "{}",
        ended.stderr
    );
    libraries.done("sync");
}

#[test]
fn fetched_libraries_need_their_repository_no_more() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.add("office");
    fs::rename(libraries.repository("office"), libraries.repository("away")).unwrap();
    fs::remove_dir_all(libraries.project().join(".smbench")).unwrap();
    let synced = libraries.lib("sync").end().exits(0);
    assert_eq!(synced.stdout, "1 library is in place, 1 fetched now\n");
    fs::remove_dir_all(libraries.directory.path().join("cache")).unwrap();
    assert_eq!(libraries.done("sync"), ["1 library is in place"]);
    assert_eq!(libraries.done("lock"), ["smbench.lock is up to date"]);
    fs::remove_dir_all(libraries.project().join(".smbench")).unwrap();
    let problem = error(libraries.lib("sync").end());
    assert!(problem.contains(&libraries.url("office")), "{problem}");
}

#[test]
fn a_file_that_was_changed_is_named_and_a_sync_restores_it() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.publish("sizes", "1.0.0", &[]);
    libraries.add("office");
    libraries.add("sizes");
    let office = libraries.package(".smbench/packages", "acme-office-");
    let one = office.join("library/parts/one.lua");
    let _ = fs::set_permissions(&one, fs::Permissions::from_mode(0o644));
    fs::write(&one, "return 'changed'").unwrap();
    let verified = libraries.lib("verify").end().exits(2);
    assert!(
        verified.stdout.starts_with("acme/sizes 1.0.0: 3 files match smbench.lock, in "),
        "{verified:?}"
    );
    assert!(
        verified
            .stderr
            .starts_with("error: acme/office 1.2.0: .smbench/packages/acme-office-1.2.0-"),
        "{verified:?}"
    );
    assert!(
        verified.stderr.ends_with(
            "/library/parts/one.lua does not match smbench.lock; run smbench lib sync to restore it\n"
        ),
        "{verified:?}"
    );
    assert_eq!(libraries.done("sync"), ["2 libraries are in place, 1 fetched now"]);
    libraries.done("verify");
}

#[test]
fn two_syncs_at_once_both_succeed() {
    let libraries = Libraries::new();
    libraries.publish("sizes", "0.3.0", &[]);
    libraries.publish("office", "1.2.0", &["sizes ^0.3"]);
    libraries.add("office");
    fs::remove_dir_all(libraries.project().join(".smbench")).unwrap();
    let running = [0, 1].map(|_| libraries.lib("sync").start());
    for call in running {
        call.end().exits(0);
    }
    libraries.done("verify");
    assert_eq!(libraries.installed(), ["acme-office-1.2.0", "acme-sizes-0.3.0"]);
}

#[test]
fn a_sync_that_was_killed_is_repaired_by_the_next_one() {
    let libraries = Libraries::new();
    for number in 0..6 {
        libraries.publish(&format!("part{number}"), "1.0.0", &[]);
    }
    let wanted: Vec<String> = (0..6).map(|number| format!("part{number} ^1")).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    libraries.publish("office", "1.2.0", &wanted);
    libraries.add("office");
    let packages = libraries.project().join(".smbench/packages");
    let mut killed_early = 0;
    for _ in 0..50 {
        fs::remove_dir_all(libraries.project().join(".smbench")).unwrap();
        let mut running = libraries.lib("sync").start();
        while running.is_running() && libraries.installed().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if running.is_running() {
            running.signal(Signal::KILL);
        }
        drop(running);
        killed_early += usize::from(libraries.installed().len() < 7);
        libraries.done("sync");
        libraries.done("verify");
        assert_eq!(libraries.installed().len(), 7);
        let left = names(&packages).into_iter().filter(|name| !name.starts_with("acme-"));
        let left: Vec<String> = left.filter(|name| packages.join(name).is_dir()).collect();
        assert_eq!(left, [""; 0]);
        if killed_early == 3 {
            return;
        }
    }
    panic!("hardly a sync was killed before its end");
}

#[test]
fn vendored_libraries_need_neither_git_nor_the_fetched_files() {
    let libraries = Libraries::new();
    libraries.publish("sizes", "0.3.0", &[]);
    libraries.publish("office", "1.2.0", &["sizes ^0.3"]);
    libraries.add("office");
    assert_eq!(libraries.done("vendor"), ["2 libraries are in vendor; commit the directory"]);
    assert!(libraries.read("vendor/.gitattributes").ends_with("* -text\n"));
    assert_eq!(
        packages(&libraries.project().join("vendor")),
        ["acme-office-1.2.0", "acme-sizes-0.3.0"]
    );
    fs::remove_dir_all(libraries.project().join(".smbench")).unwrap();
    fs::remove_dir_all(libraries.directory.path().join("repositories")).unwrap();
    let without_git = |line: &str| {
        let nothing = OsString::from("/nonexistent");
        libraries.lib(line).env("PATH", nothing.clone()).env("SMBENCH_CACHE_DIR", nothing).end()
    };
    let verified = without_git("verify").exits(0);
    assert!(
        verified.stdout.starts_with(
            "acme/office 1.2.0: 3 files match smbench.lock, in vendor/acme-office-1.2.0-"
        ),
        "{verified:?}"
    );
    assert_eq!(without_git("sync").exits(0).stdout, "2 libraries are in place\n");
    assert!(libraries.aliases()["office"].as_str().unwrap().starts_with("vendor/"));
    let office = libraries.package("vendor", "acme-office-");
    fs::write(office.join("library/more.lua"), "").unwrap();
    for line in ["verify", "sync"] {
        let ended = without_git(line).exits(2);
        assert!(
            ended.stderr.contains("library/more.lua is not one of its files; restore it with git checkout, or remove vendor/"),
            "{ended:?}"
        );
    }
}

#[test]
fn a_hostile_lock_leads_to_no_other_directory() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.add("office");
    let lock = libraries.read("smbench.lock");
    for (from, to, expected) in [
        ("name = \"acme/office\"", "name = \"../../office\"", "a name is such as acme/office"),
        ("\"acme/office 1.2.0\"", "\"../x 1.2.0\"", "is not in the file"),
        ("tag = \"v1.2.0\"", "tag = \"--upload-pack=touch x\"", ""),
        ("hash = \"", "hash = \"../../", "it is not a hash"),
        (
            "repo = \"file://",
            "repo = \"ext::sh -c touch ",
            "packages.repo: the URL has white space",
        ),
        ("commit = \"", "commit = \"\\u001b[2J", "it is not a commit"),
    ] {
        let changed = lock.replacen(from, to, 1);
        assert_ne!(changed, lock, "{from}");
        libraries.write("smbench.lock", &changed);
        let _ = fs::remove_dir_all(libraries.project().join(".smbench"));
        let ended = libraries.lib("sync").end();
        if !expected.is_empty() {
            let problem = error(ended);
            assert!(problem.contains(expected), "{to}: {problem}");
        }
        assert!(!libraries.project().join("x").exists(), "{to}");
    }
    let hash = lock.split("hash = \"").nth(1).unwrap().split('"').next().unwrap();
    libraries.write("smbench.lock", &lock.replacen(hash, &"0".repeat(64), 1));
    let problem = error(libraries.lib("sync").end());
    assert!(problem.contains("do not match smbench.lock; somebody changed"), "{problem}");
    assert_eq!(libraries.installed(), [""; 0]);
}

#[test]
fn a_directory_that_is_a_link_is_not_written_through() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    let elsewhere = libraries.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    libraries.add("office");
    let office = libraries.package(".smbench/packages", "acme-office-");
    fs::remove_dir_all(&office).unwrap();
    symlink(&elsewhere, &office).unwrap();
    libraries.lib("sync").end();
    assert_eq!(names(&elsewhere), [""; 0]);
}

#[test]
fn a_luaurc_that_is_not_understood_is_a_warning() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.write(".luaurc", "{ // broken\n");
    let line = format!("add office --repo {}", libraries.url("office"));
    let ended = libraries.lib(&line).end().exits(0);
    assert!(
        ended.stderr.starts_with("warning: .luaurc is not changed, so that editors"),
        "{ended:?}"
    );
    assert_eq!(libraries.read(".luaurc"), "{ // broken\n");
}

#[test]
fn without_a_project_the_error_names_the_command_that_makes_one() {
    let place = Place::new();
    for line in ["lib sync", "lib list", "lib add office --path x"] {
        let problem = place.smbench(line).end().refused(2);
        assert_eq!(
            problem,
            "there is no smbench.toml here or in a directory above: smbench new DIR makes a project"
        );
    }
}

#[test]
fn the_project_above_is_meant_and_paths_are_from_where_they_were_typed() {
    let libraries = Libraries::new();
    let lib = libraries.project().join("deep/lib");
    fs::create_dir_all(&lib).unwrap();
    fs::write(lib.join("smbench.toml"), "name = \"lib\"\nversion = \"0.1.0\"\n").unwrap();
    let deep = libraries.project().join("deep");
    let call = libraries.lib("add lib --path ./lib").within(deep.to_str().unwrap());
    let ended = call.end().exits(0);
    assert!(ended.stdout.starts_with("added lib, deep/lib\n"), "{ended:?}");
    libraries.done("sync");
}

#[test]
fn the_copies_of_a_library_survive_git_and_follow_the_lock() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.0.0", &[]);
    let repository = libraries.repository("office");
    fs::write(repository.join(".gitignore"), "*.lua\n").unwrap();
    fs::write(repository.join(".gitattributes"), "* text=auto\n").unwrap();
    fs::write(repository.join("crlf.lua"), "return 1\r\n").unwrap();
    git(&repository, &["add", "--force", "--all"]);
    libraries.publish("office", "1.1.0", &[]);
    libraries.done(&format!("add office --repo {} --version =1.1.0", libraries.url("office")));
    libraries.done("vendor");
    let project = libraries.project();
    git(&project, &["init", "--quiet"]);
    fs::write(project.join(".gitignore"), "/.smbench/\n").unwrap();
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "-m", "vendored"]);
    let clone = libraries.directory.path().join("clone");
    let [from, to] = [&project, &clone].map(|path| path.to_str().unwrap());
    git(&project, &["clone", "--quiet", "-c", "core.autocrlf=true", from, to]);
    let verify = libraries.lib("verify").within(to).end().exits(0);
    assert!(verify.stdout.contains("match smbench.lock, in vendor/"), "{verify:?}");

    libraries.publish("office", "1.2.0", &[]);
    let manifest = libraries.read("smbench.toml").replace("=1.1.0", "^1");
    libraries.write("smbench.toml", &manifest);
    libraries.done("update");
    assert_eq!(packages(&project.join("vendor")), ["acme-office-1.2.0"]);
    let own = project.join("vendor/mine-deadbeef/library");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.parent().unwrap().join("files"), "mine").unwrap();
    libraries.done("vendor");
    assert!(own.exists());
    let office = libraries.package("vendor", "acme-office-").join("library/init.lua");
    fs::write(&office, "changed").unwrap();
    libraries.done("vendor");
    assert_eq!(fs::read_to_string(office).unwrap(), "return \"office 1.2.0\"\n");
}

#[test]
fn a_lock_that_says_something_else_than_the_libraries_themselves_is_refused() {
    let libraries = Libraries::new();
    libraries.publish("sizes", "1.0.0", &[]);
    libraries.publish("other", "1.0.0", &[]);
    libraries.publish("office", "1.2.0", &["sizes ^1"]);
    libraries.add("office");
    libraries.add("other");
    let lock = libraries.read("smbench.lock");
    let edge = "dependencies = { sizes = \"acme/sizes 1.0.0\" }";
    for (from, to, expected) in [
        (edge, "dependencies = { sizes = \"acme/other 1.0.0\" }", "sizes: the lock has it from"),
        (edge, "", "sizes: the lock does not have it"),
        ("version = \"1.2.0\"", "version = \"1.9.0\"", "is not that of version 1.9.0"),
    ] {
        let changed = lock.replacen(from, to, 1).replace(
            "office 1.2.0",
            if to.contains("1.9") { "office 1.9.0" } else { "office 1.2.0" },
        );
        libraries.write("smbench.lock", &changed);
        for line in ["sync", "verify"] {
            let ended = libraries.lib(line).end().exits(2);
            assert!(ended.stderr.contains(expected), "{line} {to}: {ended:?}");
            assert!(ended.stderr.contains("run smbench lib lock"), "{line} {to}: {ended:?}");
        }
        libraries.lib("lock").end().exits(0);
        assert_eq!(libraries.read("smbench.lock"), lock, "{to}");
    }
    // Other files under the hash of the lock are found by an update, which asks the repository.
    let hash = lock.split("hash = \"").nth(1).unwrap().split('"').next().unwrap();
    libraries.write("smbench.lock", &lock.replacen(hash, &"0".repeat(64), 1));
    let problem = error(libraries.lib("update").end());
    assert!(problem.contains("has the hash of other files than those of commit"), "{problem}");
}

#[test]
fn a_manifest_that_is_a_link_or_has_other_line_breaks_stays_so() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    libraries.write("smbench.toml", "# ours\r\nname = \"team\"\r\n");
    libraries.add("office");
    let manifest = libraries.read("smbench.toml");
    assert_eq!(manifest.matches('\n').count(), manifest.matches("\r\n").count(), "{manifest:?}");
    let real = libraries.directory.path().join("real.toml");
    fs::rename(libraries.project().join("smbench.toml"), &real).unwrap();
    symlink(&real, libraries.project().join("smbench.toml")).unwrap();
    let problem = error(libraries.lib("remove office").end());
    assert!(problem.starts_with("smbench.toml is a symbolic link"), "{problem}");
    assert_eq!(fs::read_to_string(real).unwrap(), manifest);
}

#[test]
fn the_kind_of_hash_that_a_user_prefers_makes_no_difference() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    let add = libraries.lib(&format!("add office --repo {}", libraries.url("office")));
    add.env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "init.defaultObjectFormat")
        .env("GIT_CONFIG_VALUE_0", "sha256")
        .end()
        .exits(0);
}

#[test]
fn the_api_of_a_library_is_printed_from_its_comments() {
    let libraries = Libraries::new();
    libraries.publish("office", "1.2.0", &[]);
    let module = "-- Saves.\n\nlocal M = {}\n\n--- Saves it.\n---@param c bench.Client\nfunction M.save(c)\nend\n\nreturn M\n";
    fs::write(libraries.repository("office").join("save.lua"), module).unwrap();
    libraries.publish("office", "1.3.0", &[]);
    libraries.add("office");
    let docs = libraries.lib("docs office").end().exits(0).stdout;
    assert!(docs.contains("# @office/save\n\nSaves.\n\n## save.save(c)\n\nSaves it.\n"), "{docs}");
    let unknown = error(libraries.lib("docs ofice").end());
    assert!(unknown.starts_with("smbench.toml has no library \"ofice\""), "{unknown}");
    libraries.write("init.lua", module);
    let own = libraries.lib("docs").end().exits(0).stdout;
    assert!(own.starts_with("# @team\n\nSaves.\n"), "{own}");
}
