//! The watch on real files. A change that must not be noticed is followed by one that must be, so
//! that no test waits for nothing.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::time::timeout;

use super::*;

/// Longest wait for a change, on a busy host too.
const BOUND: Duration = Duration::from_secs(20);

struct Place {
    directory: TempDir,
    runtime: Runtime,
}

impl Place {
    fn new() -> Place {
        let runtime = RuntimeBuilder::new_current_thread().enable_all().build().unwrap();
        Place { directory: tempfile::tempdir().unwrap(), runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes a file as most editors do: a new one takes the place of the old one.
    fn replace(&self, name: &str, content: &str) {
        self.write("saving.tmp", content);
        fs::rename(self.path("saving.tmp"), self.path(name)).unwrap();
    }

    /// Returns the next change.
    fn change(&self, watch: &mut FileWatch) -> FileChange {
        let waited = self.runtime.block_on(async { timeout(BOUND, watch.changed()).await });
        waited.expect("a change is noticed")
    }

    /// Returns the names of the files of the next change.
    fn changed(&self, watch: &mut FileWatch) -> Vec<String> {
        let name = |path: PathBuf| {
            path.strip_prefix(self.directory.path()).unwrap().to_str().unwrap().to_string()
        };
        self.change(watch).files.into_iter().map(name).collect()
    }

    /// Starts a watch with events of the file system, and one without.
    fn watches(&self, names: &[&str]) -> [FileWatch; 2] {
        let files = || names.iter().map(|name| self.path(name));
        [FileWatch::start(files()).unwrap(), FileWatch::polling(files()).unwrap()]
    }
}

#[test]
fn a_file_that_is_written_or_replaced_has_changed_and_one_with_the_same_content_has_not() {
    let place = Place::new();
    for name in ["a.lua", "b.lua"] {
        place.write(name, "1");
    }
    for mut watch in place.watches(&["a.lua", "b.lua"]) {
        place.write("a.lua", "1");
        place.replace("a.lua", "1");
        place.write("other.lua", "2");
        place.replace("b.lua", "2");
        assert_eq!(place.changed(&mut watch), ["b.lua"]);
        place.write("a.lua", "2");
        assert_eq!(place.changed(&mut watch), ["a.lua"]);
        place.write("a.lua", "1");
        place.write("b.lua", "1");
        let mut both = place.changed(&mut watch);
        while both.len() < 2 {
            both.extend(place.changed(&mut watch));
        }
        both.sort();
        assert_eq!(both, ["a.lua", "b.lua"]);
    }
}

#[test]
fn a_file_that_vanishes_and_comes_back_has_not_changed_and_one_that_stays_away_has() {
    let place = Place::new();
    for name in ["a.lua", "b.lua", "c.lua"] {
        place.write(name, "1");
    }
    for mut watch in place.watches(&["a.lua", "b.lua", "c.lua"]) {
        fs::rename(place.path("a.lua"), place.path("a.lua~")).unwrap();
        place.write("b.lua", "");
        place.write("b.lua", "1");
        fs::rename(place.path("a.lua~"), place.path("a.lua")).unwrap();
        fs::remove_file(place.path("c.lua")).unwrap();
        assert_eq!(place.changed(&mut watch), ["c.lua"]);
        place.write("c.lua", "1");
        assert_eq!(place.changed(&mut watch), ["c.lua"]);
    }
}

#[test]
fn links_to_a_file_or_to_its_directory_may_be_given_another_target() {
    let place = Place::new();
    for day in ["day1", "day2"] {
        fs::create_dir(place.path(day)).unwrap();
        place.write(&format!("{day}/s.lua"), day);
    }
    let point = |name: &str, target: &str| {
        symlink(target, place.path("next")).unwrap();
        fs::rename(place.path("next"), place.path(name)).unwrap();
    };
    point("now", "day1");
    point("s.lua", "day1/s.lua");
    for mut watch in place.watches(&["now/s.lua", "s.lua"]) {
        point("now", "day2");
        assert_eq!(place.changed(&mut watch), ["now/s.lua"]);
        point("s.lua", "now/s.lua");
        assert_eq!(place.changed(&mut watch), ["s.lua"]);
        // The target of both is another file now.
        place.write("day2/s.lua", "edited");
        let mut both = place.changed(&mut watch);
        while both.len() < 2 {
            both.extend(place.changed(&mut watch));
        }
        both.sort();
        assert_eq!(both, ["now/s.lua", "s.lua"]);
        place.write("day2/s.lua", "day2");
        place.changed(&mut watch);
        point("now", "day1");
        point("s.lua", "day1/s.lua");
        drop(watch);
    }
}

#[test]
fn a_directory_that_is_made_later_or_replaced_is_watched() {
    let place = Place::new();
    for mut watch in place.watches(&["lib/m.lua"]) {
        fs::create_dir(place.path("lib")).unwrap();
        place.write("lib/m.lua", "1");
        assert_eq!(place.changed(&mut watch), ["lib/m.lua"]);
        fs::create_dir(place.path("lib2")).unwrap();
        place.write("lib2/m.lua", "2");
        fs::rename(place.path("lib"), place.path("old")).unwrap();
        fs::rename(place.path("lib2"), place.path("lib")).unwrap();
        assert_eq!(place.changed(&mut watch), ["lib/m.lua"]);
        place.write("lib/m.lua", "3");
        assert_eq!(place.changed(&mut watch), ["lib/m.lua"]);
        fs::remove_dir_all(place.path("lib")).unwrap();
        fs::remove_dir_all(place.path("old")).unwrap();
    }
}

#[test]
fn a_file_that_is_added_is_compared_with_the_content_that_was_loaded() {
    let place = Place::new();
    for name in ["a.lua", "b.lua", "c.lua"] {
        place.write(name, "1");
    }
    let mut watch = FileWatch::start([place.path("a.lua")]).unwrap();
    place.write("b.lua", "edited after it was loaded");
    let loaded =
        |name: &str| WatchedFile { path: place.path(name), loaded: Some(blake3::hash(b"1")) };
    watch.set_files(["a.lua", "b.lua", "c.lua"].map(loaded));
    assert_eq!(place.changed(&mut watch), ["b.lua"]);
    watch.set_files([place.path("c.lua")]);
    watch.reload_now();
    assert!(place.change(&mut watch).requested, "the files are followed before the look");
    place.write("a.lua", "2");
    place.write("c.lua", "2");
    assert_eq!(place.changed(&mut watch), ["c.lua"]);
}

#[test]
fn a_reload_that_was_loaded_with_the_newest_content_is_not_followed_by_another() {
    let place = Place::new();
    place.write("a.lua", "1");
    let mut watch = FileWatch::polling([place.path("a.lua")]).unwrap();
    place.write("a.lua", "2");
    assert_eq!(place.changed(&mut watch), ["a.lua"]);
    place.write("a.lua", "3");
    let loaded = Some(blake3::hash(b"3"));
    watch.set_files([WatchedFile { path: place.path("a.lua"), loaded }]);
    watch.reload_now();
    let change = place.change(&mut watch);
    assert_eq!((change.files, change.requested), (vec![], true));
}

#[test]
fn of_many_edits_the_last_one_is_seen() {
    let place = Place::new();
    place.write("a.lua", "start");
    let mut watch = FileWatch::start([place.path("a.lua")]).unwrap();
    let path = place.path("a.lua");
    let editing = std::thread::spawn(move || {
        for edit in 0..200 {
            fs::write(&path, format!("edit {edit}")).unwrap();
            std::thread::sleep(Duration::from_millis(3));
        }
    });
    let last = FileContent::Hashed(blake3::hash(b"edit 199"));
    while watch.shared.lock().files[&place.path("a.lua")].seen != last {
        place.change(&mut watch);
    }
    editing.join().unwrap();
}

#[test]
fn a_change_is_not_lost_with_the_future_that_waited_for_it() {
    let place = Place::new();
    place.write("a.lua", "1");
    let mut watch = FileWatch::start([place.path("a.lua")]).unwrap();
    place.runtime.block_on(async {
        for _ in 0..3 {
            let _ = timeout(Duration::ZERO, watch.changed()).await;
        }
    });
    place.write("a.lua", "2");
    let before = Instant::now();
    let change = place.change(&mut watch);
    assert!(!change.requested && change.noticed >= before - BOUND);
    assert_eq!(change.files, [place.path("a.lua")]);
}

#[test]
fn only_events_of_watched_names_cause_a_look() {
    let shared = Shared::default();
    shared.lock().names.insert("/s/a.lua".into());
    shared.notice(DirectoryEvent::Named(Path::new("/s/b.lua")));
    assert_eq!(shared.lock().events, None);
    shared.notice(DirectoryEvent::Named(Path::new("/s/a.lua")));
    let (first, _) = shared.lock().events.unwrap();
    for _ in 0..1_000 {
        shared.notice(DirectoryEvent::Named(Path::new("/s/a.lua")));
    }
    assert_eq!(shared.lock().events.unwrap().0, first, "a look is put off for a bounded time");
    assert_eq!(shared.lock().touched.len(), 1);
    shared.notice(DirectoryEvent::Lost);
    assert!(shared.lock().events_lost);
}
