-- @bench/logs: programs that append to a log file and rotate it.
--
-- Each client has a log of its own, which it keeps open, as services do. When the
-- log would grow beyond `rotate` bytes, the client closes it, renames the older
-- ones (x.log.1 becomes x.log.2, and so on; the oldest is replaced), and begins a
-- new one, as logrotate and the rotating handlers of logging libraries do. Sizes
-- and rates of logs differ too much between programs for a published figure: the
-- defaults are a guess.
--
--   local logs = require("@bench/logs")
--   local log = logs.new { directory = "logs", rotate = "1MiB", keep = 4, flush = 0.1 }
--   bench.setup(log.prepare)
--   bench.teardown(log.clean)
--   bench.workload {
--     name = "services", clients = 20,
--     iteration = log.append, teardown = log.clean_client,
--     pace = bench.open_loop { rate = 500, arrivals = "poisson" },
--   }

local clients = require("@bench/clients")
local distributions = require("@bench/distributions")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.logs.Options
---@field directory string the directory of the logs; the directory above it must exist
---@field entry? bench.Size|bench.Distribution size of what is appended at once (default: lognormal, median 200 B, at most 64 KiB)
---@field rotate? bench.Size size at which a log is rotated (default "1MiB")
---@field keep? integer number of older logs that are kept (default 4)
---@field flush? number share of the appends that are flushed, from 0 to 1 (default 0)
---@field tail? bench.Size how much of the end of a log `tail` reads (default "64KiB")

---@class bench.logs.Log
---@field prepare bench.Section creates the directory; once per run
---@field clean bench.Section removes the directory; once per run
---@field clean_client bench.Section removes the client's logs; once per client
---@field append bench.Section appends an entry to the client's log, and rotates it first if it is full
---@field tail bench.Section opens the client's log a second time and reads its end

local check = checks.checker("@bench/logs", {
  { name = "directory", type = "path", needed = "a directory", example = '"logs"' },
  { name = "entry", type = "sizes", default = distributions.lognormal(200, 1, { min = 20, max = "64KiB" }) },
  { name = "rotate", type = "size", default = "1MiB", min = 1 },
  { name = "keep", type = "int", default = 4, min = 0, max = 1000 },
  { name = "flush", type = "float", default = 0, min = 0, max = 1 },
  { name = "tail", type = "size", default = "64KiB", min = 1, max = 64 * 1024 * 1024 },
})

---The state of a client's log.
---@class bench.logs.State
---@field path string
---@field handle bench.Handle?
---@field size integer
---@field older integer number of older logs that exist

-- The handle lives from iteration to iteration, so it must outlive a connection.
local KEPT_OPEN = { reopen = true }

---Makes the logs of one kind of program.
---@param options bench.logs.Options
---@return bench.logs.Log
function M.new(options)
  local checked = check(options)
  checks.require_top_level("logs.new")
  local root, keep = checked.directory, checked.keep

  ---@param c bench.Client
  local function path_of(c)
    return ("%s/%s.log"):format(root, c.user)
  end

  ---@type fun(c: bench.Client): bench.logs.State
  local state = clients.state(function(c)
    return { path = path_of(c), size = 0, older = 0 }
  end)

  ---@param c bench.Client
  ---@param own bench.logs.State
  ---@return bench.Handle
  local function opened(c, own)
    local handle = own.handle
    if not handle then
      handle = c:open(own.path, "w", KEPT_OPEN)
      own.handle = handle
    end
    return handle
  end

  ---@param c bench.Client
  ---@param own bench.logs.State
  ---@param handle bench.Handle
  local function rotate(c, own, handle)
    c:close(handle)
    own.handle, own.size = nil, 0
    if keep == 0 then
      return
    end
    for number = math.min(own.older, keep - 1), 1, -1 do
      c:rename(("%s.%d"):format(own.path, number), ("%s.%d"):format(own.path, number + 1))
    end
    c:rename(own.path, own.path .. ".1")
    own.older = math.min(own.older + 1, keep)
  end

  ---@type bench.logs.Log
  local log = {
    prepare = function(c)
      c:mkdir(root)
    end,

    clean = function(c)
      c:rmdir(root, files.MAY_BE_MISSING)
    end,

    clean_client = function(c)
      local path = path_of(c)
      c:delete(path, files.MAY_BE_MISSING)
      for number = 1, keep do
        c:delete(("%s.%d"):format(path, number), files.MAY_BE_MISSING)
      end
    end,

    append = function(c, rng)
      local own = state(c)
      local length = checked.entry(rng)
      if own.handle and own.size > 0 and own.size + length > checked.rotate then
        rotate(c, own, own.handle)
      end
      local handle = opened(c, own)
      c:write(handle, own.size, length, { payload = "text" })
      own.size = own.size + length
      if checked.flush > 0 and rng:float() < checked.flush then
        c:flush(handle)
      end
    end,

    tail = function(c)
      local own = state(c)
      opened(c, own)
      local handle = c:open(own.path, "r")
      local length = math.min(checked.tail, own.size) ---@type integer
      if length > 0 then
        c:read(handle, own.size - length, length)
      end
      c:close(handle)
    end,
  }
  return clients.sections("@bench/logs", log)
end

return M
