---@meta
-- The whole API of smbench scripts, for editors that read LuaCATS annotations.
-- Put this file where the editor finds it; scripts do not require it.

---A text with a unit ("50ms", "1.5s", "2m") or a number of nanoseconds.
---@alias bench.Duration string|number

---A number of bytes below 2^53, or a string ("64KiB", "1.5MB", "9007199254740993"),
---which is exact up to 2^64 - 1. Larger numbers are refused, since Lua rounds them.
---@alias bench.Size integer|string

---The name of an NT status ("OBJECT_NAME_NOT_FOUND"), several, or "any". These
---alone are right: where success is too, { "SUCCESS", "SHARING_VIOLATION" }.
---@alias bench.Expect string|string[]

---What `c:open` returns. Good until `c:close`, for its client alone. Handles
---from setup are good in iterations; none is in teardown. Where its open failed,
---expected or not, what is to be done with it is skipped and counted.
---@class bench.Handle

---@class (exact) bench.Options
---@field expect? bench.Expect the statuses that are right (default: success; of a read the end of the file too)

---@class (exact) bench.Lease
---@field state string "R", "RH", "RW", "RWH", or names joined with "|"
---@field key? string 32 hexadecimal digits (default: by client and file, also where the client renames it)
---@field parent_key? string
---@field version? 1|2 (default 2)

---@class (exact) bench.Durable
---@field version? 1|2 (default 2)
---@field timeout? string "60s" (default: as long as the server likes)

---@class (exact) bench.CreateContext
---@field name string "MxAc"; hexadecimal digits behind 0x for a name of bytes
---@field data? string hexadecimal digits

---What a client does when the server takes back an oplock or a lease it
---granted. Until that is over, operations on the file wait, and are issued then.
---@class (exact) bench.BreakPolicy
---@field policy? "acknowledge"|"ignore" "ignore" gives no answer: the server gives up after a time of its own, 35 s (default "acknowledge")
---@field delay? bench.Duration from the notice to the answer: less than 35 s, as a server waits (default 0)
---@field flush? boolean a flush goes before the answer where writes could be cached (default false)

---@class (exact) bench.OnBreak: bench.BreakPolicy
---@field workload? string the workload it is about (default: all that no other call names)

---What a backend cannot ask for, or --mode leaves out, is refused before the
---run, unless --degrade. All but mode and expect is of fidelity mode 1, from
---requested_oplock on of mode 2. Names are those of MS-SMB2 2.2.13, with or
---without their prefix; what is left out follows from the mode of the open.
---@class (exact) bench.OpenOptions: bench.Options
---@field access_mask? string|integer DesiredAccess: names joined with "|", or a number
---@field share_mode? string|integer "read|write|delete", which is the default; "none" keeps all others out
---@field disposition? string|integer "FILE_OPEN", "FILE_CREATE", …
---@field create_options? string|integer (default "FILE_NON_DIRECTORY_FILE")
---@field file_attributes? string|integer (default "FILE_ATTRIBUTE_NORMAL")
---@field requested_oplock? "none"|"ii"|"exclusive"|"batch"|"lease" (default "lease" with a lease, else "none"); sent as it is, so that another beside a lease is what the server sees
---@field lease? string|bench.Lease "RWH", or more in a table: enough to ask for a lease
---@field durable? true|bench.Durable
---@field create_contexts? bench.CreateContext[] sent as they are
---@field on_break? bench.BreakPolicy of this handle (default: as bench.on_break says); of several opens of one lease, of the last opened that is still open and says it
---@field reopen? boolean after a lost connection, the handle is opened again before the next operation on it: with FILE_OPEN and otherwise as before, at the path that this run's renames left its file. Byte-range locks are lost, and counted; if the open fails, the operation is skipped (default false)

---@class (exact) bench.WriteOptions: bench.Options
---@field payload? "zero"|"random"|"text" what is written (default "random": cannot be compressed)
---@field blob? string in its place the first bytes of this file, relative to the script's folder; a regular file in it, or in a folder of --allow-blobs, with no symbolic link on the way that is absolute or leads out

---@class (exact) bench.RenameOptions: bench.Options
---@field replace? boolean whether an existing file is replaced (default true)

---@class (exact) bench.LockOptions: bench.Options
---@field exclusive? boolean (default true)
---@field wait? boolean block until granted instead of failing (default false)

---A client. Its methods append operations to its stream; they return at once
---and never see a result: `open` returns a handle, `running` a boolean, the others
---nothing.
---@class bench.Client
---@field id integer its number within the workload, from 0
---@field user string whom it stands for, such as "editors-3": its workload and id, unlike any other client's. Which account logs in says the target
---@field iteration integer the number of the iteration, from 0
local Client = {}

---Opens a file: "r" an existing one, "w" emptied or created, "rw" opened or created.
---@param path string
---@param mode "r"|"w"|"rw"
---@param options? bench.OpenOptions
---@return bench.Handle
function Client:open(path, mode, options) end

---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size at most 64 MiB
---@param options? bench.Options
function Client:read(handle, offset, length, options) end

---Writes bytes that follow from the seed, the path and the offset, or a file's.
---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size at most 64 MiB
---@param options? bench.WriteOptions
function Client:write(handle, offset, length, options) end

---@param handle bench.Handle
---@param options? bench.Options
function Client:close(handle, options) end

---@param from string
---@param to string
---@param options? bench.RenameOptions
function Client:rename(from, to, options) end

---@param path string
---@param options? bench.Options
function Client:delete(path, options) end

---In setup, a folder that exists is no failure.
---@param path string
---@param options? bench.Options
function Client:mkdir(path, options) end

---@param path string
---@param options? bench.Options
function Client:rmdir(path, options) end

---@param path string "" is the share itself
---@param pattern? string with * and ? (default "*")
---@param options? bench.Options
function Client:list(path, pattern, options) end

---@param path string
---@param options? bench.Options
function Client:stat(path, options) end

---@param handle bench.Handle
---@param size bench.Size
---@param options? bench.Options
function Client:truncate(handle, size, options) end

---@param handle bench.Handle
---@param options? bench.Options
function Client:flush(handle, options) end

---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size
---@param options? bench.LockOptions
function Client:lock(handle, offset, length, options) end

---@param handle bench.Handle
---@param offset bench.Size
---@param length bench.Size
---@param options? bench.Options
function Client:unlock(handle, offset, length, options) end

---The next operation comes that much later. Thinking adds up.
---@param time bench.Duration
function Client:think(time) end

---The next operation is due at this time after the start; in iterations of
---closed loops only.
---@param time bench.Duration
function Client:at(time) end

---For loops inside an iteration: each call starts another, numbered one, in an
---open loop with the next arrival. False where the stream ends by itself.
---@return boolean
function Client:running() end

---Random numbers of the running client, the same on every run and machine.
---What is drawn is a number with a fraction unless it says otherwise;
---math.floor makes offsets and lengths of it.
---@class bench.Rng
local Rng = {}

---A whole number from low to high, both included.
---@param low integer
---@param high integer
---@return integer
function Rng:int(low, high) end

---From 0 to below 1.
---@return number
function Rng:float() end

---@param probability? number (default 0.5)
---@return boolean
function Rng:bool(probability) end

---Exponentially distributed with this mean.
---@param mean number
---@return number
function Rng:exp(mean) end

---Normally distributed. Two of three lie within one standard deviation of the
---mean; below 0 is possible: math.max(0, …) where that makes no sense.
---@param mean number
---@param deviation number the standard deviation
---@return number
function Rng:normal(mean, deviation) end

---Lognormally distributed, as sizes of files and think times often are: half lie
---below the median (not the mean, and not the mean of the logarithm, which is
---math.log(median)), and two of three within a factor math.exp(sigma) of it.
---The mean is median * math.exp(sigma^2 / 2).
---@param median number
---@param sigma number the standard deviation of the (natural) logarithm, 0 to 10
---@return number
function Rng:lognormal(median, sigma) end

---Pareto's distribution: at least scale, and above x with the probability
---(scale / x)^shape. The smaller the shape, the heavier the tail: up to 1 there
---is no mean, up to 2 no variance.
---@param scale number the smallest value
---@param shape number at least 0.1
---@return number
function Rng:pareto(scale, shape) end

---A whole number from 1 to n; k comes in proportion to 1 / k^s. With s = 1 the
---first comes twice as often as the second, with 0 all come alike.
---@param n integer
---@param s number 0 to 100; 0.8 to 1.2 for what people look at most
---@return integer
function Rng:zipf(n, s) end

---One of the list, each as likely, or each by its weight. Weights are looked
---through at each pick: for functions bench.choose is faster.
---@generic T
---@param list T[]
---@param weights? number[] one for each of the list
---@return T
function Rng:pick(list, weights) end

---A new list with the same values in random order. The list itself stays as it is.
---@generic T
---@param list T[]
---@return T[]
function Rng:shuffle(list) end

---@alias bench.Section fun(c: bench.Client, rng: bench.Rng)

---@class (exact) bench.Parameter
---@field type "int"|"float"|"string"|"bool"|"duration"|"size"
---@field default any
---@field min? any
---@field max? any
---@field choices? string[] what a string may be
---@field help? string

---@class bench.Pace

---What a workload will ask of the backend. What its first 1,000 operations ask
---for need not be said.
---@class (exact) bench.Needs
---@field mode? 0|1|2 paths; fields of CREATE; oplocks, leases, durable handles
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
---@field iteration bench.Section again and again
---@field teardown? bench.Section once per client
---@field pace? bench.Pace|table<string, bench.Pace> one, or one for each phase by its name
---@field needs? bench.Needs

---@class (exact) bench.Phase
---@field name string
---@field duration bench.Duration
---@field record? boolean whether the totals count it (default true)

---@class bench
bench = {}

---What the script can be told from outside, with -p name=value. Durations come
---back in nanoseconds, sizes in bytes: from 2^53 on as a string ("9007199254740993B"),
---which operations take exactly and with which Lua refuses to compute.
---@param parameters table<string, bench.Parameter>
---@return table<string, any>
function bench.params(parameters) end

---@param workload bench.Workload
function bench.workload(workload) end

---A function that calls one of these by weight, with the client's random
---numbers: `iteration = bench.choose { { 70, browse }, { 30, edit } }`. It passes
---its arguments on, and returns what the function does.
---@param choices { [1]: number, [2]: fun(c: bench.Client, rng: bench.Rng, ...): any }[]
---@return fun(c: bench.Client, rng: bench.Rng, ...): any
function bench.choose(choices) end

---Random numbers for what clients have in common, such as a table of file sizes:
---the same in every machine that runs the script. The same name gives the same
---numbers again. At the top of the script only.
---@param name string
---@return bench.Rng
function bench.rng(name) end

---Once per run, before every client's setup.
---@param section bench.Section
function bench.setup(section) end

---Once per run, after every client's teardown.
---@param section bench.Section
function bench.teardown(section) end

---The parts of a run, one after the other. --duration scales the recorded ones so
---that they last that long together, and the others where that makes them shorter.
---Rates are kept: in half the time a phase has half as many arrivals.
---@param phases bench.Phase[]
function bench.phases(phases) end

---How clients answer when the server takes back an oplock or a lease: of one
---workload, or of all. Without it, they acknowledge at once.
---@param policy bench.OnBreak
function bench.on_break(policy) end

---The pace of a workload in which an operation waits for the one before. In some
---phases alone, its iterations begin within these, and may end after them.
---@param options? {}
---@return bench.Pace
function bench.closed_loop(options) end

---Iterations a second: a number, or a ramp over the phase. Without `from` it
---begins where the phase before ended.
---@alias bench.PhaseRate number|{ from?: number, to: number }

---Says the time from the arrival at `now` (nanoseconds; 0 before the first) to
---the next, where the rate is `rate` then (0 where a ramp begins with it).
---@alias bench.Gap fun(rng: bench.Rng, now: number, rate: number): bench.Duration

---@class (exact) bench.OpenLoop
---@field rate number|table<string, bench.PhaseRate> iterations a second of all clients together; or by phase, 0 for a pause. Where pace goes by phase, a bench.PhaseRate
---@field arrivals? "constant"|"poisson"|bench.Gap how they follow one another (default "constant")
---@field late? "queue"|"drop" an arrival whose client is busy waits, or its iteration is left out (default "queue")

---The pace of a workload whose iterations arrive at a rate, however long each
---takes: arrival n begins one of client n modulo `clients`. After the last
---phase the rate stays.
---@param options bench.OpenLoop
---@return bench.Pace
function bench.open_loop(options) end

---A condition on one figure of the run, such as "read.response.p99 < 20ms":
---`<metric> <operator> <value>`, with the operators < <= > >= == !=.
---
---Of `all` operations or those of one type (`read`, `open`, …): `.service.X` and
---`.response.X` with X one of p50 p90 p95 p99 p999 min mean max, `.count`,
---`.rate` (a second), `.failed` (how many). Of `iterations`: `.service.X`,
---`.response.X`, `.count`, `.rate`, `.late`, `.dropped`,
---`.skipped` (nothing of them was sent), `.cut`; the time of an iteration ends
---with its last operation, and begins when it is due (`response`) or with the
---issue of its first operation (`service`): think time after the last operation
---is in neither. Further
---`open.granted.X` (opens that were granted X: none ii exclusive batch R RH RW
---RWH), `open.create_action.X` (opened created overwritten superseded),
---`errors.rate` (the share of operations that failed), `errors.count`,
---`errors.ACCESS_DENIED` (how many failed so; any status, `TIMED_OUT`,
---`CONNECTION_LOST`), `lateness.X`, `backlog.X`, `handoff.X` (from the issue to
---the first write), `pickup.X` (from the answer's arrival in the kernel to the
---client), `disconnected.client_seconds` (over all clients),
---`disconnected.clients`, `disconnected.longest`, `bytes.read.count`, `bytes.read.rate`, `bytes.written.count`, `bytes.written.rate`; of oplocks and
---leases taken back `breaks.count`, `breaks.oplock`, `breaks.lease`; by how that
---ended `breaks.acknowledged`, `breaks.not_asked` (no answer was wanted),
---`breaks.refused` (the answer), `breaks.closed`, `breaks.connection_lost`,
---`breaks.ignored` (as on_break says), `breaks.timed_out` (an answer was meant
---and was not there in time), `breaks.cut`; `breaks.blocked` (operations that
---waited for the end of one), `breaks.waited.X` (from the notice to the
---acknowledgement) and `breaks.lasted.X` (from the notice to the end, of those
---that wanted an answer).
---
---Times need a unit (20ms), shares are percent (1%) or below 1 (0.01), sizes
---may have a unit (64MiB), rates may end in /s. What has no samples fails.
---@alias bench.Expression string

---@class (exact) bench.Threshold
---@field [1] bench.Expression
---@field phase? string the phase it is about (default: the recorded ones together)
---@field workload? string the workload it is about (default: all together)
---@field abort? boolean ends the run when it fails: looked at each second, from 100 samples on; a count that may still grow is left to the end (default false)
---@field delay? bench.Duration how long its phase lasts before abort may end the run (default "5s")

---What the run must hold; it exits with 99 where it does not. A passing
---threshold on `errors` decides, for the failures it counts, instead of exit
---code 4 (not for setup).
---@param thresholds (bench.Expression|bench.Threshold)[]
function bench.thresholds(thresholds) end
-- Hooks ------------------------------------------------------------------------
--
-- They run in a VM of their own, beside the load: nothing ever waits for them,
-- and what they are too slow for is counted, told, and makes the verdict
-- `hooks-dropped`. A hook that raises an error makes the run exit with 4, unless
-- `--hook-errors` says otherwise.

---@alias bench.Operation "open"|"read"|"write"|"close"|"rename"|"delete"|"mkdir"|"rmdir"|"stat"|"list"|"truncate"|"flush"|"lock"|"unlock"

---`granted` is what an open was granted: an oplock ("batch", "exclusive", "ii",
---"none") or the state of a lease ("RWH", "RH", "none"); nil of other operations,
---of opens that failed, and where the backend does not know. So are
---`create_action`, what became of the file ("opened", "created", "overwritten",
---"superseded"), and `file_id`, the open's own, as in the operation log.
---Times of a skipped or cut operation are nil.
---@alias bench.Field "kind"|"status"|"service_ns"|"response_ns"|"op_id"|"client"|"lateness_ns"|"bytes"|"path"|"iteration"|"granted"|"create_action"|"file_id"

---Which completions a hook is called with. Without `phase`: those of recorded
---phases. Without `status`: those that were sent.
---@class (exact) bench.Filter
---@field ops? bench.Operation|bench.Operation[]
---@field workload? string|string[]
---@field phase? string|string[] also "setup" and "teardown"
---@field path? string|string[] with * (any run of characters, / too) and ?; of a handle, the path it was opened with
---@field status? string|string[] "ok" (as expected), "failed", "skipped", "cut", or a name ("SHARING_VIOLATION")
---@field fields? bench.Field[] the arguments, in this order (default: kind, status, service_ns, response_ns)

---After an operation has ended. In order within a client, not across clients.
---@param filter bench.Filter
---@param hook fun(...: any)
---@overload fun(hook: fun(kind: bench.Operation, status: string, service_ns: integer, response_ns: integer))
function bench.on_complete(filter, hook) end

---When a phase starts and ends. Completions of a phase may follow its end.
---@param hook fun(name: string, edge: "start"|"end")
function bench.on_phase(hook) end

---After the run, with what summary.json will say. It cannot be changed.
---@param hook fun(summary: table)
function bench.on_end(hook) end

---Ends the run in good order, with exit code 99. In hooks only.
---@param reason? string
function bench.abort(reason) end

---Statuses as hooks get them: `bench.status.SHARING_VIOLATION`, `bench.status.TIMED_OUT`.
---@type table<string, string>
bench.status = {}

---What hooks keep from call to call. In hooks only.
---@type table
bench.state = {}

-- Metrics are declared at the top of the script and updated in hooks. At most
-- 100 combinations of tags are kept apart for each; further ones count in the
-- metric as a whole.

---@alias bench.Tags table<string, string|number|boolean>

---@class (exact) bench.MetricOptions
---@field tags? string[] the names tags may have (default: any)
---@field help? string

---@class (exact) bench.HistogramOptions: bench.MetricOptions
---@field unit? "ns"|"bytes"

---@class bench.Counter
local Counter = {}
---@param amount? number (default 1)
---@param tags? bench.Tags
function Counter:add(amount, tags) end

---@class bench.Gauge
local Gauge = {}
---@param value number
---@param tags? bench.Tags
function Gauge:set(value, tags) end

---@class bench.Rate
local Rate = {}
---@param yes boolean
---@param tags? bench.Tags
function Rate:observe(yes, tags) end

---@class bench.Histogram
local Histogram = {}
---@param value number from 0; rounded to a whole number
---@param tags? bench.Tags
function Histogram:record(value, tags) end

---@param name string letters, digits, "_", "-" and "."
---@param options? bench.MetricOptions
---@return bench.Counter
function bench.counter(name, options) end

---@param name string
---@param options? bench.MetricOptions
---@return bench.Gauge
function bench.gauge(name, options) end

---How many of those observed were true.
---@param name string
---@param options? bench.MetricOptions
---@return bench.Rate
function bench.rate(name, options) end

---@param name string
---@param options? bench.HistogramOptions
---@return bench.Histogram
function bench.histogram(name, options) end
