//! Changes one dependency in the text of a manifest. Comments and the order of lines stay.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::project::manifest::{Dependency, DependencySource, Manifest, Wanted};

const TABLES: [&str; 2] = ["dependencies", "dev_dependencies"];

/// Returns the text of a manifest with a dependency added, or with another source for it. Errors
/// call the file `shown`.
///
/// # Errors
/// A message that names the line if the text is not a manifest, before or after the change.
pub fn with_dependency(
    text: &str,
    shown: &str,
    alias: &str,
    source: &DependencySource,
    is_dev: bool,
) -> Result<String, String> {
    let mut document = document(text, shown)?;
    let [own, other] = if is_dev { [TABLES[1], TABLES[0]] } else { TABLES };
    remove(&mut document, other, alias);
    let table = document.entry(own).or_insert_with(|| Item::Table(Table::new()));
    if let Some(table) = table.as_table_mut() {
        // Without it, a table of nothing but tables would get no line for its values.
        table.set_implicit(false);
    }
    let table = table
        .as_table_like_mut()
        .ok_or_else(|| format!("{shown}: {own} is not a table of keys and values"))?;
    let mut value = Value::InlineTable(inline(source));
    match table.get_mut(alias) {
        Some(item) => {
            if let Item::Value(before) = item {
                *value.decor_mut() = before.decor().clone();
            }
            *item = Item::Value(value);
        }
        None => drop(table.insert(alias, Item::Value(value))),
    }
    checked(&document, text, shown)
}

/// Returns the text of a manifest without a dependency; None if it has none with this alias. Errors
/// call the file `shown`.
///
/// # Errors
/// A message that names the line if the text is not a manifest.
pub fn without_dependency(text: &str, shown: &str, alias: &str) -> Result<Option<String>, String> {
    let mut document = document(text, shown)?;
    let removed = TABLES.map(|table| remove(&mut document, table, alias));
    match removed.contains(&true) {
        true => checked(&document, text, shown).map(Some),
        false => Ok(None),
    }
}

/// Returns the dependency of this alias, whichever table it is in.
pub fn dependency<'a>(manifest: &'a Manifest, alias: &str) -> Option<&'a Dependency> {
    manifest.dependencies.get(alias).or_else(|| manifest.dev_dependencies.get(alias))
}

fn document(text: &str, shown: &str) -> Result<DocumentMut, String> {
    Manifest::parse(text, shown)?;
    text.parse().map_err(|error| format!("{shown}: {error}"))
}

/// Returns the changed document with the line breaks of the text before.
fn checked(document: &DocumentMut, before: &str, shown: &str) -> Result<String, String> {
    let mut text = document.to_string();
    if before.contains("\r\n") {
        text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    Manifest::parse(&text, shown)?;
    Ok(text)
}

fn remove(document: &mut DocumentMut, table: &str, alias: &str) -> bool {
    let table = document.get_mut(table).and_then(Item::as_table_like_mut);
    table.is_some_and(|table: &mut dyn TableLike| table.remove(alias).is_some())
}

fn inline(source: &DependencySource) -> InlineTable {
    let pairs: Vec<(&str, String)> = match source {
        DependencySource::Repository { repo, wanted: Wanted::Version(requirement) } => {
            vec![("repo", repo.clone()), ("version", requirement.to_string())]
        }
        DependencySource::Repository { repo, wanted: Wanted::Revision(revision) } => {
            vec![("repo", repo.clone()), ("rev", revision.clone())]
        }
        DependencySource::Path(path) => vec![("path", path.clone())],
    };
    let mut table: InlineTable = pairs.into_iter().collect();
    table.fmt();
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest::parse_requirement;

    fn office() -> DependencySource {
        let wanted = Wanted::Version(parse_requirement("^1.2").unwrap());
        DependencySource::Repository { repo: "https://host/office.git".into(), wanted }
    }

    const OFFICE: &str = "office = { repo = \"https://host/office.git\", version = \"^1.2\" }\n";

    fn added(text: &str, alias: &str, source: &DependencySource, is_dev: bool) -> String {
        with_dependency(text, "M", alias, source, is_dev).unwrap()
    }

    #[test]
    fn comments_and_the_order_of_a_manifest_stay() {
        let before = "# our project
name = \"a\"  # short

[dependencies] # those
# sizes of files
sizes = { path = \"x\" } # near

[targets.lab]
url = \"u\"
";
        let after = added(before, "office", &office(), false);
        let expected = before.replacen("# near\n", &format!("# near\n{OFFICE}"), 1);
        assert_eq!(after, expected);
        let removed = without_dependency(&after, "M", "office").unwrap();
        assert_eq!(removed.as_deref(), Some(before));
        assert_eq!(without_dependency(before, "M", "office"), Ok(None));
        let replaced = added(before, "sizes", &DependencySource::Path("../y".into()), false);
        assert_eq!(replaced, before.replacen("\"x\"", "\"../y\"", 1));
    }

    #[test]
    fn a_missing_table_is_made_and_a_dependency_is_in_one_table_only() {
        assert_eq!(added("", "office", &office(), false), format!("[dependencies]\n{OFFICE}"));
        let dev = added("name = \"a\"\n", "office", &office(), true);
        assert_eq!(dev, format!("name = \"a\"\n\n[dev_dependencies]\n{OFFICE}"));
        let moved = added(&dev, "office", &office(), false);
        let manifest = Manifest::parse(&moved, "M").unwrap();
        assert_eq!(manifest.dependencies["office"].source, office());
        assert!(manifest.dev_dependencies.is_empty(), "{moved}");
        let revision = Wanted::Revision("a \"b\"".into());
        let source = DependencySource::Repository { repo: "u".into(), wanted: revision };
        let text = added("[dependencies.b]\npath = \"b\"\n", "a", &source, false);
        let manifest = Manifest::parse(&text, "M").unwrap();
        assert_eq!(dependency(&manifest, "a").unwrap().source, source);
        assert_eq!(manifest.dependencies.len(), 2, "{text}");
        let replaced = added(&text, "b", &DependencySource::Path("c".into()), false);
        let manifest = Manifest::parse(&replaced, "M").unwrap();
        assert_eq!(manifest.dependencies["b"].source, DependencySource::Path("c".into()));
    }

    #[test]
    fn a_manifest_that_is_wrong_stays_as_it_is() {
        let problem = with_dependency("verison = 1", "M", "office", &office(), false).unwrap_err();
        assert!(problem.starts_with("M:1: verison: there is no such key"), "{problem}");
        let problem = with_dependency("", "M", "Bad", &office(), false).unwrap_err();
        assert!(problem.contains("dependencies.Bad: a name here has"), "{problem}");
        assert!(without_dependency("a = [", "M", "office").is_err());
    }
}
