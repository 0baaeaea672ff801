//! A repository of git that tests fetch from.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A bare repository. It is made with settings of its own, whatever those of the user are.
pub struct GitOrigin(PathBuf);

impl GitOrigin {
    /// Makes an empty repository at `path`.
    pub fn make(path: &Path) -> GitOrigin {
        GitOrigin::make_with(path, &[])
    }

    /// Makes an empty repository with more options of `git init`.
    pub fn make_with(path: &Path, options: &[&str]) -> GitOrigin {
        let origin = GitOrigin(path.into());
        let path = path.to_str().expect("a path in UTF-8");
        origin.git(
            &[&["init", "--quiet", "--bare", "--initial-branch=main"], options, &[path]].concat(),
        );
        origin
    }

    /// Returns the directory of the repository.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the URL of the directory.
    pub fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// Runs a command in the repository and returns its output without white space around it.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    /// Runs a command with an input.
    pub fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        for kind in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{kind}_NAME"), "A")
                .env(format!("GIT_{kind}_EMAIL"), "a@example.com")
                .env(format!("GIT_{kind}_DATE"), "1700000000 +0000");
        }
        let mut child = command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .arg("--git-dir")
            .arg(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git is installed");
        let mut stdin = child.stdin.take().expect("a pipe");
        let output = std::thread::scope(|scope| {
            // A command that reads nothing ends the pipe.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().expect("git ends")
        });
        assert!(output.status.success(), "git {arguments:?}: {}", output.status);
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_string()
    }

    /// Makes a commit with these files alone and sets branch `main` to it: mode, path and content.
    /// The content of a submodule (160000) is a commit.
    pub fn commit_modes(&self, files: &[(&str, &str, &[u8])]) -> String {
        let mut stream =
            b"commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 0\n\n"
                .to_vec();
        for (mode, path, content) in files {
            if *mode == "160000" {
                let commit = String::from_utf8_lossy(content);
                stream.extend(format!("M {mode} {commit} {path}\n").bytes());
                continue;
            }
            stream.extend(format!("M {mode} inline {path}\ndata {}\n", content.len()).bytes());
            stream.extend_from_slice(content);
            stream.push(b'\n');
        }
        self.git_with(&["fast-import", "--quiet", "--force"], &stream);
        self.git(&["rev-parse", "refs/heads/main"])
    }

    /// Makes a commit with these regular files alone and sets branch `main` to it.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ("100644", *path, text.as_bytes())).collect();
        self.commit_modes(&files)
    }

    /// Makes a commit with a tree of these entries, whatever they are: mode, name and hash of an
    /// object. Sets branch `main` to it.
    pub fn commit_entries(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let tree = self.tree(entries);
        let commit = self.git(&["commit-tree", "-m", "hostile", &tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }

    /// Makes a tree of these entries, in this order and without a check.
    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut tree = Vec::new();
        for (mode, name, hash) in entries {
            tree.extend([mode.as_bytes(), b" ", name, b"\0"].concat());
            let digits = (0..hash.len()).step_by(2);
            tree.extend(
                digits.map(|at| u8::from_str_radix(&hash[at..at + 2], 16).expect("a hash")),
            );
        }
        self.git_with(&["hash-object", "-t", "tree", "--literally", "-w", "--stdin"], &tree)
    }

    /// Stores a file and returns its hash.
    pub fn blob(&self, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], content)
    }
}
