-- Video capture: streams that are written without pause.
--
--   smbench run @scripts/video_capture --target smb://ada@nas/data -p streams=20
--
-- A stream is two clients: one writes 9 transfers a second from front to back, and its
-- companion does one operation a second, mostly random reads of a file of its own.
-- The report shows each kind of operation as a step.
--
-- Published figures, seen in the configuration of SPECstorage Solution 2020
-- (storage2020.yml in mchad1/SPECSFS): clients, rates, mixes, transfer sizes, flushes,
-- size of the files (1 GiB), lengths of warm-up and run (300 s each). This is not a
-- SPEC benchmark, and its results are not SPEC results.
--
-- Thresholds: at least 75 % of the rate of the streams and of the companions (published:
-- of each client), and 95 % of the rate of all clients together, published.
--
-- Guesses: access is an open for reading, because SMB checks access in the open. A
-- stream keeps its file open and begins it again at its end. A companion reads one
-- file, and creates and deletes twenty empty ones beside it. A read-modify-write is a
-- read and a write at one place, each of its own size.
--
-- The default size is 64 MiB, so that setup takes seconds. At the published size:
-- -p size=1GiB -p warmup=300s --duration 300s

local access = require("@bench/access")
local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  streams = { type = "int", default = 2, min = 1, max = 10000, help = "streams that are captured" },
  rate = { type = "float", default = 1, min = 0.01, max = 100, help = "factor of the published rates" },
  size = { type = "size", default = "64MiB", min = "2MiB", max = "512GiB", help = "size of a file (published: 1GiB)" },
  warmup = { type = "duration", default = "5s", min = "10ms", max = "24h", help = "length of the warm-up (published: 300s)" },
}

local ROOT = "smbench-video-capture"
local STREAM_RATE = 9 * P.rate * P.streams -- operations a second
local COMPANION_RATE = P.rate * P.streams

local read_size = distributions.empirical {
  { 15, "64KiB" }, { 10, "128KiB" }, { 20, "256KiB" }, { 35, "512KiB" }, { 20, "1MiB" },
}
local write_size = distributions.empirical {
  { 5, "32KiB" }, { 10, "64KiB" }, { 10, "128KiB" }, { 25, "256KiB" }, { 25, "512KiB" }, { 25, "1MiB" },
}

bench.phases {
  { name = "warmup", duration = P.warmup, record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds {
  ("iterations.rate >= %g"):format(0.95 * (STREAM_RATE + COMPANION_RATE)),
  { ("iterations.rate >= %g"):format(0.75 * STREAM_RATE), workload = "capture" },
  { ("iterations.rate >= %g"):format(0.75 * COMPANION_RATE), workload = "companion" },
}

local function step(name, operation)
  return function(c, rng)
    c:step(name, function()
      operation(c, rng)
    end)
  end
end

bench.setup(function(c)
  c:mkdir(ROOT)
end)

-- The streams.

local captured = {} -- file and place of the next write by client

local function capture(c, rng)
  local stream = captured[c.id]
  local length = write_size(rng)
  if stream.at + length > P.size then
    stream.at = 0
  end
  c:write(stream.handle, stream.at, length)
  stream.at = stream.at + length
  if rng:bool(0.05) then
    c:flush(stream.handle)
  end
end

bench.workload {
  name = "capture",
  clients = P.streams,
  pace = bench.open_loop { rate = STREAM_RATE },
  setup = function(c)
    local h = c:open(("%s/stream%d"):format(ROOT, c.id), "w", { reopen = true })
    captured[c.id] = { handle = h, at = 0 }
  end,
  iteration = step("write", capture),
  teardown = function(c)
    c:delete(("%s/stream%d"):format(ROOT, c.id), files.MAY_BE_MISSING)
  end,
}

-- The companions.

local marks = files.set { root = "marks", files = 20, size = 0, exists = 0.5 }
local random_place = access.random { block = read_size, align = "4KiB" }
local watched = {} -- file and place of the next sequential read by client

local function home(c)
  return ROOT .. "/companion" .. c.id
end

local function random_read(c, rng)
  c:read(watched[c.id].handle, random_place(rng, P.size))
end

local function read(c, rng)
  local file = watched[c.id]
  local length = read_size(rng)
  if file.at + length > P.size then
    file.at = 0
  end
  c:read(file.handle, file.at, length)
  file.at = file.at + length
end

local function read_modify_write(c, rng)
  local offset, length = random_place(rng, P.size)
  c:read(watched[c.id].handle, offset, length)
  c:write(watched[c.id].handle, offset, write_size(rng))
end

local function readdir(c)
  c:list(home(c))
end

local function open_and_close(c)
  c:close(c:open(home(c) .. "/video", "r"))
end

local function stat(c)
  c:stat(home(c) .. "/video")
end

local function create(c, rng)
  local mine = marks:under(home(c))
  local part = mine:part_of(c)
  local i = part:free(rng) or mine:pick(rng)
  c:close(c:open(mine:path(i), "w"))
  part:created(i)
end

local function unlink(c, rng)
  local mine = marks:under(home(c))
  local part = mine:part_of(c)
  local i = part:existing(rng)
  if not i then
    return create(c, rng)
  end
  c:delete(mine:path(i))
  part:deleted(i)
end

bench.workload {
  name = "companion",
  clients = P.streams,
  pace = bench.open_loop { rate = COMPANION_RATE },
  setup = function(c)
    c:mkdir(home(c))
    marks:under(home(c)):create(c)
    local h = c:open(home(c) .. "/video", "rw", { reopen = true })
    access.write_all(c, h, P.size, "1MiB")
    watched[c.id] = { handle = h, at = 0 }
  end,
  iteration = bench.choose {
    { 84, step("random_read", random_read) },
    { 5, step("read", read) },
    { 3, step("readdir", readdir) },
    { 2, step("read_modify_write", read_modify_write) },
    { 2, step("access", open_and_close) },
    { 2, step("stat", stat) },
    { 1, step("unlink", unlink) },
    { 1, step("create", create) },
  },
  teardown = function(c)
    c:delete(home(c) .. "/video", files.MAY_BE_MISSING)
    marks:under(home(c)):remove(c)
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
