//! Words that users of other tools (k6, sysbench, vdbench, fio, Python, the Windows API) type in
//! scripts, thresholds and command lines, with their equivalents here.

/// A table of foreign words. Those of a row have the same equivalent here, or the same advice if
/// there is no equivalent.
pub struct ForeignWords(&'static [(&'static [&'static str], &'static str)]);

impl ForeignWords {
    /// Returns the equivalent of `word`, or the advice on it.
    pub fn find(&self, word: &str) -> Option<&'static str> {
        self.all(word).next()
    }

    /// Returns every equivalent of `word`, the most likely one first.
    pub fn all(&self, word: &str) -> impl Iterator<Item = &'static str> {
        self.iter().filter(move |(foreign, _)| *foreign == word).map(|(_, here)| here)
    }

    /// Returns each foreign word with its equivalent or advice.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        self.0.iter().flat_map(|(words, here)| words.iter().map(move |word| (*word, *here)))
    }
}

/// Flags that other tools write with one letter, and long names of flags of commands. Not every
/// command has all of them.
pub const SHORT_FLAGS: ForeignWords = ForeignWords(&[
    (&["t"], "target"),
    (&["d"], "duration"),
    (&["d"], "dir"),
    (&["n"], "iterations"),
    (&["o"], "out"),
    (&["c"], "clients"),
]);

/// Metrics in thresholds.
pub const METRICS: ForeignWords = ForeignWords(&[
    (&["http_req_duration", "latency", "duration"], "all.response.p95"),
    (&["http_req_failed", "error_rate"], "errors.rate"),
    (&["http_reqs", "throughput", "iops"], "all.rate"),
]);

/// Words for the times of a metric in thresholds, which here are `response` and `service`.
pub const TIMES: &[&str] = &["latency", "duration", "time"];

/// Statistics of a metric in thresholds.
pub const STATISTICS: ForeignWords =
    ForeignWords(&[(&["avg", "average"], "mean"), (&["med", "median"], "p50")]);

/// Methods and fields of clients, of `rng` and of metrics.
pub const METHODS: ForeignWords = ForeignWords(&[
    (&["sleep", "usleep", "wait", "pause"], "think"),
    (&["create"], "open"),
    (&["get", "fetch", "download"], "read"),
    (&["put", "upload", "append"], "write"),
    (&["move", "mv"], "rename"),
    (&["unlink", "remove", "rm"], "delete"),
    (&["exists", "getattr"], "stat"),
    (&["ls", "dir", "readdir"], "list"),
    (&["makedirs"], "mkdir"),
    (&["fsync", "sync"], "flush"),
    (&["vu", "client_id", "thread_id"], "id"),
    (&["name"], "user"),
    (&["iter"], "iteration"),
    (&["group", "transaction"], "step"),
    (&["random", "uniform"], "float"),
    (&["range", "randint"], "int"),
    (&["gauss", "gaussian"], "normal"),
    (&["exponential", "poisson"], "exp"),
    (&["zipfian"], "zipf"),
    (&["choice", "choose", "sample"], "pick"),
    (&["inc", "increment"], "add"),
]);

/// Methods of a client that have no single equivalent.
pub const METHODS_WITHOUT_EQUIVALENT: ForeignWords = ForeignWords(&[
    (
        &["copy", "cp", "copyfile"],
        "there is no copy: read the one file and write the other, with c:open, c:read and c:write",
    ),
    (&["log", "print", "debug", "info"], "here it is print(…)"),
    (
        &["rmtree", "removedirs", "deltree"],
        "there is no removal of a whole tree: c:delete each file, then c:rmdir each directory, the innermost first",
    ),
    (
        &["walk", "glob", "size", "getsize"],
        "a script never sees results, so it cannot ask the server for one",
    ),
    (&["seek"], "each read and write has its own offset, such as c:read(h, 4096, 1024)"),
    (&["touch"], "c:open(path, \"rw\") creates a file, and c:close closes it"),
]);

/// Functions of `bench`.
pub const BENCH_FUNCTIONS: ForeignWords = ForeignWords(&[
    (
        &["options"],
        "clients and pace are fields of bench.workload, and bench.phases sets the duration",
    ),
    (&["scenario"], "here it is bench.workload"),
    (&["scenarios"], "write a bench.workload { … } for each"),
    (&["stages"], "here it is bench.phases; a workload's pace may have a rate for each phase"),
    (&["constant_rate"], "here it is bench.open_loop { rate = … }"),
    (&["trend"], "here it is bench.histogram"),
    (&["log"], "here it is print"),
    (&["sleep"], "here it is c:think(\"1s\")"),
    (&["check"], CHECK),
    (&["step", "group", "transaction"], STEP),
    (&["run"], "the script declares, and smbench run runs it"),
]);

const CHECK: &str = "the option expect sets how an operation may end, such as c:stat(path, { expect = \"any\" }), and bench.thresholds sets what the run must reach";

const STEP: &str = "here it is a method of the client: c:step(\"save\", function() … end)";

/// Global variables and functions of scripts.
pub const GLOBALS: ForeignWords = ForeignWords(&[
    (&["sleep", "wait", "task"], "here it is c:think(\"1s\")"),
    (&["check"], CHECK),
    (&["step", "group", "transaction"], STEP),
    (&["tick", "time", "clock"], "scripts have no clock; times come from phases, think and at"),
    (&["http", "smb"], "operations are methods of the client, such as c:open and c:read"),
    (&["__VU"], "here it is c.id"),
    (&["__ITER"], "here it is c.iteration"),
    (&["__ENV", "arg"], "a script takes parameters: local P = bench.params { … }"),
    (
        &["sysbench"],
        "bench.params returns the parameters, and operations are methods of the client c",
    ),
    (&["randomSeed"], "the seed is --seed"),
]);

/// Global functions that other tools call by their names.
pub const ENTRY_POINTS: ForeignWords = ForeignWords(&[(
    &["default", "event", "iteration", "setup", "teardown", "thread_init", "thread_done"],
    "clients run the functions of a workload: bench.workload { …, iteration = function(c, rng) … end }",
)]);

/// Fields of a workload.
pub const WORKLOAD_FIELDS: ForeignWords = ForeignWords(&[
    (&["vus", "users", "threads"], "here it is 'clients'"),
    (&["duration"], "bench.phases and --duration set the duration of a run"),
    (&["iterations"], "--iterations sets their number; 'iteration' is the function"),
    (&["rate"], "write pace = bench.open_loop { rate = … }"),
    (&["exec", "run", "main", "fn", "function", "event"], "here it is 'iteration'"),
    (
        &["stages"],
        "bench.phases sets the duration of each phase, and pace = { name = bench.open_loop { … } } its rate",
    ),
    (&["executor"], "write pace = bench.closed_loop {} or bench.open_loop { rate = … }"),
    (&["scenarios"], "write a bench.workload { … } for each"),
    (
        &["thresholds"],
        "they are declared beside the workloads: bench.thresholds { \"read.response.p99 < 20ms\" }",
    ),
    (&["think", "sleep"], "write c:think(\"1s\") in the iteration"),
    (
        &["weight"],
        "give each workload its number of clients or its rate, or choose within one workload: bench.choose { { 70, browse }, { 30, edit } }",
    ),
]);

/// Fields of a phase.
pub const PHASE_FIELDS: ForeignWords = ForeignWords(&[
    (&["length", "time"], "here it is 'duration'"),
    (
        &["target", "rate"],
        "the rate of a phase is part of the workload: pace = { name = bench.open_loop { rate = … } }",
    ),
    (&["warmup"], "write record = false"),
]);

/// Fields of a break policy.
pub const BREAK_POLICY_FIELDS: ForeignWords = ForeignWords(&[
    (&["answer", "mode", "action"], "here it is 'policy'"),
    (&["wait"], "here it is 'delay'"),
    (
        &["timeout"],
        "the server decides how long it waits (35 s); 'delay' sets how long the client waits before it answers",
    ),
]);

/// Names of break policies.
pub const BREAK_POLICIES: ForeignWords = ForeignWords(&[(&["ack"], "acknowledge")]);

/// Options of an open.
pub const OPEN_OPTIONS: ForeignWords = ForeignWords(&[
    (&["oplock"], "requested_oplock"),
    (&["access", "desired_access"], "access_mask"),
    (&["share", "share_access"], "share_mode"),
    (&["create_disposition"], "disposition"),
    (&["options"], "create_options"),
    (&["attributes"], "file_attributes"),
    (&["contexts"], "create_contexts"),
    (&["break_policy"], "on_break"),
]);
