-- Parameters: one script for many tests.
--
--   smbench run examples/parameters.lua --help
--   smbench run examples/parameters.lua -p io=4KiB -p pattern=random -p writes=0.5
--
-- Each value is checked against its type. A misspelt name, a string in place of
-- a number or a value out of bounds is an error before anything is sent.

local P = bench.params {
  io = { type = "size", default = "64KiB", min = 1, max = "8MiB", help = "bytes of one operation" },
  file = { type = "size", default = "16MiB", min = "8MiB", max = "1GiB", help = "size of each client's file" },
  pattern = { type = "string", default = "sequential", choices = { "sequential", "random" }, help = "order of offsets" },
  writes = { type = "float", default = 0.2, min = 0, max = 1, help = "share of writes" },
  flush = { type = "bool", default = false, help = "flush after each write" },
  pause = { type = "duration", default = "1ms", help = "time between operations" },
}

-- A plain local function, called while the operations are made. It runs long
-- before its operations do, and never sees their results.
local function offset_of(rng, round)
  local blocks = P.file // P.io
  if P.pattern == "random" then
    return rng:int(0, blocks - 1) * P.io
  end
  return (round % blocks) * P.io
end

-- A client may keep a handle from setup for all its iterations.
local files = {}

bench.workload {
  name = "io",
  clients = 4,
  setup = function(c)
    local path = ("io-%d.dat"):format(c.id)
    files[c.id] = c:open(path, "w")
    c:truncate(files[c.id], P.file)
    c:close(files[c.id])
    -- `reopen` opens the file again after a lost connection. Without it this
    -- client would send nothing more.
    files[c.id] = c:open(path, "rw", { reopen = true })
  end,
  iteration = function(c, rng)
    local offset = offset_of(rng, c.iteration)
    if rng:bool(P.writes) then
      c:write(files[c.id], offset, P.io)
      if P.flush then
        c:flush(files[c.id])
      end
    else
      c:read(files[c.id], offset, P.io)
    end
    c:think(P.pause)
  end,
  teardown = function(c)
    c:delete(("io-%d.dat"):format(c.id))
  end,
}
