//! `bench.tree`: the shape of a directory tree that `smbench scan` wrote.

use std::io::Read as _;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::super::declared::Declared;
use super::super::host::ScriptHost;
use super::super::project_files::FileOfScript;
use super::super::require::UNVERSIONED;
use super::super::values::{fail, shown, text};
use super::registration::top_level;
use crate::ir::file_tree::{FileTree, HashedTree, TreeDirectory};
use crate::ir::source::Module;

/// The maximum size of a tree's file in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// The maximum number of trees that a VM reads. Reading one takes time that the bound on a script's
/// computing time does not cover.
const MAX_TREES: u32 = 16;

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "tree", |lua, host, declared, argument| {
        let Value::String(_) = &argument else {
            return fail!(
                "bench.tree takes the path of a file that `smbench scan` wrote, such as bench.tree(\"tree.json\"), not {}",
                shown(&argument)
            );
        };
        let path = text(&argument, "bench.tree: the path")?;
        if path.is_empty() || path.contains('\0') {
            return fail!("bench.tree: {} is no path", shown(&argument));
        }
        let trees = host.trees.get() + 1;
        host.trees.set(trees);
        if trees > MAX_TREES {
            return fail!("bench.tree is called more than {MAX_TREES} times");
        }
        host.uncounted(|| match read(host, declared, &path) {
            Ok(read) => directories(lua, &read.tree),
            Err(problem) => fail!("bench.tree: {problem}"),
        })
    })
}

/// Reads a tree, and records its hash as that of a module, because the stream depends on it.
fn read(host: &ScriptHost, declared: &mut Declared, path: &str) -> Result<Arc<HashedTree>, String> {
    let file = FileOfScript::new(&host.project, &declared.given, path);
    file.note_in(&host.reads, &host.project);
    let read = host.tree_cache.file(file.given, &file.shown, || {
        let (opened, size) = file.open(&host.project, "tree")?;
        let shown = file.shown.display();
        if size > MAX_BYTES {
            return Err(format!("{shown} has {size} bytes; at most {MAX_BYTES} are possible"));
        }
        let mut text = Vec::new();
        let read = opened.take(MAX_BYTES).read_to_end(&mut text);
        read.map_err(|error| format!("cannot read {shown}: {error}"))?;
        let tree = FileTree::parse(&text).map_err(|problem| format!("{shown}: {problem}"))?;
        Ok(HashedTree { tree, hash: blake3::hash(&text).to_hex().to_string() })
    })?;
    let (name, hash) = (path.to_string(), read.hash.clone());
    declared.modules.push(Module { name, version: UNVERSIONED.into(), hash });
    Ok(read)
}

/// Returns the tree as tables that cannot be changed.
fn directories(lua: &Lua, tree: &FileTree) -> LuaResult<Table> {
    let list = lua.create_table_with_capacity(tree.directories.len(), 0)?;
    for directory in &tree.directories {
        let TreeDirectory { parent, name, files, names } = directory;
        let table = lua.create_table()?;
        // Lists of Lua begin with 1.
        table.raw_set("parent", parent.map(|parent| parent + 1))?;
        table.raw_set("name", name.as_deref())?;
        table.raw_set("files", read_only(lua.create_sequence_from(files.iter().copied())?))?;
        if let Some(names) = names {
            let names = names.iter().map(String::as_str);
            table.raw_set("names", read_only(lua.create_sequence_from(names)?))?;
        }
        list.raw_push(read_only(table))?;
    }
    let tree = lua.create_table()?;
    tree.raw_set("directories", read_only(list))?;
    Ok(read_only(tree))
}

fn read_only(table: Table) -> Table {
    table.set_readonly(true);
    table
}
