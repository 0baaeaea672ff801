---@meta
-- The whole API of smbench scripts, for editors that read LuaCATS annotations.
-- `smbench new` and `smbench definitions` put it where editors find it. Scripts do not
-- load it. bench.d.luau and docs/lua-api.md are generated from it: a comment that begins
-- with "# " starts a section of that page.

-- # Modules
--
-- A script can be split into files. smbench.toml marks the directory of a project, and
-- `require` reaches every file of the project and the standard library in smbench.

---Loads a module once and returns it, at the top level of a script or module only.
---The path begins with "./" or "../" (relative to the directory of the file), "@self/"
---(inside the directory of an init.lua) or "@bench/" (the standard library). It names
---a `.lua` or `.luau` file without its extension, or a directory with an `init.lua`.
---An init.lua stands for its directory, so "./" in it is the directory above.
---@param path string
---@return any
function require(path) end

-- # Durations, sizes and expectations

---A string with a unit ("50ms", "1.5s", "2m") or a number of nanoseconds.
---@alias bench.Duration string|number

---A number of bytes below 2^53, or a string ("64KiB", "1.5MB", "9007199254740993"),
---which is exact up to 2^64 - 1. Larger numbers are refused, because Lua rounds them.
---@alias bench.Size integer|string

---The expected result of an operation: the name of an NT status
---("OBJECT_NAME_NOT_FOUND"), a list of names, or "any". Statuses that are not
---listed are failures. To allow success as well, list it:
---{ "SUCCESS", "SHARING_VIOLATION" }.
---@alias bench.Expect string|string[]

-- # The client
--
-- The first argument of setup, iteration and teardown.

---The handle that `c:open` returns. It is valid until `c:close`, and only for its
---client. Handles from setup are valid in iterations, but teardown starts without
---handles. If the open failed, expected or not, operations on the handle are
---skipped and counted.
---@class bench.Handle

---@class (exact) bench.Options
---@field expect? bench.Expect the expected statuses (default: success; for a read also the end of the file)

---@class (exact) bench.Lease
---@field state string "R", "RH", "RW", "RWH", or names joined with "|"
---@field key? string 32 hexadecimal digits (default: a key for each client and file, kept when the client renames the file)
---@field parent_key? string
---@field version? 1|2 (default 2)

---@class (exact) bench.Durable
---@field version? 1|2 (default 2)
---@field timeout? string such as "60s" (default: chosen by the server)

---@class (exact) bench.CreateContext
---@field name string a string such as "MxAc", or 0x and hexadecimal digits for a binary name
---@field data? string hexadecimal digits

---The answer of a client when the server breaks an oplock or a lease that it
---granted. Operations on the file wait until the break is finished.
---@class (exact) bench.BreakPolicy
---@field policy? "acknowledge"|"ignore" "ignore" sends no answer, and the server gives up after its own time limit of 35 s (default "acknowledge")
---@field delay? bench.Duration time from the notice of the break to the answer: less than 35 s, the time limit of servers (default 0)
---@field flush? boolean send a flush before the answer if writes could be cached (default false)

---@class (exact) bench.OnBreak: bench.BreakPolicy
---@field workload? string the workload that the policy applies to (default: all workloads without a policy of their own)

---An option that the backend does not support, or --mode excludes, is refused
---before the run, unless --degrade is given. The options from access_mask to
---file_attributes need fidelity mode 1; requested_oplock, lease, durable and
---create_contexts need mode 2. Names are those of MS-SMB2 2.2.13, with or without
---their prefix. The defaults follow from the argument `mode`.
---@class (exact) bench.OpenOptions: bench.Options
---@field access_mask? string|integer DesiredAccess: names joined with "|", or a number
---@field share_mode? string|integer "read|write|delete", which is the default; "none" shares the file with nobody
---@field disposition? string|integer "FILE_OPEN", "FILE_CREATE", …
---@field create_options? string|integer (default "FILE_NON_DIRECTORY_FILE")
---@field file_attributes? string|integer (default "FILE_ATTRIBUTE_NORMAL")
---@field requested_oplock? "none"|"ii"|"exclusive"|"batch"|"lease" (default "lease" with a lease, else "none"); sent as given, even beside a lease
---@field lease? string|bench.Lease "RWH", or a table for more fields; either one requests a lease
---@field durable? true|bench.Durable
---@field create_contexts? bench.CreateContext[] sent as given
---@field on_break? bench.BreakPolicy the policy of this handle (default: that of bench.on_break). Several opens of one lease follow the last one that is still open and has a policy
---@field reopen? boolean open the handle again after a lost connection, before the next operation on it: with FILE_OPEN and otherwise as before, at the path to which this run has renamed the file. Byte-range locks are lost, and counted; if the open fails, the operation is skipped (default false)

---@class (exact) bench.WriteOptions: bench.Options
---@field payload? "zero"|"random"|"text" the content that is written (default "random", which cannot be compressed)
---@field blob? string write the first bytes of this file instead. The path is relative to the script's directory. The file must be a regular file in that directory or in a directory of --allow-blobs, and no symbolic link on the way may be absolute or lead out

---@class (exact) bench.RenameOptions: bench.Options
---@field replace? boolean whether an existing file is replaced (default true)

---@class (exact) bench.LockOptions: bench.Options
---@field exclusive? boolean (default true)
---@field wait? boolean block until granted instead of failing (default false)

---A client. Its methods append operations to its stream, return at once and never
---see a result: `open` returns a handle, `running` a boolean, the others nothing.
---@class bench.Client
---@field id integer its number within the workload, from 0
---@field user string a name for the user it stands for, such as "editors-3": its workload and id, unique among all clients. The target decides which account logs in
---@field iteration integer the number of the iteration, from 0
local Client = {}

---Opens a file: "r" opens an existing file, "w" empties or creates it, "rw" opens
---or creates it.
---@param path string
---@param mode "r"|"w"|"rw"
---@param options? bench.OpenOptions
---@return bench.Handle
function Client:open(path, mode, options) end

---Reads bytes. Fewer bytes than were asked for are no failure: a short read is counted.
---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size at most 64 MiB
---@param options? bench.Options
function Client:read(handle, offset, length, options) end

---Writes bytes derived from the seed, the path and the offset, or those of a file.
---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size at most 64 MiB
---@param options? bench.WriteOptions
function Client:write(handle, offset, length, options) end

---Closes a handle, with which nothing can be done after that.
---@param handle bench.Handle
---@param options? bench.Options
function Client:close(handle, options) end

---Renames a file or a directory. An existing file at the new path is replaced.
---@param from string
---@param to string
---@param options? bench.RenameOptions
function Client:rename(from, to, options) end

---Deletes a file.
---@param path string
---@param options? bench.Options
function Client:delete(path, options) end

---Creates a directory. In setup, a directory that exists is no failure.
---@param path string
---@param options? bench.Options
function Client:mkdir(path, options) end

---Removes an empty directory.
---@param path string
---@param options? bench.Options
function Client:rmdir(path, options) end

---Reads all entries of a directory whose names match a pattern.
---@param path string "" is the share itself
---@param pattern? string with * and ? (default "*")
---@param options? bench.Options
function Client:list(path, pattern, options) end

---Queries the attributes, the size and the times of a file or a directory.
---@param path string
---@param options? bench.Options
function Client:stat(path, options) end

---Sets the size of a file. Bytes that this adds are zero.
---@param handle bench.Handle
---@param size bench.Size
---@param options? bench.Options
function Client:truncate(handle, size, options) end

---Has the server write what it keeps of the file to its storage.
---@param handle bench.Handle
---@param options? bench.Options
function Client:flush(handle, options) end

---Locks a range of bytes, for this handle alone or shared with other readers.
---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size
---@param options? bench.LockOptions
function Client:lock(handle, offset, length, options) end

---Unlocks a range that was locked as it is given here.
---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size
---@param options? bench.Options
function Client:unlock(handle, offset, length, options) end

---Delays the next operation by this time. The times of several calls add up.
---@param time bench.Duration
function Client:think(time) end

---Makes the next operation due at this time after time zero of the run. Allowed only in
---iterations of closed loops.
---@param time bench.Duration
function Client:at(time) end

---Starts another iteration within a loop inside the iteration function. Each call
---counts as one iteration; in an open loop it begins at the next arrival. Returns
---false when the stream ends by itself.
---@return boolean
function Client:running() end

---Gives the operations that `body` makes a name: the report, thresholds, hooks and the
---operation log show them as one step, from when the first is due to the end of the
---last. A step may happen inside another, but no deeper, and belongs to one iteration.
---Returns what `body` returns.
---@generic T
---@param name string 1 to 64 letters, digits, "_" and "-"; at most 1,000 different names in a stream
---@param body fun(): T...
---@return T...
function Client:step(name, body) end

-- # Random numbers
--
-- The second argument of setup, iteration and teardown, and what `bench.rng` returns.

---The random numbers of the running client, the same on every run and host. They
---have fractions unless a method returns whole numbers; math.floor makes offsets
---and lengths of them.
---@class bench.Rng
local Rng = {}

---Returns a whole number from low to high, both included.
---@param low integer
---@param high integer
---@return integer
function Rng:int(low, high) end

---Returns a number from 0 to below 1.
---@return number
function Rng:float() end

---Returns true with this probability.
---@param probability? number (default 0.5)
---@return boolean
function Rng:bool(probability) end

---A number, or a duration ("5ms") or a size ("64KiB") as a string, which stands for a
---number of nanoseconds or of bytes. Write minutes as "5min": "5m" could be mebibytes.
---@alias bench.Quantity number|string

---Draws from an exponential distribution with this mean.
---@param mean bench.Quantity
---@return number
function Rng:exp(mean) end

---Draws from a normal distribution. Two of three values lie within one standard
---deviation of the mean. Values below 0 are possible: use math.max(0, …) if they
---make no sense.
---@param mean bench.Quantity
---@param deviation bench.Quantity the standard deviation, of the same kind as the mean
---@return number
function Rng:normal(mean, deviation) end

---Draws from a lognormal distribution, as sizes of files and think times often
---have. Half of the values lie below the median, and two of three within a factor
---math.exp(sigma) of it. The mean of the logarithm is math.log(median). The mean is median * math.exp(sigma^2 / 2).
---@param median bench.Quantity
---@param sigma number the standard deviation of the (natural) logarithm, 0 to 10
---@return number
function Rng:lognormal(median, sigma) end

---Draws from a Pareto distribution: at least scale, and above x with the
---probability (scale / x)^shape. The smaller the shape, the heavier the tail: with
---a shape up to 1 there is no mean, up to 2 no variance.
---@param scale bench.Quantity the smallest value
---@param shape number at least 0.1
---@return number
function Rng:pareto(scale, shape) end

---Returns a whole number from 1 to n. The probability of k is proportional to
---1 / k^s: with s = 1, 1 comes twice as often as 2; with s = 0, all are equally
---likely.
---@param n integer
---@param s number 0 to 100; the popularity of files is often about 0.8 to 1.2
---@return integer
function Rng:zipf(n, s) end

---Returns one value of the list, each equally likely, or by weight. All weights
---are read at each call, so bench.choose is faster for functions.
---@generic T
---@param list T[]
---@param weights? number[] one for each value of the list
---@return T
function Rng:pick(list, weights) end

---Returns a new list with the same values in random order. The list itself is not
---changed.
---@generic T
---@param list T[]
---@return T[]
function Rng:shuffle(list) end

-- # Parameters and workloads

---A function of a script: a setup, an iteration or a teardown.
---@alias bench.Section fun(c: bench.Client, rng: bench.Rng)

---@class (exact) bench.Parameter
---@field type "int"|"float"|"string"|"bool"|"duration"|"size"
---@field default any
---@field min? any
---@field max? any
---@field choices? string[] the strings that are allowed
---@field help? string

---When the iterations of a workload begin: what `bench.closed_loop` or `bench.open_loop` returns.
---@class bench.Pace

---The features of the backend that a workload uses. Those that its first 1,000
---operations use need not be listed.
---@class (exact) bench.Needs
---@field mode? 0|1|2 0: paths; 1: fields of CREATE; 2: oplocks, leases, durable handles
---@field locks? boolean
---@field blocking_locks? boolean
---@field access_mask? boolean
---@field share_mode? boolean
---@field disposition? boolean
---@field create_options? boolean
---@field file_attributes? boolean

---@class (exact) bench.Workload
---@field name string
---@field clients? integer 1 to 1,000,000 (default 1)
---@field setup? bench.Section once per client
---@field iteration bench.Section called repeatedly
---@field teardown? bench.Section once per client
---@field pace? bench.Pace|table<string, bench.Pace> one pace, or an open loop for each phase by its name
---@field needs? bench.Needs
---@field setup_on_reload? boolean whether setup runs again when a reload moves a client to the new script (default false: setup runs for added clients only, and the iterations of the others must not use a handle that setup opened)

---@class (exact) bench.Phase
---@field name string
---@field duration bench.Duration
---@field record? boolean whether the totals count it (default true)

---@class bench
bench = {}

---Declares parameters, which are set from outside with -p name=value, and returns
---their values. Durations are in nanoseconds, sizes in bytes. From 2^53 on a size
---is a string ("9007199254740993B"): operations take it exactly, and Lua refuses
---to compute with it.
---@param parameters table<string, bench.Parameter>
---@return table<string, any>
function bench.params(parameters) end

---Declares a workload: clients that do the same, each on its own connection.
---@param workload bench.Workload
function bench.workload(workload) end

---Returns a function that calls one of these by weight, with the client's random
---numbers: `iteration = bench.choose { { 70, browse }, { 30, edit } }`. It passes
---its arguments on, and returns the results of the function it calls.
---@param choices { [1]: number, [2]: fun(c: bench.Client, rng: bench.Rng, ...): any }[]
---@return fun(c: bench.Client, rng: bench.Rng, ...): any
function bench.choose(choices) end

---Returns random numbers for data that all clients share, such as a table of file
---sizes. They are the same in every VM that runs the script, and the same name
---gives the same numbers again. Allowed only at the top of the script.
---@param name string
---@return bench.Rng
function bench.rng(name) end

---Returns a size as a number of bytes: bench.bytes("64KiB") is 65536. Allowed anywhere.
---@param size bench.Size up to 2^53
---@return integer
function bench.bytes(size) end

---Returns a duration as a number of nanoseconds: bench.nanoseconds("5ms") is 5000000.
---Allowed anywhere.
---@param duration bench.Duration
---@return integer
function bench.nanoseconds(duration) end

---Runs a function once per run, before every client's setup.
---@param section bench.Section
function bench.setup(section) end

---Runs a function once per run, after every client's teardown.
---@param section bench.Section
function bench.teardown(section) end

---Sets the phases of a run, in order. --duration scales the recorded phases so
---that together they last that long, and other phases if that makes them shorter.
---Rates are kept: in half the time a phase has half as many arrivals.
---@param phases bench.Phase[]
function bench.phases(phases) end

-- # Breaks, and the pace of iterations

---Sets how clients answer when the server breaks an oplock or a lease, for one
---workload or for all. Without it, they acknowledge at once.
---@param policy bench.OnBreak
function bench.on_break(policy) end

---Returns a pace in which an operation waits for the previous one, in all phases.
---@param options? {}
---@return bench.Pace
function bench.closed_loop(options) end

---A rate in iterations per second: a number, or a ramp over the phase. Without
---`from`, the ramp begins at the final rate of the previous phase.
---@alias bench.PhaseRate number|{ from?: number, to: number }

---A function that returns the time from the arrival at `now` to the next one.
---`now` is in nanoseconds; for the first arrival it is the start of arrivals.
---`rate` is the rate at `now`, which is 0 at the start of a ramp from 0.
---@alias bench.Gap fun(rng: bench.Rng, now: number, rate: number): bench.Duration

---@class (exact) bench.OpenLoop
---@field rate number|table<string, bench.PhaseRate> iterations per second of all clients together, or a table of rates by phase, with 0 for a pause. If the pace is set by phase: a bench.PhaseRate
---@field arrivals? "constant"|"poisson"|bench.Gap the spacing of arrivals (default "constant")
---@field late? "queue"|"drop" whether an arrival whose client is busy waits or is dropped (default "queue")

---Returns a pace in which iterations arrive at a rate, however long each takes.
---Arrival n begins an iteration of client n modulo `clients`. After the last phase
---the rate stays the same.
---@param options bench.OpenLoop
---@return bench.Pace
function bench.open_loop(options) end

-- # Thresholds

---A condition on one metric of the run, such as "read.response.p99 < 20ms":
---`<metric> <operator> <value>`, with the operators < <= > >= == !=.
---
---X is one of p50 p90 p95 p99 p999 min mean max, unless other words are listed.
---
---Metrics of `all` operations, or of those of one type (`read`, `open`, …):
---* `.service.X` and `.response.X`
---* `.count`, `.rate` (per second) and `.failed` (number of failures)
---
---Metrics of `iterations`. The time of an iteration ends with its last operation,
---so think time after that is not included:
---* `.service.X`: from the issue of its first operation
---* `.response.X`: from the time the iteration is due
---* `.count`, `.rate`, `.late`, `.dropped`, `.cut`, and `.skipped` (no operation of
---  it was sent)
---
---Metrics of steps (`c:step`), such as those named `save`:
---* `step.save.response.X`: from when its first operation is due to the end of its last
---* `step.save.count`, `.rate`, `.failed` (an operation of it failed), `.skipped`
---  (no operation of it was sent), `.cut` (by the end of the run)
---
---Metrics of opens:
---* `open.granted.X`: opens that were granted X (none ii exclusive batch R RH RW RWH)
---* `open.create_action.X` (opened created overwritten superseded)
---
---Errors:
---* `errors.rate` (the share of operations that failed) and `errors.count`
---* `errors.ACCESS_DENIED`: failures with this status. Any status can be named, and
---  `TIMED_OUT` and `CONNECTION_LOST`
---
---Delays, connections and bytes:
---* `lateness.X`, `backlog.X`
---* `handoff.X`: from the issue to the first write
---* `pickup.X`: from the arrival of the answer in the kernel to the client
---* `disconnected.client_seconds` (over all clients), `disconnected.clients`,
---  `disconnected.longest`
---* `bytes.read.count`, `bytes.read.rate`, `bytes.written.count`,
---  `bytes.written.rate`
---
---Breaks of oplocks and leases:
---* `breaks.count`, `breaks.oplock`, `breaks.lease`
---* by their end: `breaks.acknowledged`, `breaks.not_asked` (the server requested no
---  answer), `breaks.refused` (the server refused the answer), `breaks.closed`,
---  `breaks.connection_lost`, `breaks.ignored` (by the policy of on_break),
---  `breaks.timed_out` (the server gave up
---  before it took the intended answer), `breaks.cut`
---* `breaks.blocked`: operations that waited for the end of a break
---* `breaks.waited.X`: from the notice to the acknowledgement
---* `breaks.lasted.X`: from the notice to the end, of breaks that required an answer
---
---Times need a unit (20ms), shares are percent (1%) or below 1 (0.01), sizes may
---have a unit (64MiB), rates may end in /s. A threshold fails if its metric has no
---samples.
---@alias bench.Expression string

---@class (exact) bench.Threshold
---@field [1] bench.Expression
---@field phase? string the phase it applies to (default: all recorded phases together)
---@field workload? string the workload it applies to (default: all together)
---@field abort? boolean whether a failure ends the run. It is checked every second once there are 100 samples. A minimum for a count is checked only at the end (default false)
---@field delay? bench.Duration time in its phase before abort may end the run (default "5s")

---Sets the thresholds of the run. If one fails, the exit code is 99. Failures that
---a passing threshold on `errors` counts do not cause exit code 4; failures in
---setup still do.
---@param thresholds (bench.Expression|bench.Threshold)[]
function bench.thresholds(thresholds) end

-- # Hooks
--
-- Hooks run in a VM of their own, beside the load, and nothing ever waits for
-- them. Events for which they are too slow are dropped, counted and reported, and
-- lead to the verdict `hooks-dropped`. A hook that raises an error makes the run
-- exit with 4, unless `--hook-errors` is set otherwise.

---@alias bench.Operation "open"|"read"|"write"|"close"|"rename"|"delete"|"mkdir"|"rmdir"|"stat"|"list"|"truncate"|"flush"|"lock"|"unlock"

---A field of a completion. Three fields belong to opens:
---* `granted`: the granted oplock ("batch", "exclusive", "ii", "none") or state of
---  the lease ("RWH", "RH", "none")
---* `create_action`: "opened", "created", "overwritten" or "superseded"
---* `file_id`: the id of the open, as in the operation log
---
---They are nil for other operations, for failed opens, and if the backend does
---not know them. Times of a skipped or cut operation are nil.
---
---`generation` is the number of the version of the script that made the operation,
---from 1. A run with `--watch` has a further one after each reload.
---@alias bench.Field "kind"|"status"|"service_ns"|"response_ns"|"op_id"|"client"|"lateness_ns"|"bytes"|"path"|"iteration"|"step"|"granted"|"create_action"|"file_id"|"generation"

---Selects the completions for which a hook is called. Without `phase`: those of
---recorded phases. Without `status`: those of operations that were sent.
---@class (exact) bench.Filter
---@field ops? bench.Operation|bench.Operation[]
---@field workload? string|string[]
---@field phase? string|string[] also "setup" and "teardown"
---@field path? string|string[] with * (any characters, including /) and ?; for a handle, the path it was opened with
---@field step? string|string[] the steps an operation belongs to, the outer one included
---@field status? string|string[] "ok" (as expected), "failed", "skipped", "cut", or a name ("SHARING_VIOLATION")
---@field fields? bench.Field[] the arguments, in this order (default: kind, status, service_ns, response_ns)

---Calls a hook after an operation has ended: in order within a client, but not
---across clients.
---@param filter bench.Filter
---@param hook fun(...: any)
---@overload fun(hook: fun(kind: bench.Operation, status: string, service_ns: integer, response_ns: integer))
function bench.on_complete(filter, hook) end

---Calls a hook when a phase starts and ends. Completions of a phase may follow its
---end.
---@param hook fun(name: string, edge: "start"|"end")
function bench.on_phase(hook) end

---Calls a hook after the run, with the content of summary.json, which it cannot
---change.
---@param hook fun(summary: table)
function bench.on_end(hook) end

---Ends the run early and in order, with exit code 99. Allowed only in hooks.
---@param reason? string
function bench.abort(reason) end

---The statuses as hooks get them: `bench.status.SHARING_VIOLATION`, `bench.status.TIMED_OUT`.
---@type table<string, string>
bench.status = {}

---A table in which hooks keep values from call to call. Exists only in hooks.
---
---In a run with `--watch` it outlives a reload: the hooks of the new version of the
---script find the numbers, strings, booleans and tables of these that the old ones
---left. Functions, objects and tables with a metatable are dropped, with a warning.
---Metrics go on too. A metric keeps its kind and its unit for the whole run.
---@type table
bench.state = {}

-- # Streams and stages

---A stream of operations of a document. The script runs every stream that no other
---stream is made of, beside its own workloads.
---@class bench.Stream

---A stage of a transform.
---@class bench.Stage

---Patterns of paths or of the names of clients. `*` and `?` match within a component,
---`**` matches across components, `[…]` and `{a,b}` match alternatives. A pattern
---without `/` is compared with the last component alone. A string matches if it matches
---one of the patterns without `!` (or there are none), and none of those with `!`.
---Case is ignored.
---@alias bench.Patterns string|string[]

---Loads a document. A path in the script starts from the script's directory and does not
---leave the project. A path that the command line gives with -p starts from the current
---directory and may be anywhere.
---@param path string such as "day.jsonl"
---@return bench.Stream
function bench.load(path) end

---A directory of a scanned tree.
---@class (exact) bench.TreeDirectory
---@field parent? integer the index of its parent in the list, which is smaller than its own; nil for the first
---@field name? string its name, if the tree was scanned with --names; nil for the first
---@field files integer[] the sizes of its files in bytes
---@field names? string[] the names of its files, if the tree was scanned with --names

---The shape of a directory tree.
---@class (exact) bench.Tree
---@field directories bench.TreeDirectory[]

---Reads the shape of a directory tree that `smbench scan DIR -o tree.json` wrote. The
---tables cannot be changed. The path is found as that of `bench.load`.
---@param path string such as "tree.json"
---@return bench.Tree
function bench.tree(path) end

---Passes a stream through stages, in their order. Nothing is read before the run needs it.
---An operation on a handle has the path of the handle's open. A stage that drops an open
---drops all that is done on its handle, and one that keeps it keeps its close. What
---remains keeps its time.
---@param stream bench.Stream
---@param stages bench.Stage[]
---@return bench.Stream
function bench.transform(stream, stages) end

---Merges streams into one with the clients of all of them. Workloads are named
---`<name>/<workload>`, and named clients `<name>/<client>`. With `join = true` names stay
---as they are, and clients of the same name in the same workload become one client, which
---performs the operations of each in order of time; every operation of their iterations
---must then name a time from time zero. With a single stream, the result is that stream.
---@param streams { [string]: bench.Stream|boolean }
---@return bench.Stream
function bench.merge(streams) end

---@class (exact) bench.FilterStage
---@field ops? bench.Operation|bench.Operation[] the types to keep; a type that acts on a handle needs "open" too
---@field path? bench.Patterns
---@field client? bench.Patterns
---@field from? bench.Duration the time from time zero from which operations of iterations are kept (a close outside of the time moves to its edge)
---@field to? bench.Duration the time from which they are dropped

---Keeps the operations that meet every condition given.
---@param conditions bench.FilterStage
---@return bench.Stage
function bench.filter(conditions) end

---The operation that a function of `bench.map` is given. A field that operations of its
---kind do not have is nil. `path`, `dest`, `offset`, `length`, `size`, `at` and `after` can
---be set where they are not nil; the path of a handle is that of its open and cannot.
---@class bench.MappedOperation
---@field kind bench.Operation
---@field client string
---@field section "setup"|"iteration"|"teardown"
---@field iteration integer
---@field step? string the name of its innermost step
---@field id string the operation's id in the document
---@field path string
---@field dest? string the new path of a rename
---@field handle? bench.Handle the handle, once its open was emitted
---@field mode? "r"|"w"|"rw"
---@field offset? integer
---@field length? integer
---@field size? integer the new size of a truncate
---@field pattern? string
---@field exclusive? boolean
---@field replace? boolean
---@field at? bench.Duration nanoseconds from time zero
---@field after? bench.Duration nanoseconds since the client's previous operation

---Adds operations to the output of `bench.map`: `emit(op)` passes the operation on, and the
---methods of a client make others.
---@class bench.Emit: bench.Client
---@overload fun(op: bench.MappedOperation)

---Calls a function for each operation of a stream. It may emit the operation with
---`emit(op)`, none, or several; other operations are made as in an iteration, such as
---`emit:stat(op.path)`. The first one made has the time and the step of `op`, and the
---others follow it. At most 1,000 are made of one.
---If the open of a handle is not emitted, the function is not called for what is done on
---the handle. A close that it does not emit is made all the same.
---@param map fun(op: bench.MappedOperation, emit: bench.Emit, rng: bench.Rng)
---@return bench.Stage
function bench.map(map) end

---@class (exact) bench.TimeWarpStage
---@field factor number 0.5 is twice the speed

---Makes all times of the iterations and the phases `factor` times as long.
---@param warp bench.TimeWarpStage
---@return bench.Stage
function bench.time_warp(warp) end

---@class (exact) bench.ShiftStage
---@field by bench.Duration "5s" later, or "-5s" earlier
---@field client? bench.Patterns the clients that are moved (default: all)

---Moves the iterations in time.
---@param shift bench.ShiftStage
---@return bench.Stage
function bench.shift(shift) end

---@class (exact) bench.ScaleClientsStage
---@field to integer the number of clients, those of the stream included
---@field jitter? bench.Duration each clone begins at a random time within this long (default 0)
---@field path? string the paths of clone k, with {k} and {path} (default "clone{k}/{path}"); "{path}" lets clones share files

---Makes clones of all clients until there are `to`. The clients of the stream stay as they
---are. The directories of the clones are made in the setup of the run.
---@param scale bench.ScaleClientsStage
---@return bench.Stage
function bench.scale_clients(scale) end

---@class (exact) bench.RepeatStreamStage
---@field times integer
---@field period? bench.Duration the time from one repetition to the next, for streams that name times from time zero (default: the stream's length)

---Makes the iterations of every client several times. Setup and teardown are made once.
---@param repetition bench.RepeatStreamStage
---@return bench.Stage
function bench.repeat_stream(repetition) end

---@class (exact) bench.SampleStage
---@field fraction number the probability with which a sequence is kept, from 0 to 1

---Keeps a random part of the iterations: whole sequences from an open to its close, and
---operations by path each by itself.
---@param sample bench.SampleStage
---@return bench.Stage
function bench.sample(sample) end

---@class (exact) bench.MixRule
---@field path bench.Patterns
---@field weight number 3 makes a sequence three times, 0.5 keeps each with a probability of one half (at most 1000)

---Re-weighs the sequences from an open to its close in the iterations. The first rule that
---matches counts; what matches none stays as it is, and so do operations by path.
---@param rules bench.MixRule[]
---@return bench.Stage
function bench.mix(rules) end

---@class (exact) bench.PathRule
---@field from string a directory or file; "" stands for every path
---@field to string

---Replaces the beginning of paths, by whole components. The first rule that matches counts.
---@param rules bench.PathRule[]
---@return bench.Stage
function bench.rewrite_paths(rules) end

-- # Metrics
--
-- Metrics are declared at the top of the script and updated in hooks. Each metric
-- has separate values for at most 100 combinations of tags; further combinations
-- count only in the metric as a whole.

---The names and values that a metric is divided by.
---@alias bench.Tags table<string, string|number|boolean>

---@class (exact) bench.MetricOptions
---@field tags? string[] the names that tags may have (default: any)
---@field help? string

---@class (exact) bench.HistogramOptions: bench.MetricOptions
---@field unit? "ns"|"bytes"

---@class bench.Counter
local Counter = {}

---Adds to the counter.
---@param amount? number (default 1)
---@param tags? bench.Tags
function Counter:add(amount, tags) end

---@class bench.Gauge
local Gauge = {}

---Sets the value, which remains until it is set again.
---@param value number
---@param tags? bench.Tags
function Gauge:set(value, tags) end

---@class bench.Rate
local Rate = {}

---Counts one observation, and whether it was true.
---@param yes boolean
---@param tags? bench.Tags
function Rate:observe(yes, tags) end

---@class bench.Histogram
local Histogram = {}

---Records one value.
---@param value number at least 0; rounded to a whole number
---@param tags? bench.Tags
function Histogram:record(value, tags) end

---Declares a counter: a sum.
---@param name string letters, digits, "_", "-" and "."
---@param options? bench.MetricOptions
---@return bench.Counter
function bench.counter(name, options) end

---Declares a gauge: the value that was set last.
---@param name string
---@param options? bench.MetricOptions
---@return bench.Gauge
function bench.gauge(name, options) end

---Declares a rate: the share of observations that were true.
---@param name string
---@param options? bench.MetricOptions
---@return bench.Rate
function bench.rate(name, options) end

---Declares a histogram: the distribution of the values that were recorded.
---@param name string
---@param options? bench.HistogramOptions
---@return bench.Histogram
function bench.histogram(name, options) end
