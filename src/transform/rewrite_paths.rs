//! The stage `rewrite_paths`: a stream in other directories.

use std::rc::Rc;

use super::path_template::replace_paths;
use super::per_client::{OperationChange, per_client};
use super::stream::{OperationStream, StagePlace, StreamStage, TransformError};
use crate::ir::Operation;
use crate::protocol::SharePath;
use crate::protocol::path::{PathError, upper_case};

/// Replaces the beginning of paths, component by component. Of the rules that match a path, the
/// first counts. Case is ignored, as SMB does.
#[derive(Clone, Debug)]
pub struct RewritePathsStage {
    pub rules: Vec<PathRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// The directory or file that is replaced. The root stands for every path.
    pub from: SharePath,
    pub to: SharePath,
}

impl StreamStage for RewritePathsStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let rules = self.rules.iter().map(|rule| (rule.from.folded(), rule.clone()));
        let rules: Rc<Vec<(String, PathRule)>> = Rc::new(rules.collect());
        let facts = input.facts().clone();
        Ok(per_client(input, facts, place, move |_| Box::new(ClientRewrite(Rc::clone(&rules)))))
    }
}

/// The rules, each with the folded form of its `from`.
struct ClientRewrite(Rc<Vec<(String, PathRule)>>);

impl ClientRewrite {
    fn rewritten(&self, path: &SharePath) -> Result<SharePath, PathError> {
        for (folded, rule) in self.0.iter() {
            if let Some(components) = components_above(path, folded) {
                return path.with_beginning(components, &rule.to);
            }
        }
        Ok(path.clone())
    }
}

/// Returns the number of components of a directory, given by its folded form, if the path is the
/// directory or below it.
fn components_above(path: &SharePath, directory: &str) -> Option<usize> {
    if directory.is_empty() {
        return Some(0);
    }
    // Folding may change the length in bytes, but not the number of characters.
    let mut rest = path.as_str().chars();
    let begins = directory.chars().all(|folded| rest.next().map(upper_case) == Some(folded));
    let is_whole = begins && matches!(rest.next(), None | Some('/'));
    is_whole.then(|| directory.split('/').count())
}

impl OperationChange for ClientRewrite {
    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        replace_paths(operation, |path| self.rewritten(path)).map_err(|error| {
            format!("operation {} has no valid new path: {error}", operation.op_id())
        })?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_rewritten_by_the_first_rule_for_whole_components() {
        let path = |text: &str| SharePath::new(text).unwrap();
        let rule = |from: &str, to: &str| {
            (path(from).folded(), PathRule { from: path(from), to: path(to) })
        };
        let rewrite = |rules: Vec<(String, PathRule)>, of: &str| {
            ClientRewrite(Rc::new(rules)).rewritten(&path(of)).unwrap().to_string()
        };
        for (of, expected) in [
            ("Data/x/y", "bench/x/y"),
            ("data", "bench"),
            ("database/x", "database/x"),
            ("data/old/x", "bench/old/x"),
            ("straße/ü", "s/ü"),
            ("STRAßE/ü", "s/ü"),
        ] {
            let rules = vec![rule("data", "bench"), rule("data/old", "never"), rule("straße", "s")];
            assert_eq!(rewrite(rules, of), expected);
        }
        assert_eq!(rewrite(vec![rule("", "all/of it")], "a/b"), "all/of it/a/b");
        assert_eq!(rewrite(vec![rule("a", "")], "a/b"), "b");
    }
}
