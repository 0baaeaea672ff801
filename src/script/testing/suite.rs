//! The tests that a file declares, in their groups.

use std::collections::HashMap;

use mlua::Function;

/// Maximum number of tests of one file.
const MAX_TESTS: usize = 100_000;
/// Maximum number of groups of one file.
const MAX_GROUPS: usize = 10_000;
/// Maximum depth of groups. The body of each runs on the stack of the one around it.
const MAX_DEPTH: usize = 16;
/// The string between the names of groups and tests.
const SEPARATOR: &str = " > ";

/// The tests and groups of a file. The group around all others has no name.
pub(super) struct Suite {
    groups: Vec<Group>,
    /// The groups whose bodies are running, outermost first.
    open: Vec<usize>,
    pub tests: Vec<TestCase>,
    /// The place of each test by its whole name.
    places: HashMap<String, String>,
}

#[derive(Default)]
struct Group {
    name: String,
    outer: Option<usize>,
    before_each: Vec<Function>,
    after_each: Vec<Function>,
}

/// One test.
#[derive(Clone)]
pub(super) struct TestCase {
    /// The name, after those of the groups around it.
    pub name: String,
    /// The `file:line` of its declaration.
    pub place: String,
    group: usize,
    pub function: Function,
}

impl Default for Suite {
    fn default() -> Suite {
        let groups = vec![Group::default()];
        Suite { groups, open: vec![0], tests: Vec::new(), places: HashMap::new() }
    }
}

impl Suite {
    fn current(&self) -> usize {
        self.open.last().copied().unwrap_or(0)
    }

    /// Begins the body of a group.
    ///
    /// # Errors
    /// A message if there are too many groups, or they are nested too deeply.
    pub fn enter(&mut self, name: &str) -> Result<(), String> {
        if self.open.len() > MAX_DEPTH {
            return Err(format!("test.describe: more than {MAX_DEPTH} groups inside one another"));
        }
        if self.groups.len() > MAX_GROUPS {
            return Err(format!("test.describe: more than {MAX_GROUPS} groups in one file"));
        }
        let outer = self.current();
        let name = self.whole_name(name);
        self.open.push(self.groups.len());
        self.groups.push(Group { name, outer: Some(outer), ..Group::default() });
        Ok(())
    }

    /// Ends the body of the innermost group.
    pub fn leave(&mut self) {
        if self.open.len() > 1 {
            self.open.pop();
        }
    }

    fn whole_name(&self, name: &str) -> String {
        match self.groups[self.current()].name.as_str() {
            "" => name.to_string(),
            outer => format!("{outer}{SEPARATOR}{name}"),
        }
    }

    /// Adds a test to the innermost group.
    ///
    /// # Errors
    /// A message if a test of this name exists, or if there are too many.
    pub fn add(&mut self, name: &str, place: String, function: Function) -> Result<(), String> {
        if self.tests.len() >= MAX_TESTS {
            return Err(format!("test.it: more than {MAX_TESTS} tests in one file"));
        }
        let name = self.whole_name(name);
        if let Some(first) = self.places.get(&name) {
            return Err(format!(
                "test.it: two tests are named '{name}', the first at {first}; give each a name of its own"
            ));
        }
        self.places.insert(name.clone(), place.clone());
        self.tests.push(TestCase { name, place, group: self.current(), function });
        Ok(())
    }

    pub fn add_before_each(&mut self, function: Function) {
        let group = self.current();
        self.groups[group].before_each.push(function);
    }

    pub fn add_after_each(&mut self, function: Function) {
        let group = self.current();
        self.groups[group].after_each.push(function);
    }

    /// Returns the functions to call before a test, outermost group first, and those to call after
    /// it, innermost first.
    pub fn around(&self, test: &TestCase) -> (Vec<Function>, Vec<Function>) {
        let mut groups = Vec::new();
        let mut next = Some(test.group);
        while let Some(group) = next {
            groups.push(&self.groups[group]);
            next = self.groups[group].outer;
        }
        let before = groups.iter().rev().flat_map(|group| group.before_each.iter().cloned());
        let after = groups.iter().flat_map(|group| group.after_each.iter().rev().cloned());
        (before.collect(), after.collect())
    }
}
