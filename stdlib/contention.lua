-- @bench/contention: clients that take oplocks and leases from one another.
--
-- Holders open a file with a lease or an oplock, write, keep the file open for a
-- while, and close it. Readers and writers open the same files, and so make the
-- server break what the holders have: the open of a reader ends only when the
-- holder has answered, or the server has given up on it (35 s). `on_break` sets the
-- answer: at once, after a delay, after a flush, or never. The rules are those of
-- MS-SMB2 3.3.4.6, 3.3.4.7 and 3.3.5.9; how long files are held is a guess.
--
--   local contention = require("@bench/contention")
--   local shared = contention.new { directory = "shared", files = 2, on_break = { delay = "5ms", flush = true } }
--   bench.setup(shared.prepare)
--   bench.teardown(shared.clean)
--   bench.workload { name = "holders", clients = 2, iteration = shared.hold }
--   bench.workload { name = "readers", clients = 4, iteration = shared.read }
--   bench.thresholds { "breaks.acknowledged > 0", "breaks.ignored == 0" }
--
-- A target must have fidelity mode 2. The embedded server grants leases and no
-- oplocks.

local access = require("@bench/access")
local clients = require("@bench/clients")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.contention.Options
---@field directory string the directory of the files; the directory above it must exist
---@field files? integer number of files: the fewer, the more breaks (default 1)
---@field size? bench.Size|bench.Distribution size of a file (default "64KiB")
---@field caching? "lease"|"oplock" what the holders request (default "lease")
---@field state? string the state of a holder's lease (default "RWH")
---@field level? "ii"|"exclusive"|"batch" the level of a holder's oplock (default "batch")
---@field reader_state? string the state of a lease that readers request, or "none" (default "RH" with leases, else "none")
---@field hold? bench.Duration|bench.Distribution time between the writes of a holder, and before its close (default "5ms")
---@field writes? integer number of writes of a holder (default 3)
---@field block? bench.Size size of one read or write (default "4KiB")
---@field on_break? bench.BreakPolicy the answer of holders and readers to a break (default: that of bench.on_break)

---@class bench.contention.Files
---@field prepare bench.Section creates the directory and the files; once per run
---@field clean bench.Section removes them; once per run
---@field hold bench.Section opens a file with a lease or oplock, writes, waits and closes it
---@field read bench.Section opens a file to read, which breaks the right to cache writes
---@field write bench.Section opens a file without caching and writes, which breaks every right of the others
---@field replace bench.Section empties a file, which breaks every right of the others

local check = checks.checker("@bench/contention", {
  { name = "directory", type = "path", needed = "a directory", example = '"shared"' },
  { name = "files", type = "int", default = 1, min = 1, max = 100000 },
  { name = "size", type = "sizes", default = "64KiB", min = 1, max = 1024 * 1024 * 1024 },
  { name = "caching", type = "string", default = "lease", choices = { "lease", "oplock" } },
  { name = "state", type = "string", default = "RWH" },
  { name = "level", type = "string", default = "batch", choices = { "ii", "exclusive", "batch" } },
  { name = "reader_state", type = "string", optional = true },
  { name = "hold", type = "durations", default = "5ms" },
  { name = "writes", type = "int", default = 3, min = 0, max = 100000 },
  { name = "block", type = "size", default = "4KiB", min = 1, max = 64 * 1024 * 1024 },
  { name = "on_break", type = "table", optional = true },
})

---Makes files that clients contend for. Call it at the top of the script.
---@param options bench.contention.Options
---@return bench.contention.Files
function M.new(options)
  local checked = check(options)
  local leases = checked.caching == "lease"
  local block = checked.block ---@type integer
  local set = files.set_for_module({
    root = checked.directory,
    files = checked.files,
    per_directory = checked.files,
    size = checked.size,
  }, 3)

  ---@type bench.OpenOptions
  local holding = { on_break = checked.on_break }
  if leases then
    holding.lease = checked.state
  else
    holding.requested_oplock = checked.level
  end

  ---@type bench.OpenOptions
  local reading = {}
  local reader_state = checked.reader_state or (leases and "RH" or "none")
  if reader_state ~= "none" then
    reading.lease, reading.on_break = reader_state, checked.on_break
  end

  -- Returns the offset and the length of a transfer in a file.
  local place = access.random({ block = block, align = block })

  ---@type bench.contention.Files
  local contended = {
    prepare = function(c)
      set:create(c)
    end,

    clean = function(c)
      set:remove(c)
    end,

    hold = function(c, rng)
      local number = set:pick(rng)
      local handle = c:open(set:path(number), "rw", holding)
      for _ = 1, checked.writes do
        c:write(handle, place(rng, set:size(number)))
        clients.pause(c, rng, checked.hold)
      end
      c:close(handle)
    end,

    read = function(c, rng)
      local number = set:pick(rng)
      local handle = c:open(set:path(number), "r", reading)
      c:read(handle, place(rng, set:size(number)))
      clients.pause(c, rng, checked.hold)
      c:close(handle)
    end,

    write = function(c, rng)
      local number = set:pick(rng)
      local handle = c:open(set:path(number), "rw")
      c:write(handle, place(rng, set:size(number)))
      c:close(handle)
    end,

    replace = function(c, rng)
      local number = set:pick(rng)
      set:write_whole(c, number, 1024 * 1024)
    end,
  }
  return clients.sections("@bench/contention", contended)
end

return M
