//! Tests of repositories of libraries over HTTP, and of hostile settings: with git itself, and
//! servers on the loopback interface.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use smbench::library::installation::hold;
use smbench::library::lock::{PackageId, Reference};
use smbench::library::repository::{Repositories, RepositoryError, RepositoryOptions};
use smbench_test_support::{GitOrigin, GitServer};

/// The variable that leads a test to the directory that it was given, in a process of its own.
const GIVEN: &str = "SMBENCH_TEST_DIRECTORY";

fn repositories(cache: &Path) -> Repositories {
    Repositories::new(RepositoryOptions {
        cache: cache.into(),
        may_ask: false,
        progress: Arc::new(|_| ()),
    })
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.into())
}

/// Makes a repository with versions 1.0.0 and 1.1.0. Returns their commits.
fn make_office(root: &Path) -> (GitOrigin, [String; 2]) {
    let origin = GitOrigin::make(&root.join("office.git"));
    let commits = ["1.0.0", "1.1.0"].map(|version| {
        let manifest = format!("name = \"acme/office\"\nversion = \"{version}\"\n");
        let commit = origin.commit(&[("smbench.toml", &manifest), ("init.lua", "return {}")]);
        origin.git(&["tag", "-a", "-m", version, &format!("v{version}"), &commit]);
        commit
    });
    origin.git(&["update-server-info"]);
    (origin, commits)
}

/// Runs the test `name` again in a process with these variables, and shows its output if it fails.
fn run_again(name: &str, directory: &Path, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("HOME", directory.join("home"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env(GIVEN, directory)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_public_repository_is_read_once_and_then_served_by_the_cache() {
    let place = tempfile::tempdir().unwrap();
    let (_, [old, new]) = make_office(place.path());
    let server = GitServer::start(place.path());
    let url = server.url("office.git");
    let cache = place.path().join("cache");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let shown = lines.clone();
    let online = Repositories::new(RepositoryOptions {
        cache: cache.clone(),
        may_ask: false,
        progress: Arc::new(move |line| shown.lock().unwrap().push(line.to_string())),
    });
    let versions = online.versions(&url).unwrap();
    let shown: Vec<_> = versions.iter().map(|it| (it.tag.as_str(), &it.commit)).collect();
    assert_eq!(shown, [("v1.1.0", &new), ("v1.0.0", &old)]);
    let asked = server.requests();
    online.versions(&url).unwrap();
    assert_eq!(server.requests(), asked, "the versions are remembered");
    let manifest = online.manifest(&url, &tag("v1.1.0"), &new).unwrap().unwrap();
    assert!(manifest.contains("version = \"1.1.0\""), "{manifest}");
    let asked = server.requests();
    assert_eq!(online.files(&url, &tag("v1.1.0"), &new).unwrap().iter().count(), 2);
    assert_eq!(server.requests(), asked, "a commit is fetched once");
    let expected = [format!("reading the versions of {url}"), format!("fetching v1.1.0 of {url}")];
    assert_eq!(*lines.lock().unwrap(), expected);

    drop(server);
    let offline = repositories(&cache);
    let versions = offline.versions(&url).unwrap();
    assert_eq!(versions.iter().map(|it| it.tag.as_str()).collect::<Vec<_>>(), ["v1.1.0"]);
    let files = offline.files(&url, &tag("v1.1.0"), &new).unwrap();
    assert_eq!(files.get("init.lua"), Some(&b"return {}"[..]));
    let problem = offline.files(&url, &tag("v1.0.0"), &old).unwrap_err().to_string();
    assert!(problem.contains("the repository cannot be reached"), "{problem}");
    assert!(problem.contains("Connection refused") || problem.contains("connect"), "{problem}");
    let unknown = offline.versions(&url.replace("office", "other")).unwrap_err().to_string();
    assert!(unknown.contains("the repository cannot be reached"), "{unknown}");

    let id = PackageId { name: "acme/office".into(), version: "1.1.0".parse().unwrap() };
    let held = hold(place.path()).unwrap();
    let installed = held.install(&id, &files).unwrap();
    assert!(place.path().join(installed).join("library/init.lua").is_file());
}

#[test]
fn a_server_that_knows_nothing_of_git_is_read_too() {
    let place = tempfile::tempdir().unwrap();
    let (_, [old, _]) = make_office(place.path());
    let server = GitServer::dumb(place.path());
    let url = server.url("office.git");
    let repositories = repositories(&place.path().join("cache"));
    assert_eq!(repositories.versions(&url).unwrap().len(), 2);
    let files = repositories.files(&url, &tag("v1.0.0"), &old).unwrap();
    assert_eq!(files.iter().count(), 2);
    let gone = repositories.files(&url, &tag("v1.0.0"), &"a".repeat(40)).unwrap_err();
    let RepositoryError::TagMoved { now, .. } = &gone else { panic!("{gone}") };
    assert_eq!(now, &old);
}

#[test]
fn refused_credentials_are_an_error_and_nobody_is_asked() {
    let name = "refused_credentials_are_an_error_and_nobody_is_asked";
    if std::env::var_os(GIVEN).is_none() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("home")).unwrap();
        let asked = place.path().join("asked");
        let program = place.path().join("ask");
        fs::write(&program, format!("#!/bin/sh\ntouch {}\n", asked.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let ask = program.to_str().unwrap();
        run_again(name, place.path(), &[("GIT_ASKPASS", ask), ("SSH_ASKPASS", ask)]);
        assert!(!asked.exists());
        return;
    }
    let place = std::path::PathBuf::from(std::env::var_os(GIVEN).unwrap());
    let (_, [_, new]) = make_office(&place);
    let server = GitServer::with_credentials(&place, "bWU6aHVzaA==");
    let url = server.url("office.git");
    let refused = || {
        let problem = repositories(&place.join("cache")).versions(&url).unwrap_err().to_string();
        assert!(problem.contains("credentials are missing or were refused"), "{problem}");
        assert!(problem.contains("git help credentials"), "{problem}");
        assert!(!problem.contains("hush") && !problem.contains("wrong"), "{problem}");
    };
    refused();
    // The user's own credential helper gives them.
    let helper = |password: &str| {
        let helper = format!("!f() {{ echo username=me; echo password={password}; }}; f");
        let config = format!("[credential]\n\thelper = \"{helper}\"\n");
        fs::write(place.join("home/.gitconfig"), config).unwrap();
    };
    helper("wrong");
    refused();
    helper("hush");
    let repositories = repositories(&place.join("cache"));
    assert_eq!(repositories.versions(&url).unwrap().len(), 2);
    assert_eq!(repositories.files(&url, &tag("v1.1.0"), &new).unwrap().iter().count(), 2);
    let url = url.replace("http://", "http://me:hush@");
    let problem = repositories.versions(&url).unwrap_err().to_string();
    assert!(problem.contains("the URL has a password"), "{problem}");
    assert!(!problem.contains("hush"), "{problem}");
}

#[test]
fn nothing_that_a_repository_or_a_setting_names_is_run() {
    let name = "nothing_that_a_repository_or_a_setting_names_is_run";
    if std::env::var_os(GIVEN).is_none() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path();
        let hooks = directory.join("hooks");
        fs::create_dir_all(directory.join("template/hooks")).unwrap();
        fs::create_dir_all(directory.join("home")).unwrap();
        fs::create_dir(&hooks).unwrap();
        let ran = directory.join("ran");
        let script = format!("#!/bin/sh\necho $0 >> {}\nexit 0\n", ran.display());
        let write = |path: &Path| {
            fs::write(path, &script).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        for hook in ["post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"] {
            write(&hooks.join(hook));
            write(&directory.join("template/hooks").join(hook));
        }
        write(&directory.join("run"));
        let run = directory.join("run").display().to_string();
        fs::write(directory.join("attributes"), "* filter=evil diff=evil merge=evil\n").unwrap();
        let config = format!(
            "[core]\n\thooksPath = {hooks}\n\tfsmonitor = {run}\n\tattributesFile = {attributes}\n\tpager = {run}\n\
             [filter \"evil\"]\n\tsmudge = {run}\n\tclean = {run}\n\tprocess = {run}\n\trequired = true\n\
             [diff \"evil\"]\n\ttextconv = {run}\n\tcommand = {run}\n\
             [init]\n\ttemplateDir = {template}\n[protocol]\n\tallow = always\n\
             [submodule]\n\trecurse = true\n[fetch]\n\trecurseSubmodules = true\n\
             [gc]\n\tauto = 1\n[maintenance]\n\tauto = true\n",
            hooks = hooks.display(),
            attributes = directory.join("attributes").display(),
            template = directory.join("template").display(),
        );
        fs::write(directory.join("config"), config).unwrap();
        let config = directory.join("config");
        let other = directory.join("elsewhere").display().to_string();
        run_again(
            name,
            directory,
            &[
                ("GIT_CONFIG_GLOBAL", config.to_str().unwrap()),
                ("GIT_DIR", &other),
                ("GIT_WORK_TREE", &other),
                ("GIT_INDEX_FILE", &other),
                ("GIT_OBJECT_DIRECTORY", &other),
                ("GIT_ALTERNATE_OBJECT_DIRECTORIES", &other),
                ("GIT_NAMESPACE", "other"),
                ("GIT_TEMPLATE_DIR", directory.join("template").to_str().unwrap()),
                ("GIT_EXTERNAL_DIFF", &run),
                ("GIT_ALLOW_PROTOCOL", "ext:git"),
                ("GIT_TRACE", "2"),
            ],
        );
        let ran = fs::read_to_string(&ran).unwrap_or_default();
        assert!(ran.is_empty(), "{ran}");
        assert!(!directory.join("elsewhere").exists());
        return;
    }
    let place = std::path::PathBuf::from(std::env::var_os(GIVEN).unwrap());
    let origin = GitOrigin::make(&place.join("origin.git"));
    let commit = origin.commit(&[
        ("smbench.toml", "name"),
        (".gitattributes", "* filter=evil text eol=crlf ident\n"),
        (".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c 'touch ran'\n"),
        ("hooks/post-checkout", "#!/bin/sh\n"),
        ("a.lua", "$Id$\nreturn 1\n"),
    ]);
    origin.git(&["tag", "v1.0.0"]);
    fs::copy(place.join("run"), place.join("origin.git/hooks/reference-transaction")).unwrap();
    fs::copy(place.join("run"), place.join("origin.git/hooks/post-checkout")).unwrap();
    let url = origin.url();
    let repositories = repositories(&place.join("cache"));
    assert_eq!(repositories.versions(&url).unwrap().len(), 1);
    assert_eq!(repositories.commit_of(&url, "main").unwrap(), commit);
    let files = repositories.files(&url, &tag("v1.0.0"), &commit).unwrap();
    assert_eq!(files.get("a.lua"), Some(&b"$Id$\nreturn 1\n"[..]));
    // The two files for git are no part of the library.
    assert_eq!(files.iter().count(), 3);
}

#[test]
fn a_server_that_serves_no_hashes_is_read_by_its_references() {
    let name = "a_server_that_serves_no_hashes_is_read_by_its_references";
    if std::env::var_os(GIVEN).is_none() {
        let place = tempfile::tempdir().unwrap();
        let config = place.path().join("config");
        fs::write(&config, "[protocol]\n\tversion = 0\n").unwrap();
        run_again(name, place.path(), &[("GIT_CONFIG_GLOBAL", config.to_str().unwrap())]);
        return;
    }
    let place = std::path::PathBuf::from(std::env::var_os(GIVEN).unwrap());
    let (origin, [_, new]) = make_office(&place);
    let url = origin.url();
    let read = |cache: &str, commit: &str| {
        repositories(&place.join(cache)).files(&url, &tag("v1.1.0"), commit)
    };
    // A tag with a message: its commit has no reference of its own.
    origin.git(&["update-ref", "-d", "refs/heads/main"]);
    assert_eq!(read("cache", &new).unwrap().iter().count(), 2);
    // A commit that only the history of a branch leads to, in a cache that is shallow.
    let tree = origin.git(&["rev-parse", &format!("{new}^{{tree}}")]);
    let middle = origin.git(&["commit-tree", "-m", "middle", &tree]);
    let last = origin.git(&["commit-tree", "-m", "last", "-p", &middle, &tree]);
    origin.git(&["update-ref", "refs/heads/side", &last]);
    for cache in ["cache", "empty"] {
        assert_eq!(read(cache, &middle).unwrap().iter().count(), 2, "{cache}");
    }
    let gone = read("cache", &"a".repeat(40)).unwrap_err();
    assert!(matches!(gone, RepositoryError::TagMoved { .. }), "{gone}");
}

#[test]
fn ssh_asks_nothing_and_a_command_of_the_user_is_used_as_it_is() {
    let name = "ssh_asks_nothing_and_a_command_of_the_user_is_used_as_it_is";
    if std::env::var_os(GIVEN).is_none() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path();
        make_office(directory);
        let log = directory.join("log");
        // In place of ssh: notes its options, and runs the command here.
        let script = format!(
            "#!/bin/sh\necho \"$0 $*\" >> {}\nfor last; do :; done\nexec sh -c \"$last\"\n",
            log.display()
        );
        for program in ["ssh", "own-ssh"] {
            fs::create_dir_all(directory.join("bin")).unwrap();
            let path = directory.join("bin").join(program);
            fs::write(&path, &script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", directory.join("bin").display());
        let own = directory.join("bin/own-ssh").display().to_string();
        let (config, none) = (directory.join("config"), directory.join("none"));
        fs::write(&config, format!("[core]\n\tsshCommand = {own}\n")).unwrap();
        fs::write(&none, "").unwrap();
        let [config, none] = [config, none].map(|path| path.display().to_string());
        for (variables, is_own) in [
            (vec![("GIT_CONFIG_GLOBAL", none.as_str())], false),
            (vec![("GIT_CONFIG_GLOBAL", &config)], true),
            (vec![("GIT_CONFIG_GLOBAL", &none), ("GIT_SSH_COMMAND", &own)], true),
        ] {
            run_again(name, directory, &[&variables[..], &[("PATH", &path)]].concat());
            let noted = fs::read_to_string(&log).unwrap();
            fs::remove_file(&log).unwrap();
            let has_option = noted.lines().all(|line| line.contains("-oBatchMode=yes"));
            assert_eq!((noted.contains("own-ssh"), has_option), (is_own, !is_own), "{noted}");
        }
        return;
    }
    let place = std::path::PathBuf::from(std::env::var_os(GIVEN).unwrap());
    let cache = tempfile::tempdir().unwrap();
    let repositories = repositories(cache.path());
    let path = place.join("office.git");
    for url in [
        format!("ssh://git@example.com{}", path.display()),
        format!("git@example.com:{}", path.display()),
    ] {
        let versions = repositories.versions(&url).unwrap();
        let files = repositories.files(&url, &tag("v1.1.0"), &versions[0].commit).unwrap();
        assert_eq!(files.iter().count(), 2);
    }
}
