-- Mail server: small files in one directory, all flushed.
--
--   smbench run @scripts/varmail --target smb://ada@nas/data
--
-- Each thread is a client that repeats one loop as fast as the server answers: delete a
-- mail; create one, write and flush it; read one, append to it and flush it; read one.
-- The report shows each of the four as a step.
--
-- Published figures, seen in workloads/varmail.f of filebench/filebench: the loop, the
-- threads, number and sizes of the files, the share that exists at first, the size of
-- an append (16 KiB).
--
-- Threshold: fewer than 0.01 % of the operations fail, a guess. At full speed the rate is
-- the result.
--
-- Guesses: each thread uses a part of the files, so that no two threads delete the same
-- one. A new mail has 16 KiB, like an append. Files are read in transfers of 1 MiB.

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  threads = { type = "int", default = 16, min = 1, max = 10000, help = "threads" },
  files = { type = "int", default = 1000, min = 1, max = 1000000, help = "files, all in one directory" },
  size = { type = "size", default = "16KiB", min = 1, max = "1GiB", help = "mean size of a file at first" },
  think = { type = "duration", default = "0s", max = "1h", help = "time between two loops of a thread, to work below full speed" },
}

local BLOCK = 1024 * 1024
local APPEND = 16 * 1024

bench.phases {
  { name = "warmup", duration = "5s", record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds { "errors.rate < 0.01%" }

-- Each thread has at least five files, of which at least four exist and one does not. The
-- loop deletes as many as it creates, so there is always one of each kind.
local count = math.max(P.files, 5 * P.threads) --[[@as integer]]
local set = files.set {
  root = "smbench-varmail",
  files = count,
  per_directory = count,
  size = distributions.gamma(P.size, 1.5),
  exists = 0.8,
  parts = P.threads,
}

local function some(c, rng)
  local part = set:part_of(c, P.threads)
  local i = part:existing(rng) or error("no file exists")
  return i, part:size(i), part
end

local function delete(c, rng)
  local i, _, part = some(c, rng)
  c:delete(set:path(i))
  part:deleted(i)
end

local function create(c, rng)
  local part = set:part_of(c, P.threads)
  local i = part:free(rng) or error("every file exists")
  local h = c:open(set:path(i), "w")
  c:write(h, 0, APPEND)
  c:flush(h)
  c:close(h)
  part:created(i, APPEND)
end

local function read_all(c, h, size)
  for offset = 0, math.max(0, size - 1), BLOCK do
    c:read(h, offset, BLOCK)
  end
end

local function read_and_append(c, rng)
  local i, size, part = some(c, rng)
  local h = c:open(set:path(i), "rw")
  read_all(c, h, size)
  c:write(h, size, APPEND)
  c:flush(h)
  c:close(h)
  part:resized(i, size + APPEND)
end

local function read(c, rng)
  local i, size = some(c, rng)
  local h = c:open(set:path(i), "r")
  read_all(c, h, size)
  c:close(h)
end

local function step(name, c, rng, operation)
  c:step(name, function()
    operation(c, rng)
  end)
end

bench.setup(function(c)
  set:create_directories(c)
end)

bench.workload {
  name = "threads",
  clients = P.threads,
  setup = function(c)
    set:create(c, c.id, P.threads)
  end,
  iteration = function(c, rng)
    step("delete", c, rng, delete)
    step("create", c, rng, create)
    step("read_and_append", c, rng, read_and_append)
    step("read", c, rng, read)
    c:think(P.think)
  end,
  teardown = function(c)
    set:remove(c, c.id, P.threads)
  end,
}

bench.teardown(function(c)
  set:remove_directories(c)
end)
