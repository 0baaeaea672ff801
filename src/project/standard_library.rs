//! The standard library, which is in the binary: modules that scripts load by `@bench/` and the
//! definitions of the API for editors.

/// The name and the source text of each module.
pub const MODULES: &[(&str, &str)] = &[
    ("access", include_str!("../../stdlib/access.lua")),
    ("arrivals", include_str!("../../stdlib/arrivals.lua")),
    ("build", include_str!("../../stdlib/build.lua")),
    ("clients", include_str!("../../stdlib/clients.lua")),
    ("contention", include_str!("../../stdlib/contention.lua")),
    ("database", include_str!("../../stdlib/database.lua")),
    ("distributions", include_str!("../../stdlib/distributions.lua")),
    ("files", include_str!("../../stdlib/files.lua")),
    ("homes", include_str!("../../stdlib/homes.lua")),
    ("logs", include_str!("../../stdlib/logs.lua")),
    ("mail", include_str!("../../stdlib/mail.lua")),
    ("media", include_str!("../../stdlib/media.lua")),
    ("office", include_str!("../../stdlib/office.lua")),
    ("options", include_str!("../../stdlib/options.lua")),
    ("test", include_str!("../../stdlib/test.lua")),
];

/// The API in LuaCATS, for lua-language-server and EmmyLua. It is the source of
/// [`LUAU_DEFINITIONS`] and of `docs/lua-api.md`, which `tests/definitions` generates.
pub const LUACATS_DEFINITIONS: &str = include_str!("../../stdlib/bench.d.lua");

/// The API and the types of the modules for Luau's type checker, which luau-lsp uses.
pub const LUAU_DEFINITIONS: &str = include_str!("../../stdlib/bench.d.luau");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_module_of_the_directory_is_in_the_binary() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let modules: BTreeMap<String, String> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
            .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
            .filter(|(name, _)| name != "bench.d")
            .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
            .collect();
        let embedded = MODULES.iter().map(|(name, text)| (name.to_string(), text.to_string()));
        assert_eq!(embedded.collect::<BTreeMap<_, _>>(), modules);
    }
}
