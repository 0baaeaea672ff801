-- Web server: whole small files are read, and one log grows.
--
--   smbench run @scripts/webserver --target smb://ada@nas/data
--
-- Each thread is a client that repeats one loop as fast as the server answers: read ten
-- files, then append to the log that all threads share. The report shows the reads and
-- the appends as steps.
--
-- Published figures, seen in workloads/webserver.f of filebench/filebench: the loop,
-- the threads (100), number and sizes of the files, 20 in each directory, the size of
-- an append (16 KiB).
--
-- Threshold: fewer than 0.01 % of the operations fail, a guess. At full speed the rate is
-- the result.
--
-- Guesses: files are read in transfers of 1 MiB. Each thread appends at places of its
-- own, since SMB has no append that all clients share. At 64 MiB the log begins again,
-- as if it were rotated. The default of 20 threads suits a small server.

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  threads = { type = "int", default = 20, min = 1, max = 10000, help = "threads (published: 100)" },
  files = { type = "int", default = 1000, min = 1, max = 250000, help = "files, 20 in each directory" },
  size = { type = "size", default = "16KiB", min = 1, max = "256MiB", help = "mean size of a file" },
  think = { type = "duration", default = "0s", max = "1h", help = "time between two loops of a thread, to work below full speed" },
}

local ROOT = "smbench-webserver"
local LOG = ROOT .. "/log"
local BLOCK = 1024 * 1024
local APPEND = 16 * 1024
local LOG_APPENDS = 64 * 1024 * 1024 // APPEND

bench.phases {
  { name = "warmup", duration = "5s", record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds { "errors.rate < 0.01%" }

local set = files.set {
  root = ROOT .. "/pages",
  files = P.files,
  per_directory = 20,
  size = distributions.gamma(P.size, 1.5),
}

local logs = {} -- handle of the log by client

local function read(c, rng)
  local i = set:pick(rng)
  local h = c:open(set:path(i), "r")
  for offset = 0, math.max(0, set:size(i) - 1), BLOCK do
    c:read(h, offset, BLOCK)
  end
  c:close(h)
end

local function append(c)
  local position = (c.iteration * P.threads + c.id) % LOG_APPENDS
  c:write(logs[c.id], position * APPEND, APPEND)
end

bench.setup(function(c)
  c:mkdir(ROOT)
  set:create(c)
  c:close(c:open(LOG, "w"))
end)

bench.workload {
  name = "threads",
  clients = P.threads,
  setup = function(c)
    logs[c.id] = c:open(LOG, "rw", { reopen = true })
  end,
  iteration = function(c, rng)
    for _ = 1, 10 do
      c:step("read", function()
        read(c, rng)
      end)
    end
    c:step("append", function()
      append(c)
    end)
    c:think(P.think)
  end,
}

bench.teardown(function(c)
  set:remove(c)
  c:delete(LOG, files.MAY_BE_MISSING)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
