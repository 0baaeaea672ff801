//! Finds which file imports which, and the circles among them.
//!
//! The files are read as tokens, not compiled. A `use` item, or a path that begins with `crate`,
//! `super` or `self`, leads to the file that defines the item at its end: through the modules, and
//! through the `use` items of a module that only passes a name on. A module may call its children
//! by their names (`child::function()`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::sources::Source;

type Module = Vec<String>;

/// One path of a source file, for example `super::breaks::Holder`.
#[derive(Clone)]
struct ItemPath {
    segments: Vec<String>,
    /// The name after `as`, or the last segment.
    name: String,
    /// Whether `pub use` names the path: it is passed on, not used.
    reexport: bool,
    /// Whether a `use` item names the path.
    import: bool,
}

/// Splits a source text into identifiers, `::` and single characters, without comments, strings
/// and the names of lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
            }
            '"' => at = end_of_string(&chars, at),
            'r' if raw_string(&chars, at).is_some() => at = raw_string(&chars, at).unwrap(),
            '\'' if chars.get(at + 1) == Some(&'\\') => at += 3,
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            ':' if chars.get(at + 1) == Some(&':') => {
                found.push("::".to_string());
                at += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
                found.push(chars[start..at].iter().collect());
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    found
}

/// Returns the index after the string that begins at `at`.
fn end_of_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the index after the raw string that begins at `at`, if one does.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let begin = at + 1 + hashes;
    if chars.get(begin) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let end = chars[begin + 1..].windows(close.len()).position(|window| window == close)?;
    Some(begin + 1 + end + close.len())
}

/// Reads the paths of a tree such as `a::{b, c::{self, D as E}}`, which begins at `at`, and
/// returns the index of the token after it.
fn tree(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut segments = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens[at] != "}" {
                    at = tree(tokens, at, &segments, found);
                    if tokens[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some("*") => {
                found.push((segments, "*".to_string()));
                return at + 1;
            }
            Some("self") if !segments.is_empty() => at += 1,
            Some(segment) => {
                segments.push(segment.to_string());
                at += 1;
            }
            None => return at,
        }
        if tokens.get(at).map(String::as_str) == Some("::")
            && tokens.get(at + 1).is_some_and(|next| next != "<")
        {
            at += 1;
            continue;
        }
        let mut name = segments.last().unwrap().clone();
        if tokens.get(at).map(String::as_str) == Some("as") {
            name = tokens[at + 1].clone();
            at += 2;
        }
        found.push((segments, name));
        return at;
    }
}

/// Returns the paths that a source text names, in `use` items and elsewhere.
fn paths(text: &str) -> Vec<ItemPath> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let after_path = at > 0 && ["::", "."].contains(&tokens[at - 1].as_str());
        let import = tokens[at] == "use";
        let begins = ["crate", "super", "self"].contains(&tokens[at].as_str())
            && tokens.get(at + 1).map(String::as_str) == Some("::")
            && !after_path;
        if !import && !begins {
            at += 1;
            continue;
        }
        let reexport = import && at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
        let mut named = Vec::new();
        at = tree(&tokens, at + usize::from(import), &[], &mut named);
        found.extend(named.into_iter().map(|(segments, name)| ItemPath {
            segments,
            name,
            reexport,
            import,
        }));
    }
    found
}

/// The modules of the library, with the paths that each of them names.
struct Modules {
    paths: BTreeMap<Module, Vec<ItemPath>>,
}

impl Modules {
    /// Follows a path that stands in `from`. Returns the deepest module it leads to and the next
    /// segment, or None if the path leads out of the library.
    fn follow(&self, from: &Module, segments: &[String]) -> Option<(Module, Option<String>)> {
        let mut module = from.clone();
        let mut rest = segments.iter().peekable();
        match segments[0].as_str() {
            "crate" => {
                module.clear();
                rest.next();
            }
            "self" => {
                rest.next();
            }
            "super" => {
                while rest.next_if(|segment| *segment == "super").is_some() {
                    module.pop();
                }
            }
            child => {
                module.push(child.to_string());
                self.paths.get(&module)?;
                rest.next();
            }
        }
        while let Some(segment) = rest.peek() {
            module.push(segment.to_string());
            if !self.paths.contains_key(&module) {
                module.pop();
                break;
            }
            rest.next();
        }
        Some((module, rest.next().cloned()))
    }

    /// Returns the module that defines the item which a path in `from` names, if it is one of the
    /// library's.
    fn definition(&self, from: &Module, segments: &[String]) -> Option<Module> {
        let (mut module, mut name) = self.follow(from, segments)?;
        // A name is passed on a few times at most.
        for _ in 0..8 {
            let Some(wanted) = &name else { break };
            let passed = self.paths[&module]
                .iter()
                .find(|path| path.import && path.name == *wanted && path.segments.len() > 1);
            let Some(next) = passed.and_then(|path| self.follow(&module, &path.segments)) else {
                break;
            };
            (module, name) = next;
        }
        Some(module)
    }
}

/// Returns, for each production file, the modules that it imports from.
fn imports(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let read = |source: &Source| (source.module(), paths(source.without_tests()));
    let modules = Modules { paths: sources.iter().map(read).collect() };
    let of = |from: &Module, paths: &Vec<ItemPath>| {
        let used = paths.iter().filter(|path| !path.reexport);
        let mut to: BTreeSet<Module> =
            used.filter_map(|path| modules.definition(from, &path.segments)).collect();
        to.remove(from);
        (from.clone(), to)
    };
    modules.paths.iter().map(|(from, paths)| of(from, paths)).collect()
}

/// Returns the shortest circle of imports through each module that is in one, without repeats.
pub fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let imports = imports(sources);
    let mut found = BTreeMap::new();
    for start in imports.keys() {
        let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(module) = queue.pop_front() {
            for next in &imports[module] {
                if !came_from.contains_key(next) {
                    came_from.insert(next, module);
                    queue.push_back(next);
                }
            }
        }
        let Some(mut module) = came_from.get(start).copied() else { continue };
        let mut circle = vec![start.join("/")];
        while module != start {
            circle.push(module.join("/"));
            module = came_from[module];
        }
        circle.push(start.join("/"));
        circle.reverse();
        let members: BTreeSet<String> = circle.iter().cloned().collect();
        found.entry(members).or_insert(circle);
    }
    found.into_values().collect()
}

#[test]
fn paths_are_read_from_trees_and_from_code_but_not_from_strings_and_comments() {
    let text = r##"
        use super::{a, b::{self, C as D}}; // use crate::comment;
        pub(crate) use crate::e::F;
        fn f<'a>(g: &'a str) -> char { let s = "crate::string"; r#"crate::raw"#; self::h::<u8>(s); ':' }
    "##;
    let read = paths(text);
    let read: Vec<_> = read
        .iter()
        .map(|path| (path.segments.join("::"), path.name.as_str(), path.reexport))
        .collect();
    let expected = [
        ("super::a", "a", false),
        ("super::b", "b", false),
        ("super::b::C", "D", false),
        ("crate::e::F", "F", true),
        ("self::h", "h", false),
    ];
    assert_eq!(read, expected.map(|(path, name, reexport)| (path.to_string(), name, reexport)));
}

#[test]
fn a_circle_is_found_through_a_reexport_and_a_module_that_only_reexports_is_in_none() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_string() };
    let sources = [
        source("a/mod.rs", "mod b;\nmod c;\npub use b::B;\npub use c::C;"),
        source("a/b.rs", "use super::C;\npub struct B(C);"),
        source("a/c.rs", "pub struct C;"),
    ];
    assert_eq!(circles(&sources), Vec::<Vec<String>>::new());
    let [declares, b, _] = sources;
    let c = source("a/c.rs", "pub struct C;\nfn f(_: crate::a::B) {}");
    assert_eq!(circles(&[declares, b, c]), [["a/b", "a/c", "a/b"]]);
}
