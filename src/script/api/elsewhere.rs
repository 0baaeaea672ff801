//! Names from other tools (k6, sysbench, vdbench, Python), and their equivalents here.

type Words = [(&'static str, &'static str)];

/// Methods of clients, of `rng` and of metrics.
const METHODS: &Words = &[
    ("sleep", "think"),
    ("usleep", "think"),
    ("wait", "think"),
    ("pause", "think"),
    ("create", "open"),
    ("get", "read"),
    ("fetch", "read"),
    ("download", "read"),
    ("put", "write"),
    ("upload", "write"),
    ("append", "write"),
    ("move", "rename"),
    ("mv", "rename"),
    ("unlink", "delete"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("exists", "stat"),
    ("getattr", "stat"),
    ("ls", "list"),
    ("dir", "list"),
    ("readdir", "list"),
    ("makedirs", "mkdir"),
    ("fsync", "flush"),
    ("sync", "flush"),
    ("vu", "id"),
    ("client_id", "id"),
    ("thread_id", "id"),
    ("name", "user"),
    ("iter", "iteration"),
    ("random", "float"),
    ("uniform", "float"),
    ("range", "int"),
    ("randint", "int"),
    ("gauss", "normal"),
    ("gaussian", "normal"),
    ("exponential", "exp"),
    ("poisson", "exp"),
    ("zipfian", "zipf"),
    ("choice", "pick"),
    ("choose", "pick"),
    ("sample", "pick"),
    ("inc", "add"),
    ("increment", "add"),
];

const NO_COPY: &str =
    "there is no copy: read the one file and write the other, with c:open, c:read and c:write";
const NO_TREE: &str = "a tree is removed one by one: c:delete each file, then c:rmdir each directory, the innermost first";
const NO_RESULT: &str = "a script never sees results, so it cannot ask the server for one";
const PRINT: &str = "here it is print(…)";

/// Methods of a client that have no single equivalent.
const METHODS_WITHOUT_EQUAL: &Words = &[
    ("copy", NO_COPY),
    ("cp", NO_COPY),
    ("copyfile", NO_COPY),
    ("log", PRINT),
    ("print", PRINT),
    ("debug", PRINT),
    ("info", PRINT),
    ("rmtree", NO_TREE),
    ("removedirs", NO_TREE),
    ("deltree", NO_TREE),
    ("walk", NO_RESULT),
    ("glob", NO_RESULT),
    ("size", NO_RESULT),
    ("getsize", NO_RESULT),
    ("seek", "each read and write is given its offset, such as c:read(h, 4096, 1024)"),
    ("touch", "c:open(path, \"rw\") creates a file, and c:close closes it"),
];

const FUNCTIONS_OF_BENCH: &Words = &[
    (
        "options",
        "clients and pace are fields of bench.workload, how long it takes says bench.phases",
    ),
    ("scenario", "here it is bench.workload"),
    ("scenarios", "each is a bench.workload { … } of its own"),
    ("stages", "here it is bench.phases; rates by phase are the workload's pace"),
    ("constant_rate", "here it is bench.open_loop { rate = … }"),
    ("trend", "here it is bench.histogram"),
    ("log", "here it is print"),
    ("sleep", "here it is c:think(\"1s\")"),
    ("check", CHECK),
    ("run", "the script declares, and smbench run runs it"),
];

const CHECK: &str = "what an operation may end with says its option expect, such as c:stat(path, { expect = \"any\" }), and what a run must keep bench.thresholds";
const THINK: &str = "here it is c:think(\"1s\")";
const CLOCK: &str = "scripts have no clock; times come from phases, think and at";

const GLOBALS: &Words = &[
    ("sleep", THINK),
    ("wait", THINK),
    ("task", THINK),
    ("check", CHECK),
    ("tick", CLOCK),
    ("time", CLOCK),
    ("clock", CLOCK),
    ("http", "operations are methods of the client, such as c:open and c:read"),
    ("smb", "operations are methods of the client, such as c:open and c:read"),
    ("__VU", "here it is c.id"),
    ("__ITER", "here it is c.iteration"),
    ("__ENV", "what is given from outside are parameters: local P = bench.params { … }"),
    ("arg", "what is given from outside are parameters: local P = bench.params { … }"),
    (
        "sysbench",
        "parameters are what bench.params returns, operations are methods of the client c",
    ),
    ("randomSeed", "the seed is --seed"),
];

/// Functions that other tools call by name.
const ENTRY_POINTS: [&str; 7] =
    ["default", "event", "iteration", "setup", "teardown", "thread_init", "thread_done"];

fn find(words: &Words, word: &str) -> Option<&'static str> {
    words.iter().find(|(elsewhere, _)| *elsewhere == word).map(|(_, here)| *here)
}

/// Returns the name of the equivalent method or field.
pub(in crate::script) fn method(word: &str) -> Option<&'static str> {
    find(METHODS, word)
}

/// Returns advice about a method that has no equivalent here.
pub(in crate::script) fn advice(word: &str) -> Option<&'static str> {
    find(METHODS_WITHOUT_EQUAL, word)
}

/// Returns advice about a function that `bench` does not have.
pub(in crate::script) fn function_of_bench(word: &str) -> Option<&'static str> {
    find(FUNCTIONS_OF_BENCH, word)
}

/// Returns advice about a global that does not exist.
pub(in crate::script) fn global(word: &str) -> Option<&'static str> {
    find(GLOBALS, word)
}

/// Returns advice about a global function that another tool would call by its name.
pub(in crate::script) fn entry_point(word: &str) -> Option<&'static str> {
    ENTRY_POINTS.contains(&word).then_some(
        "what clients run are fields: bench.workload { …, iteration = function(c, rng) … end }",
    )
}
