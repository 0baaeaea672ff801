use super::*;

const USE: &str = "local m = require('./lib/acme/office')
bench.workload { name = 'w', iteration = function(c) c:stat(m.name) end }";

#[test]
fn a_module_is_found_by_its_path_and_recorded() {
    let module = "return { name = 'found' }";
    let written = script(USE).file("lib/acme/office.lua", module);
    assert_eq!(written.operations()[0].kind.path().unwrap().as_str(), "found");
    let script = written.load().unwrap();
    let recorded = &script.header().modules;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].name, "lib/acme/office.lua");
    assert_eq!(recorded[0].version, "unversioned");
    assert_eq!(recorded[0].hash, blake3::hash(module.as_bytes()).to_hex().to_string());
}

#[test]
fn a_module_is_loaded_once_and_cannot_be_changed_by_its_users() {
    let text = "assert(require('./lib/m') == require('./lib/m'))
        local ok, why = pcall(function() require('./lib/m').x = 1 end)
        assert(not ok and why:find('readonly'))
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let script = script(text).file("lib/m.lua", "return {}").load().unwrap();
    assert_eq!(script.header().modules.len(), 1);
}

#[test]
fn the_standard_library_is_embedded_has_the_version_of_smbench_and_cannot_be_shadowed() {
    let text = "local mine = require('./@bench/office')
        local office = require('@bench/office')
        assert(mine == 'mine' and require('./@bench/office') == 'mine')
        bench.workload { name = 'w', iteration = function(c, rng) office.edit(c, rng, { directory = 'd' }) end }";
    let script = script(text).file("@bench/office.lua", "return 'mine'").load().unwrap();
    let modules = &script.header().modules;
    let version_of = |name: &str| {
        let of_name: Vec<_> = modules.iter().filter(|module| module.name == name).collect();
        assert_eq!(of_name.len(), 1, "{name}");
        of_name[0].version.as_str()
    };
    assert_eq!(version_of("@bench/office.lua"), "unversioned");
    // The module and one that it requires itself.
    for name in ["@bench/office", "@bench/options"] {
        assert_eq!(version_of(name), env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_module_may_be_required_through_other_functions() {
    let text = "local ok, m = pcall(require, './lib/m')
        assert(ok and m.name == 'm', m)
        local sorted
        table.sort({ 1, 2 }, function(a, b) sorted = require('./lib/m') return a < b end)
        assert(sorted == m and coroutine.wrap(function() return require('./lib\\\\m') end)() == m)
        bench.workload { name = 'w', iteration = function(c) c:stat(m.name) end }";
    let written = script(text).file("lib/m.lua", "return { name = 'm' }");
    assert_eq!(written.load().unwrap().header().modules.len(), 1);
}

#[test]
fn a_module_that_failed_may_be_required_again() {
    let text = "for _ = 1, 3 do
            local ok, why = pcall(require, './lib/m')
            assert(not ok and why:find('lib/m.lua:1: boom', 1, true), why)
        end
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let written = script(text).file("lib/m.lua", "error('boom')");
    assert_eq!(written.load().unwrap().header().modules.len(), 0);
}

#[test]
fn a_script_called_init_is_the_module_of_its_directory() {
    let text = "local m = require('@self/m')
        bench.workload { name = 'w', iteration = function(c) c:stat(m) end }";
    let written = script("").file("init.lua", text).file("m.lua", "return 'm'");
    let path = written.path("init.lua");
    let written = written.with(|options| (options.location, options.shown) = (path.into(), None));
    assert_eq!(written.operations()[0].kind.path().unwrap().as_str(), "m");
}

/// Returns a script in the directory `flows/day` of a project, with these files.
fn in_project(text: &str, files: &[(&str, &str)]) -> Written {
    let written = script("").file("smbench.toml", "").file("flows/day/s.lua", text);
    let path = written.path("flows/day/s.lua");
    let written = files.iter().fold(written, |written, (name, text)| written.file(name, text));
    written
        .with(|options| (options.location, options.shown) = (path.into(), Some("day/s.lua".into())))
}

#[test]
fn paths_lead_from_the_file_that_requires_them_through_the_whole_project() {
    let text = "local sizes = require('../sizes')
        local shape = require('./shape')
        local all = require('../../lib/all')
        bench.workload { name = 'w', iteration = function(c)
            for _, name in { sizes, shape, all.own, all.sibling } do c:stat(name) end
        end }";
    let files = [
        ("flows/sizes.lua", "return 'sizes'"),
        ("flows/day/shape.luau", "return 'shape' :: string"),
        // An init.lua stands for its directory: ./ is beside the directory, @self/ in it.
        (
            "lib/all/init.lua",
            "return { own = require('@self/own'), sibling = require('./sibling') }",
        ),
        ("lib/all/own.lua", "return require('./deeper/init/../own')"),
        ("lib/all/deeper/own.lua", "return 'own'"),
        ("lib/sibling/init.luau", "return 'sibling'"),
    ];
    let written = in_project(text, &files);
    let script = written.load().unwrap();
    let names: Vec<&str> =
        script.header().modules.iter().map(|module| module.name.as_str()).collect();
    let expected = [
        "flows/sizes.lua",
        "flows/day/shape.luau",
        "lib/all/deeper/own.lua",
        "lib/all/own.lua",
        "lib/sibling/init.luau",
        "lib/all/init.lua",
    ];
    assert_eq!(names, expected);
    assert_eq!(script.header().source, "flows/day/s.lua");
    let operations = written.operations();
    let stats: Vec<&str> =
        operations.iter().map(|operation| operation.kind.path().unwrap().as_str()).collect();
    assert_eq!(stats, ["sizes", "shape", "own", "sibling"]);
}

#[test]
fn two_spellings_of_a_path_are_one_module() {
    let text = "local one, two = require('./lib/m'), require('./lib/../lib/m')
        assert(one == two)
        assert(require('@self/../lib/m') == one)
        bench.workload { name = 'w', iteration = function(c)
            assert(require('./lib/m') == one)
            c:stat('a')
        end }";
    let written = script(text).file("lib/m.lua", "return {}");
    assert_eq!(written.load().unwrap().header().modules.len(), 1);
    assert_eq!(written.operations().len(), 1);
}

#[test]
fn require_refuses_wrong_paths_and_modules_with_a_clear_error() {
    let prefixes = "a path begins with \"./\" or \"../\" (relative to the directory of the file), \"@self/\" (inside the directory of an init.lua) or \"@bench/\" (the standard library)";
    let long = format!("./{}", "x".repeat(199));
    let cases: &[(&str, &str)] = &[
        (
            "require('./missing')",
            "s.lua:1: module \"./missing\" not found: the script's directory has none of missing.lua, missing.luau, missing/init.lua, missing/init.luau",
        ),
        (
            "require('./lib/plain.lua')",
            "s.lua:1: module \"./lib/plain.lua\" not found: the script's directory has none of lib/plain.lua.lua, lib/plain.lua.luau, lib/plain.lua/init.lua, lib/plain.lua/init.luau; leave .lua out of the path",
        ),
        (
            "require('@bench/offcie')",
            "s.lua:1: module \"@bench/offcie\" not found: unknown module '@bench/offcie': did you mean '@bench/office'?",
        ),
        (
            "require('@bench')",
            "s.lua:1: module \"@bench\" names no module; add its name, such as \"@bench/office\"",
        ),
        (
            "require('@bench/../lib/plain')",
            "s.lua:1: module \"@bench/../lib/plain\" is outside of the standard library",
        ),
        (
            "require('@acme/x')",
            "s.lua:1: module \"@acme/x\" not found: there is no alias @acme; PREFIXES; smbench lib add adds a library to the project",
        ),
        (
            "require('std.office')",
            "s.lua:1: \"std.office\" is not the path of a module: write require(\"@bench/office\"); PREFIXES",
        ),
        (
            "require('acme.office')",
            "s.lua:1: \"acme.office\" is not the path of a module: write require(\"./acme/office\"); PREFIXES",
        ),
        (
            "require('a/b')",
            "s.lua:1: \"a/b\" is not the path of a module: write require(\"./a/b\"); PREFIXES",
        ),
        ("require('/a/b')", "s.lua:1: \"/a/b\" is not the path of a module; PREFIXES"),
        (
            "require('m.lua')",
            "s.lua:1: \"m.lua\" is not the path of a module: write require(\"./m\"); PREFIXES",
        ),
        ("require('..')", "s.lua:1: \"..\" is not the path of a module; PREFIXES"),
        (
            "require('.\\\\lib\\\\plain')",
            "s.lua:1: \".\\\\lib\\\\plain\" is not the path of a module; PREFIXES",
        ),
        (
            "require('@Bench/Office')",
            "s.lua:1: module \"@Bench/Office\" not found: unknown module '@bench/Office': did you mean '@bench/office'?",
        ),
        (
            "require('@self/lib/plain')",
            "s.lua:1: module \"@self/lib/plain\" not found: the script's directory has none of s/lib/plain.lua, s/lib/plain.luau, s/lib/plain/init.lua, s/lib/plain/init.luau; \"@self/\" is for an init.lua: write \"./lib/plain\" here",
        ),
        (
            "require('./lib/stands')",
            "lib/stands/init.lua:1: module \"./own\" not found: the script's directory has none of lib/own.lua, lib/own.luau, lib/own/init.lua, lib/own/init.luau; an init.lua stands for its directory: write \"@self/own\" for a module inside it",
        ),
        (
            "coroutine.wrap(require)('./lib/plain')",
            "s.lua: require must be called from a line of the script or of a module, to which the path is relative: write function() return require(\"./lib/plain\") end instead of passing require itself",
        ),
        ("require('')", "s.lua:1: \"\" is not the path of a module; PREFIXES"),
        ("require('./a\\0b')", "s.lua:1: the path \"./a\\0b\" has control characters"),
        ("require(5)", "s.lua:1: require: the module's path is a string, not 5"),
        (
            "require('./lib/plain', '^1.0')",
            "s.lua:1: require takes one argument, the path of a module",
        ),
        (
            "require('../x')",
            "s.lua:1: module \"../x\" is outside of the script's directory; to read modules from a directory above, create a file smbench.toml in it",
        ),
        (
            "require('./lib/nothing')",
            "s.lua:1: module lib/nothing.lua returns nothing; end it with \"return M\"",
        ),
        (
            "require('./lib/circle')",
            "lib/round.lua:1: modules require one another in a circle: lib/circle.lua -> lib/round.lua -> lib/circle.lua",
        ),
        ("require('./s')", "s.lua:1: modules require one another in a circle: s.lua -> s.lua"),
        ("require('./lib/broken')", "lib/broken.lua:2: boom"),
        (
            "require('./lib/wrong')",
            "lib/wrong.lua:1: Expected identifier when parsing expression, got <eof>",
        ),
        (
            "require('./lib/bytes')",
            "s.lua:1: module \"./lib/bytes\" cannot be read: lib/bytes.lua: it is compiled bytecode; a script must be source code",
        ),
        (
            "require('./lib/two')",
            "s.lua:1: module \"./lib/two\" is ambiguous: there are lib/two.lua and lib/two/init.luau; rename one of them",
        ),
        (
            "local ok, why = pcall(require, './missing') assert(not ok and why:find('missing.lua', 1, true)) require('./lib/asks')",
            "lib/asks.lua:1: module \"./absent\" not found: the script's directory has none of lib/absent.lua, lib/absent.luau, lib/absent/init.lua, lib/absent/init.luau",
        ),
    ];
    let long_case = format!("require('{long}')");
    let long_message = format!("s.lua:1: the path \"{}\"… is longer than 200 bytes", &long[..60]);
    let cases = cases.iter().copied().chain([(long_case.as_str(), long_message.as_str())]);
    for (text, expected) in cases {
        let message = script(text)
            .file("lib/nothing.lua", "local x = 1")
            .file("lib/circle.lua", "return require('./round')")
            .file("lib/round.lua", "return require('./circle')")
            .file("lib/broken.lua", "\nerror('boom')")
            .file("lib/wrong.lua", "local x =")
            .file("lib/plain.lua", "return {}")
            .file("lib/stands/init.lua", "return require('./own')")
            .file("lib/stands/own.lua", "return {}")
            .file("lib/two.lua", "return {}")
            .file("lib/two/init.luau", "return {}")
            .file("lib/asks.lua", "return require('./absent')")
            .file("lib/bytes.lua", "\x05")
            .refused();
        assert_eq!(message, expected.replace("PREFIXES", prefixes), "{text}");
    }
}

#[test]
fn a_path_that_leaves_the_project_is_refused() {
    let written = in_project("require('../../../x')", &[]);
    assert_eq!(
        written.refused(),
        "day/s.lua:1: module \"../../../x\" is outside of the project, which is the directory with smbench.toml"
    );
}

#[cfg(unix)]
#[test]
fn symbolic_links_that_leave_the_project_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("m.lua"), "return { name = 'outside' }").unwrap();
    let refusal = "contains a symbolic link that is absolute or leads out of the project; copy the file into the project";
    let file = script("require('./lib/m')").file("lib/other.lua", "return { name = 'inside' }");
    std::os::unix::fs::symlink(outside.path().join("m.lua"), file.path("lib/m.lua")).unwrap();
    assert_eq!(
        file.refused(),
        format!(
            "s.lua:1: module \"./lib/m\" is outside of the project: the path lib/m.lua {refusal}"
        )
    );
    for module in ["m", "none"] {
        let folder = script(&format!("require('./lib/{module}')"));
        std::os::unix::fs::symlink(outside.path(), folder.path("lib")).unwrap();
        let expected = format!(
            "s.lua:1: module \"./lib/{module}\" is outside of the project: the path lib/{module}.lua {refusal}"
        );
        assert_eq!(folder.refused(), expected, "the same whether or not it is there");
    }
    let within = script(&USE.replace("acme/office", "m"))
        .file("lib/deep/other.lua", "return { name = 'inside' }");
    std::os::unix::fs::symlink("deep/other.lua", within.path("lib/m.lua")).unwrap();
    assert_eq!(within.operations()[0].kind.path().unwrap().as_str(), "inside");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_module_is_not_waited_for() {
    let written = script("require('./lib/m')").file("lib/other.lua", "return {}");
    let made = std::process::Command::new("mkfifo").arg(written.path("lib/m.lua")).status();
    assert!(made.unwrap().success());
    assert_eq!(
        written.refused(),
        "s.lua:1: module \"./lib/m\" cannot be read: lib/m.lua: it is not a regular file"
    );
}

#[test]
fn a_chain_of_modules_is_taken_to_its_limit_and_beyond_it_the_limit_is_named() {
    let chain = |length: usize| {
        let use_it = "require('./lib/m1') bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
        (1..=length).fold(script(use_it), |written, at| {
            let text = match at == length {
                true => "return {}".to_string(),
                false => format!("return require('./m{}')", at + 1),
            };
            written.file(&format!("lib/m{at}.lua"), &text)
        })
    };
    assert_eq!(chain(64).load().unwrap().header().modules.len(), 64);
    assert_eq!(
        chain(200).refused(),
        "lib/m64.lua:1: modules require one another more than 64 levels deep: s.lua -> lib/m1.lua -> … -> lib/m64.lua -> lib/m65.lua; require them side by side, or put several into one file"
    );
}

#[test]
fn calls_that_lie_too_deep_in_one_another_name_the_limit() {
    let text =
        "local function f() local ok, why = pcall(f) if not ok then error(why, 0) end end f()";
    assert_eq!(
        script(text).refused(),
        "s.lua:1: C stack overflow (calls are nested too deeply: at most 200 calls of require, pcall, table.sort and other functions that call back can be nested)"
    );
}

#[test]
fn errors_name_the_path_that_the_user_gave_and_the_stream_does_not_depend_on_it() {
    let written = script(
        "local m = require('./lib/m')
        bench.workload { name = 'w', iteration = function(c)
            local _, why = pcall(function() c:stat(5) end)
            c:stat((why:gsub(':', '')))
            m.go(c)
        end, teardown = function(c) c:stat(nil) end }
        bench.thresholds { 'errors.count == 0' }",
    )
    .file("lib/m.lua", "return { go = function(c) c:stat('a') c:mkdir({}) end }")
    .with(|options| options.shown = None);
    let mut script = written.load().unwrap();
    let path = written.options.location.to_string();
    assert_eq!(script.header().source, "s.lua");
    assert_eq!(script.header().thresholds[0].place, format!("{path}:7: bench.thresholds"));
    let mut operations = Vec::new();
    let error = script.pull(0, Section::Iteration, 9, &mut operations).unwrap_err();
    let module = path.replace("s.lua", "lib/m.lua");
    assert_eq!(error.message, format!("{module}:1: mkdir: the path is a string, not a table"));
    let caught = operations[0].kind.path().unwrap().as_str();
    assert_eq!(caught, "s.lua3 stat the path is a string, not 5");
    let error = script.pull(0, Section::Teardown, 9, &mut operations).unwrap_err();
    assert_eq!(error.message, format!("{path}:6: stat: the path is a string, not nil"));
}

#[test]
fn a_byte_order_mark_before_a_script_or_a_module_changes_nothing() {
    let text = "local m = require('./lib/m')
        bench.workload { name = 'w', iteration = function(c) c:stat(m.path) end }";
    let module = "return { path = 'p' }";
    let plain = script(text).file("lib/m.lua", module);
    let marked = script(&format!("\u{feff}{text}")).file("lib/m.lua", &format!("\u{feff}{module}"));
    assert_eq!(plain.operations(), marked.operations());
    let [plain, marked] = [plain, marked].map(|written| written.load().unwrap().header().clone());
    assert_eq!(plain.ir_hash, marked.ir_hash);
    assert_eq!(plain.script_hash, marked.script_hash);
    assert_eq!(plain.modules, marked.modules);
    let wrong = script("\u{feff}local a = 1\nerror('here')");
    assert_eq!(wrong.refused(), "s.lua:2: here");
}
