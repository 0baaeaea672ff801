use std::fs;
use std::path::Path;
use std::time::Duration;

use smbench_test_support::GitOrigin;

use super::*;

/// An origin, and a cache that is empty at first.
struct Place {
    directory: tempfile::TempDir,
    origin: GitOrigin,
    repositories: Repositories,
}

fn repositories(cache: &Path) -> Repositories {
    Repositories::new(RepositoryOptions {
        cache: cache.into(),
        may_ask: false,
        progress: Arc::new(|_| ()),
    })
}

impl Place {
    fn new() -> Place {
        Place::with(&[])
    }

    fn with(options: &[&str]) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let origin = GitOrigin::make_with(&directory.path().join("origin.git"), options);
        let repositories = repositories(&directory.path().join("cache"));
        Place { directory, origin, repositories }
    }

    /// Forgets what this process remembers.
    fn start_again(&mut self) {
        self.repositories = repositories(&self.directory.path().join("cache"));
    }

    fn manifest(&self, tag: &str, commit: &str) -> Result<Option<String>, String> {
        let read = self.repositories.manifest(&self.origin.url(), &self::tag(tag), commit);
        read.map_err(|error| error.to_string())
    }

    fn files(&self, tag: &str, commit: &str) -> Result<PackageFiles, String> {
        let read = self.repositories.files(&self.origin.url(), &self::tag(tag), commit);
        read.map_err(|error| error.to_string())
    }

    /// Returns why the files of a commit are refused, and proves that asking again gives the same.
    fn refusal(&self, commit: &str) -> String {
        let problem = self.files("v1.0.0", commit).unwrap_err();
        assert_eq!(self.files("v1.0.0", commit).unwrap_err(), problem);
        assert!(problem.contains(&self.origin.url()), "{problem}");
        assert!(problem.contains("v1.0.0") && problem.contains(commit), "{problem}");
        assert!(!problem.contains(['\n', '\x1b']) && problem.len() < 900, "{problem}");
        problem
    }

    /// Returns the bare repository in the cache.
    fn cached(&self) -> PathBuf {
        let entries = fs::read_dir(self.directory.path().join("cache/git")).unwrap();
        let mut places = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        places.next().unwrap()
    }

    fn hide_origin(&self) {
        fs::rename(self.origin.path(), self.directory.path().join("hidden")).unwrap();
    }
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.into())
}

#[test]
fn versions_are_those_of_the_tags_with_the_highest_first() {
    let place = Place::new();
    let one = place.origin.commit(&[("smbench.toml", "one")]);
    for name in ["v1.2.0", "1.10.0", "v0.1.0-rc.1", "latest", "v1", "v1.2", "v2.0.0-", "v3.0.0"] {
        place.origin.git(&["tag", name, &one]);
    }
    let two = place.origin.commit(&[("smbench.toml", "two")]);
    place.origin.git(&["tag", "-a", "-m", "message", "v2.0.0", &two]);
    place.origin.git(&["tag", "3.0.0", &two]);
    let versions = place.repositories.versions(&place.origin.url()).unwrap();
    let shown: Vec<_> =
        versions.iter().map(|it| (it.tag.as_str(), it.version.to_string())).collect();
    let expected = [
        ("v3.0.0", "3.0.0"),
        ("v2.0.0", "2.0.0"),
        ("1.10.0", "1.10.0"),
        ("v1.2.0", "1.2.0"),
        ("v0.1.0-rc.1", "0.1.0-rc.1"),
    ];
    assert_eq!(shown, expected.map(|(tag, version)| (tag, version.to_string())));
    assert_eq!((&versions[0].commit, &versions[1].commit), (&one, &two));
}

#[test]
fn a_revision_is_a_tag_a_branch_or_a_whole_commit() {
    let place = Place::new();
    let one = place.origin.commit(&[("a", "1")]);
    place.origin.git(&["tag", "-a", "-m", "message", "stable", &one]);
    let two = place.origin.commit(&[("a", "2")]);
    place.origin.git(&["branch", "feature/x", &two]);
    let commit_of = |revision: &str| place.repositories.commit_of(&place.origin.url(), revision);
    assert_eq!(commit_of("stable").as_ref(), Ok(&one));
    assert_eq!(commit_of("main").as_ref(), Ok(&two));
    assert_eq!(commit_of("feature/x").as_ref(), Ok(&two));
    assert_eq!(commit_of(&one.to_uppercase()).as_ref(), Ok(&one));
    for none in ["x", "", "-x", "*", "refs/heads/main", &one[..12], "a\x1b[2Jb", "main^"] {
        let problem = commit_of(none).unwrap_err();
        assert!(matches!(problem, RepositoryError::NoRevision { .. }), "{none}: {problem}");
        assert!(!problem.to_string().contains('\x1b'), "{problem}");
    }
}

#[test]
fn what_was_read_once_is_read_from_the_cache_when_the_origin_is_gone() {
    let mut place = Place::new();
    let commit = place.origin.commit(&[("smbench.toml", "name"), ("lib/größe.lua", "return 1")]);
    place.origin.git(&["tag", "v1.0.0"]);
    let other = place.origin.commit(&[("a", "")]);
    place.origin.git(&["tag", "v1.1.0"]);
    let url = place.origin.url();
    assert_eq!(place.manifest("v1.0.0", &commit), Ok(Some("name".into())));
    let main = Reference::Revision("main".into());
    assert_eq!(place.repositories.manifest(&url, &main, &other), Ok(None));
    assert_eq!(place.repositories.versions(&url).unwrap().len(), 2);
    assert_eq!(place.repositories.commit_of(&url, "main").as_ref(), Ok(&other));
    place.origin.git(&["tag", "v1.2.0"]);
    place.origin.git(&[
        "branch",
        "unread",
        &place.origin.git(&["commit-tree", "-m", "x", "main^{tree}"]),
    ]);
    place.repositories.commit_of(&url, "unread").unwrap();
    place.hide_origin();
    place.start_again();
    let files = place.files("v1.0.0", &commit).unwrap();
    assert_eq!(files.get("lib/größe.lua"), Some(&b"return 1"[..]));
    assert_eq!(files.listing().paths().count(), 2);
    let versions = place.repositories.versions(&url).unwrap();
    let tags: Vec<_> = versions.iter().map(|it| it.tag.as_str()).collect();
    assert_eq!(tags, ["v1.1.0", "v1.0.0"], "the server had these when it was asked");
    assert_eq!(place.repositories.commit_of(&url, "main"), Ok(other));
    place.repositories.commit_of(&url, "unread").unwrap_err();
    let missing = place.manifest("v2.0.0", &"a".repeat(40)).unwrap_err();
    assert!(missing.contains("the repository cannot be reached"), "{missing}");
    place.repositories.commit_of(&url, "another").unwrap_err();
}

#[test]
fn what_a_lock_says_of_a_tag_is_not_believed_by_another_project() {
    let mut place = Place::new();
    let other = place.origin.commit(&[("smbench.toml", "other")]);
    let commit = place.origin.commit(&[("smbench.toml", "name")]);
    place.origin.git(&["tag", "other", &other]);
    place.origin.git(&["tag", "v1.0.0", &commit]);
    let url = place.origin.url();
    assert_eq!(place.repositories.versions(&url).unwrap()[0].commit, commit);
    place.manifest("v1.0.0", &commit).unwrap();
    place.manifest("v1.0.0", &other).unwrap();
    place.hide_origin();
    place.start_again();
    assert_eq!(place.repositories.versions(&url).unwrap()[0].commit, commit);
}

#[test]
fn a_repository_with_sha256_hashes_is_read_too() {
    let mut place = Place::with(&["--object-format=sha256"]);
    let commit = place.origin.commit(&[("smbench.toml", "name")]);
    place.origin.git(&["tag", "v1.0.0"]);
    assert_eq!(commit.len(), 64);
    let url = place.origin.url();
    assert_eq!(place.repositories.versions(&url).unwrap()[0].commit, commit);
    assert_eq!(place.manifest("v1.0.0", &commit), Ok(Some("name".into())));
    assert_eq!(place.files("v1.0.0", &commit).unwrap().iter().count(), 1);
    place.hide_origin();
    place.start_again();
    assert_eq!(place.repositories.versions(&url).unwrap()[0].commit, commit);
}

#[test]
fn an_entry_that_no_library_can_have_is_refused_with_its_path() {
    let place = Place::new();
    let gone = "b".repeat(40);
    for (mode, path, content, expected) in [
        ("120000", "lib/up", "../../../etc/passwd", "lib/up is a symbolic link"),
        ("120000", "smbench.toml", "/etc/passwd", "smbench.toml is a symbolic link"),
        ("160000", "lib/other", &gone, "lib/other is a submodule"),
    ] {
        let commit = place.origin.commit_modes(&[
            ("100644", "a", b""),
            (mode, path, content.as_bytes()),
            ("100755", "z", b""),
        ]);
        let problem = place.refusal(&commit);
        assert!(problem.contains(expected), "{problem}");
        let manifest = place.manifest("v1.0.0", &commit);
        match path {
            "smbench.toml" => {
                let problem = manifest.unwrap_err();
                assert!(problem.contains("smbench.toml is not a regular file"), "{problem}");
            }
            _ => assert_eq!(manifest, Ok(None)),
        }
    }
    let submodule = place.origin.commit_modes(&[("160000", "smbench.toml", gone.as_bytes())]);
    let problem = place.manifest("v1.0.0", &submodule).unwrap_err();
    assert!(problem.contains("smbench.toml is not a regular file"), "{problem}");
    let directory = place.origin.commit(&[("smbench.toml/a", "")]);
    let problem = place.manifest("v1.0.0", &directory).unwrap_err();
    assert!(problem.contains("smbench.toml is not a regular file"), "{problem}");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let place = Place::new();
    let blob = place.origin.blob(b"return 1");
    let inner = place.origin.tree(&[("100644", b"a", &blob)]);
    for (mode, name, expected) in [
        ("40000", &b".."[..], "has an empty part, . or .."),
        ("40000", b".", "has an empty part, . or .."),
        ("40000", b".GIT", "is in a directory of git"),
        ("40000", b"/etc", "has an empty part, . or .."),
        ("100644", b"../../up", "has an empty part, . or .."),
        ("100644", b"a\\b", "has the character \\, which"),
        ("100644", b"a\nb", "has control characters"),
        ("100644", b"a\x1b[2Jb", "has control characters"),
        ("100644", b"a\xff\x1b", "is not UTF-8"),
        ("100644", &[b'x'; 3_000], "is longer than 200 bytes"),
    ] {
        let hash = if mode == "40000" { &inner } else { &blob };
        let commit = place.origin.commit_entries(&[(mode, name, hash)]);
        let problem = place.refusal(&commit);
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}

#[test]
fn names_that_differ_in_case_only_are_refused() {
    let place = Place::new();
    for (one, other) in
        [("a.lua", "A.lua"), ("lib/a", "Lib/b"), ("größe", "GRÖßE"), ("Lib", "lib/a")]
    {
        let problem = place.refusal(&place.origin.commit(&[(one, ""), (other, "")]));
        assert!(problem.contains("the same path where case makes no difference"), "{problem}");
    }
    let blob = place.origin.blob(b"");
    let twice = [("100644", &b"a"[..], blob.as_str()), ("100644", b"a", &blob)];
    let problem = place.refusal(&place.origin.commit_entries(&twice));
    assert!(problem.contains("a and a are the same path"), "{problem}");
}

#[test]
fn a_large_file_and_many_files_are_refused() {
    let place = Place::new();
    let zeros = place.origin.blob(&vec![0; 17 << 20]);
    let problem = place.refusal(&place.origin.commit_entries(&[("100644", b"big", &zeros)]));
    assert!(problem.contains("big has 17825792 bytes"), "{problem}");
    let large = place.origin.blob(&vec![0; 16 << 20]);
    let names: Vec<String> = (0..100_000).map(|number| format!("f{number:06}")).collect();
    let tree = |hash: &str, count: usize| {
        let names = names.iter().take(count);
        let entries: Vec<_> = names.map(|name| ("100644", name.as_bytes(), hash)).collect();
        place.origin.commit_entries(&entries)
    };
    let problem = place.refusal(&tree(&large, 5));
    assert!(problem.contains("its files have more than 64 MiB"), "{problem}");
    let small = place.origin.blob(b"");
    for count in [10_001, 100_000] {
        let problem = place.refusal(&tree(&small, count));
        assert!(problem.contains("more than 10000 files"), "{problem}");
    }
    let most = place.files("v1.0.0", &tree(&small, 10_000)).unwrap();
    assert_eq!(most.iter().count(), 10_000);
}

#[test]
fn a_tree_that_unfolds_to_billions_of_files_is_refused() {
    let place = Place::new();
    let mut hash = place.origin.blob(b"");
    let mut mode = "100644";
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
        let entries: Vec<_> =
            names.iter().map(|name| (mode, name.as_bytes(), hash.as_str())).collect();
        hash = place.origin.tree(&entries);
        mode = "40000";
    }
    let problem = place.refusal(&place.origin.commit_entries(&[("40000", b"bomb", &hash)]));
    assert!(problem.contains("more than 10000 files"), "{problem}");
}

#[test]
fn a_repository_above_the_limit_is_removed_from_the_cache() {
    let mut place = Place::new();
    let mut random = 1_u64;
    let mut noise = |bytes: usize| -> Vec<u8> {
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        };
        (0..bytes).map(|_| next()).collect()
    };
    let first = place.origin.commit_modes(&[("100644", "a", &noise(900 << 10))]);
    place.origin.git(&["tag", "v1.0.0"]);
    let second = place.origin.commit_modes(&[("100644", "a", &noise(900 << 10))]);
    place.origin.git(&["tag", "v2.0.0"]);
    let third = place.origin.commit_modes(&[("100644", "a", &noise(3 << 20))]);
    place.origin.git(&["tag", "v3.0.0"]);
    place.repositories.limits.size = 3 << 19;
    place.files("v1.0.0", &first).unwrap();
    // Both together are too large, so that the first one makes room.
    place.files("v2.0.0", &second).unwrap();
    let problem = place.files("v3.0.0", &third).unwrap_err();
    assert!(problem.contains("it is larger than 1 MiB, the most that"), "{problem}");
    let entries = fs::read_dir(place.directory.path().join("cache/git")).unwrap();
    assert!(entries.flatten().all(|entry| entry.path().extension().is_some()));
    place.files("v1.0.0", &first).unwrap();
}

#[test]
fn a_broken_cache_is_made_anew() {
    let place = Place::new();
    let commit = place.origin.commit(&[("smbench.toml", "name"), ("a", "text")]);
    place.origin.git(&["tag", "v1.0.0"]);
    let blob = place.origin.git(&["rev-parse", "main:a"]);
    type Break = Box<dyn Fn(&Path)>;
    let pack = |cached: &Path, ending: &str| {
        let entries = fs::read_dir(cached.join("objects/pack")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.extension().is_some_and(|it| it == ending)).unwrap()
    };
    let breaks: [(&str, Break); 7] = [
        ("no HEAD", Box::new(|cached| fs::remove_file(cached.join("HEAD")).unwrap())),
        (
            "empty",
            Box::new(|cached| {
                fs::remove_dir_all(cached).unwrap();
                fs::create_dir(cached).unwrap();
            }),
        ),
        ("no pack", Box::new(move |cached| fs::remove_file(pack(cached, "pack")).unwrap())),
        (
            "cut pack",
            Box::new(move |cached| {
                let path = pack(cached, "pack");
                let whole = fs::read(&path).unwrap();
                fs::remove_file(&path).unwrap();
                fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            }),
        ),
        (
            "broken blob",
            Box::new(move |cached| {
                let loose = cached.join("objects").join(&blob[..2]);
                fs::create_dir_all(&loose).unwrap();
                fs::write(loose.join(&blob[2..]), "nonsense").unwrap();
                let pack = pack(cached, "pack");
                let mut bytes = fs::read(&pack).unwrap();
                for byte in &mut bytes[12..] {
                    *byte ^= 0x55;
                }
                fs::remove_file(&pack).unwrap();
                fs::write(&pack, bytes).unwrap();
            }),
        ),
        ("config", Box::new(|cached| fs::write(cached.join("config"), "[broken").unwrap())),
        (
            "left",
            Box::new(|cached| {
                fs::remove_dir_all(cached.join("objects/pack")).unwrap();
                fs::write(cached.join("shallow.lock"), "").unwrap();
                fs::create_dir_all(cached.with_extension("new")).unwrap();
            }),
        ),
    ];
    let url = place.origin.url();
    for (name, broken) in breaks {
        place.files("v1.0.0", &commit).unwrap();
        broken(&place.cached());
        let again = repositories(&place.directory.path().join("cache"));
        if ["no HEAD", "empty", "config"].contains(&name) {
            assert_eq!(again.versions(&url).map(|it| it.len()), Ok(1), "{name}");
        }
        let files = place.files("v1.0.0", &commit).unwrap_or_else(|it| panic!("{name}: {it}"));
        assert_eq!(files.get("a"), Some(&b"text"[..]), "{name}");
    }
}

#[test]
fn a_tag_that_has_moved_is_noticed_only_if_the_locked_commit_is_gone() {
    let place = Place::new();
    let old = place.origin.commit(&[("smbench.toml", "old")]);
    place.origin.git(&["tag", "v1.0.0"]);
    let new = place.origin.commit(&[("smbench.toml", "new")]);
    place.origin.git(&["tag", "--force", "v1.0.0"]);
    place.origin.git(&["tag", "keep", &old]);
    assert_eq!(place.manifest("v1.0.0", &old), Ok(Some("old".into())));
    place.origin.git(&["tag", "--delete", "keep"]);
    place.origin.git(&["gc", "--quiet", "--prune=now"]);
    assert_eq!(place.manifest("v1.0.0", &old), Ok(Some("old".into())));
    let empty = repositories(&place.directory.path().join("other"));
    let url = place.origin.url();
    let problem = empty.manifest(&url, &tag("v1.0.0"), &old).unwrap_err();
    let expected = RepositoryError::TagMoved {
        repo: url.clone(),
        tag: "v1.0.0".into(),
        locked: old.clone(),
        now: new,
    };
    assert_eq!(problem, expected);
    assert!(problem.to_string().contains("smbench lib update"), "{problem}");
    let main = Reference::Revision("main".into());
    let problem = empty.manifest(&url, &main, &old).unwrap_err();
    assert!(matches!(problem, RepositoryError::CommitGone { .. }), "{problem}");
}

#[test]
fn a_tag_of_something_else_than_a_commit_is_refused() {
    let place = Place::new();
    let commit = place.origin.commit(&[("smbench.toml", "name")]);
    let tree = place.origin.git(&["rev-parse", &format!("{commit}^{{tree}}")]);
    let blob = place.origin.git(&["rev-parse", &format!("{commit}:smbench.toml")]);
    for (hash, kind) in [(tree, "tree"), (blob, "blob")] {
        place.origin.git(&["tag", "--force", "v1.0.0", &hash]);
        let problem = place.manifest("v1.0.0", &hash).unwrap_err();
        assert!(problem.contains(&format!("leads to a {kind} and not to a commit")), "{problem}");
        let problem = place.files("v1.0.0", &hash).unwrap_err();
        assert!(problem.contains(&format!("leads to a {kind} and not to a commit")), "{problem}");
    }
}

#[test]
fn one_process_waits_for_another_that_fetches_and_then_says_so() {
    let mut place = Place::new();
    let commit = place.origin.commit(&[("smbench.toml", "name")]);
    place.repositories.limits.lock = Duration::from_millis(10);
    let url = place.origin.url();
    let cached = place.repositories.cached(&url, false);
    let lock = cached.lock(|| ()).unwrap();
    let problem = place.manifest("v1.0.0", &commit).unwrap_err();
    assert!(problem.contains("another smbench has it locked"), "{problem}");
    drop(lock);
    assert_eq!(place.manifest("v1.0.0", &commit), Ok(Some("name".into())));
}

#[test]
fn arguments_that_git_could_take_for_options_never_reach_it() {
    let place = Place::new();
    let url = place.origin.url();
    for repo in ["--upload-pack=touch x", "ext::sh -c x", "https://me:hush@host/x"] {
        let problem = place.repositories.versions(repo).unwrap_err();
        assert!(matches!(problem, RepositoryError::Url { .. }), "{problem}");
        assert!(!problem.to_string().contains("hush"), "{problem}");
        place.repositories.commit_of(repo, &"a".repeat(40)).unwrap_err();
    }
    for commit in ["--all", "main", "a\nb", ""] {
        let problem = place.repositories.files(&url, &tag("v1.0.0"), commit).unwrap_err();
        assert!(problem.to_string().contains("it is not a commit"), "{problem}");
    }
    let commit = place.origin.commit(&[("smbench.toml", "name")]);
    for name in ["-x", "a b", "../../heads/x", "a\x1b", "*"] {
        assert_eq!(place.manifest(name, &commit), Ok(Some("name".into())), "{name}");
    }
}
