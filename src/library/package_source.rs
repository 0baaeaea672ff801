//! The repositories of libraries as the resolver sees them.

use super::lock::Reference;
use super::repository::TaggedVersion;

/// Reads repositories. The same question has the same answer as long as the value lives.
pub trait PackageSource {
    /// Returns the versions that have a tag, the highest first.
    ///
    /// # Errors
    /// A message that names the repository.
    fn versions(&self, repo: &str) -> Result<Vec<TaggedVersion>, String>;

    /// Returns the commit of a tag, a branch or a commit.
    ///
    /// # Errors
    /// A message that names the repository.
    fn commit_of(&self, repo: &str, revision: &str) -> Result<String, String>;

    /// Returns the text of the manifest at a commit; None if there is none.
    ///
    /// # Errors
    /// A message that names the repository.
    fn manifest(
        &self,
        repo: &str,
        reference: &Reference,
        commit: &str,
    ) -> Result<Option<String>, String>;
}
