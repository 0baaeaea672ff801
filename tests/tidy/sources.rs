//! Reads the source files of the library.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub struct Source {
    /// The path below the directory that was read, such as `src`.
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// Returns the path of the module that the file holds: `ir/mod.rs` and `ir.rs` hold `ir`.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let mut module: Vec<String> =
            path.iter().map(|part| part.to_str().unwrap().to_string()).collect();
        if ["mod", "lib"].contains(&module.last().unwrap().as_str()) {
            module.pop();
        }
        module
    }

    /// Returns the text without the module of unit tests at its end.
    pub fn without_tests(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap()
    }
}

/// Returns all files of `src`, with those of tests.
pub fn all() -> Vec<Source> {
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// Returns all Rust files below a directory, with their paths from there.
pub fn below(root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root).unwrap().to_path_buf(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Returns the files of `src` that are compiled into the library: those of modules declared under
/// `#[cfg(test)]` are skipped.
pub fn production() -> Vec<Source> {
    let all = all();
    let mut of_tests = BTreeSet::new();
    for source in &all {
        for (at, _) in source.text.match_indices("#[cfg(test)]\n") {
            let declaration = source.text[at..].lines().nth(1).unwrap_or_default();
            let name = declaration.trim().trim_start_matches("pub(crate) ");
            if let Some(name) = name.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                let mut module = source.module();
                module.push(name.to_string());
                of_tests.insert(module);
            }
        }
    }
    let in_library = |source: &Source| {
        let module = source.module();
        !(0..=module.len()).any(|length| of_tests.contains(&module[..length]))
            && source.path != Path::new("main.rs")
    };
    all.into_iter().filter(in_library).collect()
}
