-- File server: threads create, extend, read and delete files.
--
--   smbench run @scripts/fileserver --target smb://ada@nas/data
--
-- Each thread is a client that repeats one loop as fast as the server answers: create a
-- file and write all of it, append to one, read one, delete one, query one. The report
-- shows each of the five as a step.
--
-- Published figures, seen in workloads/fileserver.f of filebench/filebench: the loop,
-- the threads, number and sizes of the files, the share that exists at first, sizes of
-- transfers, the size of an append (16 KiB).
--
-- Threshold: fewer than 0.01 % of the operations fail, a guess. At full speed the rate is
-- the result.
--
-- Guesses: each thread uses a part of the files, so that no two threads delete the same
-- one.
--
-- By default there are 1,000 files (published: 10,000), so that setup takes seconds. At
-- the published size: -p files=10000

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  threads = { type = "int", default = 50, min = 1, max = 10000, help = "threads" },
  files = { type = "int", default = 1000, min = 1, max = 1000000, help = "files, 20 in each directory (published: 10000)" },
  size = { type = "size", default = "128KiB", min = 1, max = "1GiB", help = "mean size of a file" },
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
local set = files.set {
  root = "smbench-fileserver",
  files = math.max(P.files, 5 * P.threads) --[[@as integer]],
  per_directory = 20,
  size = distributions.gamma(P.size, 1.5),
  exists = 0.8,
  parts = P.threads,
}

local function create(c, rng)
  local part = set:part_of(c, P.threads)
  local i = part:free(rng) or error("every file exists")
  set:write_whole(c, i, BLOCK)
  part:created(i)
end

local function some(c, rng)
  local part = set:part_of(c, P.threads)
  return part:existing(rng) or error("no file exists"), part
end

local function append(c, rng)
  local i, part = some(c, rng)
  local size = part:size(i)
  local h = c:open(set:path(i), "rw")
  c:write(h, size, APPEND)
  c:close(h)
  part:resized(i, size + APPEND)
end

local function read(c, rng)
  local i, part = some(c, rng)
  local size = part:size(i)
  local h = c:open(set:path(i), "r")
  for offset = 0, math.max(0, size - 1), BLOCK do
    c:read(h, offset, BLOCK)
  end
  c:close(h)
end

local function delete(c, rng)
  local i, part = some(c, rng)
  c:delete(set:path(i))
  part:deleted(i)
end

local function stat(c, rng)
  c:stat(set:path((some(c, rng))))
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
    step("create", c, rng, create)
    step("append", c, rng, append)
    step("read", c, rng, read)
    step("delete", c, rng, delete)
    step("stat", c, rng, stat)
    c:think(P.think)
  end,
  teardown = function(c)
    set:remove(c, c.id, P.threads)
  end,
}

bench.teardown(function(c)
  set:remove_directories(c)
end)
