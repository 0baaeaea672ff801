use super::*;

const USE: &str = "local m = require('acme.office')
bench.workload { name = 'w', iteration = function(c) c:stat(m.name) end }";

#[test]
fn modules_come_from_the_folder_lib_and_are_recorded() {
    let module = "return { name = 'found' }";
    let written = script(USE).file("lib/acme/office.lua", module);
    assert_eq!(written.operations()[0].kind.path().unwrap().as_str(), "found");
    let script = written.load().unwrap();
    let recorded = &script.header().modules;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].name, "acme.office");
    assert_eq!(recorded[0].version, "unversioned");
    assert_eq!(recorded[0].hash, blake3::hash(module.as_bytes()).to_hex().to_string());
}

#[test]
fn a_module_is_loaded_once_and_cannot_be_changed_by_its_users() {
    let text = "assert(require('m') == require('m'))
        local ok, why = pcall(function() require('m').x = 1 end)
        assert(not ok and why:find('readonly'))
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let script = script(text).file("lib/m.lua", "return {}").load().unwrap();
    assert_eq!(script.header().modules.len(), 1);
}

#[test]
fn std_is_embedded_has_the_version_of_smbench_and_cannot_be_shadowed() {
    let text = format!(
        "local office = require('std.office', '={}')
        bench.workload {{ name = 'w', iteration = function(c, rng) office.edit(c, rng, {{ folder = 'd' }}) end }}",
        env!("CARGO_PKG_VERSION")
    );
    let script = script(&text).file("lib/std/office.lua", "error('shadowed')").load().unwrap();
    assert_eq!(script.header().modules[0].version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_require_refuses() {
    let cases = [
        (
            "require('missing')",
            "s.lua:1: module 'missing' not found: there is no DIR/lib/missing.lua",
        ),
        (
            "require('std.offcie')",
            "s.lua:1: unknown module 'std.offcie': did you mean 'std.office'?",
        ),
        (
            "require('../secret')",
            "s.lua:1: \"../secret\" is no module name: write names of letters, digits and '_' with dots between, such as \"acme.office\"",
        ),
        (
            "require('a/b')",
            "s.lua:1: \"a/b\" is no module name: write names of letters, digits and '_' with dots between, such as \"acme.office\"",
        ),
        ("require(5)", "s.lua:1: require: the module's name is a string, not 5"),
        (
            "require('nothing')",
            "s.lua:1: module 'nothing' returns nothing; end it with \"return M\"",
        ),
        (
            "require('circle')",
            "lib/round.lua:1: modules require one another in a circle: circle -> round -> circle",
        ),
        ("require('broken')", "lib/broken.lua:2: boom"),
        (
            "require('wrong')",
            "lib/wrong.lua:1: Expected identifier when parsing expression, got <eof>",
        ),
        (
            "require('plain', '^1.0')",
            "s.lua:1: module 'plain' has no version, so \"^1.0\" cannot be required",
        ),
        (
            "require('std.office', '^99')",
            concat!(
                "s.lua:1: module 'std.office' is version ",
                env!("CARGO_PKG_VERSION"),
                "; the script requires ^99"
            ),
        ),
        (
            "require('std.office', 'new')",
            "s.lua:1: require: \"new\" is no version; write \"^1.2\" or \">=0.1\"",
        ),
        (
            "require('bytes')",
            "s.lua:1: module 'bytes': DIR/lib/bytes.lua: it is compiled bytecode; a script must be source code",
        ),
    ];
    for (text, expected) in cases {
        let message = script(text)
            .file("lib/nothing.lua", "local x = 1")
            .file("lib/circle.lua", "return require('round')")
            .file("lib/round.lua", "return require('circle')")
            .file("lib/broken.lua", "\nerror('boom')")
            .file("lib/wrong.lua", "local x =")
            .file("lib/plain.lua", "return {}")
            .file("lib/bytes.lua", "\x05")
            .refused();
        assert_eq!(message, expected, "{text}");
    }
}

#[cfg(unix)]
#[test]
fn symbolic_links_that_leave_the_script_s_folder_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("m.lua"), "return { name = 'outside' }").unwrap();
    let refusal = "a symbolic link leads out of the script's directory, or is absolute; modules are read from inside that directory only";
    let file = script("require('m')").file("lib/other.lua", "return { name = 'inside' }");
    std::os::unix::fs::symlink(outside.path().join("m.lua"), file.path("lib/m.lua")).unwrap();
    assert_eq!(file.refused(), format!("s.lua:1: module 'm': DIR/lib/m.lua: {refusal}"));
    for module in ["m", "none"] {
        let folder = script(&format!("require('{module}')"));
        std::os::unix::fs::symlink(outside.path(), folder.path("lib")).unwrap();
        let expected = format!("s.lua:1: module '{module}': DIR/lib/{module}.lua: {refusal}");
        assert_eq!(folder.refused(), expected, "the same whether or not it is there");
    }
    let within = script(&USE.replace("acme.office", "m"))
        .file("lib/deep/other.lua", "return { name = 'inside' }");
    std::os::unix::fs::symlink("deep/other.lua", within.path("lib/m.lua")).unwrap();
    assert_eq!(within.operations()[0].kind.path().unwrap().as_str(), "inside");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_module_is_not_waited_for() {
    let written = script("require('m')").file("lib/other.lua", "return {}");
    let made = std::process::Command::new("mkfifo").arg(written.path("lib/m.lua")).status();
    assert!(made.unwrap().success());
    assert_eq!(written.refused(), "s.lua:1: module 'm': DIR/lib/m.lua: it is not a regular file");
}

#[test]
fn a_chain_of_modules_is_taken_to_its_limit_and_beyond_it_the_limit_is_named() {
    let chain = |length: usize| {
        let use_it =
            "require('m1') bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
        (1..=length).fold(script(use_it), |written, at| {
            let text = match at == length {
                true => "return {}".to_string(),
                false => format!("return require('m{}')", at + 1),
            };
            written.file(&format!("lib/m{at}.lua"), &text)
        })
    };
    assert_eq!(chain(64).load().unwrap().header().modules.len(), 64);
    assert_eq!(
        chain(200).refused(),
        "lib/m64.lua:1: modules require one another more than 64 levels deep: m1 -> m2 -> … -> m64 -> m65; require them side by side, or put several into one file"
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
fn a_module_of_the_name_of_a_global_is_a_module() {
    let text = "local m = require('math')
        bench.workload { name = 'w', iteration = function(c) c:stat(m.name) end }";
    let written = script(text).file("lib/math.lua", "return { name = 'own' }");
    assert_eq!(written.operations()[0].kind.path().unwrap().as_str(), "own");
}

#[test]
fn errors_name_the_path_that_the_user_gave_and_the_stream_does_not_depend_on_it() {
    let written = script(
        "local m = require('m')
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
    let path = written.options.path.display().to_string();
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
    let text = "local m = require('m')
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
