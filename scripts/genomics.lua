-- Genomics: long sequential reads of files of all sizes.
--
--   smbench run @scripts/genomics --target smb://ada@nas/data -p jobs=10
--
-- A job is four processes, each a client that begins 250 operations a second, of which
-- 70 % are reads of 128 KiB: about 90 MB/s. The report shows each kind of operation as
-- a step.
--
-- Published figures, seen in the configuration of SPECstorage Solution 2020
-- (storage2020.yml in mchad1/SPECSFS): processes, rate, mix, transfer sizes, number and
-- sizes of the files, lengths of warm-up and run (300 s each). This is not a SPEC
-- benchmark, and its results are not SPEC results.
--
-- Threshold: at least 95 % of the rate of all processes together, published. The
-- published 75 % of the rate of each process is not checked.
--
-- Not modelled: chmod (1 % of the operations).
--
-- Guesses: access is an open for reading, because SMB checks access in the open. The
-- processes of a job share its files. A read or a write is one transfer; a process
-- reads one file after the other, and writes a file of its own, which it begins again
-- after 64 MiB. It creates and deletes twenty empty files.
--
-- By default a job has 2 directories of 10 files (published: 25) of at most 16 MiB
-- (published: 100 MiB), so that setup takes seconds. At the published size:
-- -p files=25 -p largest=100MiB -p warmup=300s --duration 300s

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  jobs = { type = "int", default = 1, min = 1, max = 1000, help = "jobs, of four processes each" },
  rate = { type = "float", default = 1, min = 0.01, max = 100, help = "factor of the published rates" },
  files = { type = "int", default = 10, min = 1, max = 10000, help = "files in each of a job's 2 directories (published: 25)" },
  largest = { type = "size", default = "16MiB", min = "10MiB", max = "100GiB", help = "size of the largest files (published: 100MiB)" },
  warmup = { type = "duration", default = "5s", min = "10ms", max = "24h", help = "length of the warm-up (published: 300s)" },
}

local ROOT = "smbench-genomics"
local PROCESSES = 4 * P.jobs --[[@as integer]]
local RATE = 250 * P.rate * PROCESSES -- operations a second
local OUTPUT_SIZE = 64 * 1024 * 1024

local read_size = distributions.empirical { { 1, 1, 4095 }, { 2, "4KiB" }, { 1, "8KiB", "64KiB" }, { 96, "128KiB" } }
local write_size = distributions.empirical {
  { 5, "1KiB", 2047 }, { 4, "2KiB", 8191 }, { 4, "8KiB", "128KiB" }, { 87, "512KiB" },
}

bench.phases {
  { name = "warmup", duration = P.warmup, record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds { ("iterations.rate >= %g"):format(0.95 * RATE) }

local set = files.set {
  root = "files",
  directories = 2,
  per_directory = P.files,
  size = distributions.empirical {
    { 38, 1, 8191 }, { 43, "8KiB", 131071 }, { 9, "128KiB", 1048575 }, { 9, "1MiB", "10MiB" }, { 1, P.largest },
  },
}
local scratch = files.set { root = "scratch", files = 20, size = 0, exists = 0.5 }

local function job(number)
  return ("%s/job%d"):format(ROOT, number)
end

-- Returns the files of the client's job.
local function shared(c)
  return set:under(job(c.id // 4 % P.jobs))
end

local function home(c)
  return ROOT .. "/process" .. c.id
end

local function some(c, rng)
  local mine = shared(c)
  local i = mine:pick(rng)
  return mine:path(i), mine:size(i)
end

local reading = {} -- file, handle and offset of the next read by client

local function read(c, rng)
  local mine = shared(c)
  local at = reading[c.id] or { file = mine:pick(rng) }
  reading[c.id] = at
  if not at.handle then
    at.file, at.offset = at.file % mine.count + 1, 0
    at.handle = c:open(mine:path(at.file --[[@as integer]]), "r", { reopen = true })
  end
  local length = read_size(rng)
  c:read(at.handle, at.offset, length)
  at.offset = at.offset + length
  if at.offset >= mine:size(at.file) then
    c:close(at.handle)
    at.handle = nil
  end
end

local writing = {} -- handle and offset of the next write by client

local function write(c, rng)
  local at, length = writing[c.id], write_size(rng)
  if at.offset + length > OUTPUT_SIZE then
    at.offset = 0
  end
  c:write(at.handle, at.offset, length)
  at.offset = at.offset + length
end

local function stat(c, rng)
  c:stat((some(c, rng)))
end

local function access(c, rng)
  c:close(c:open((some(c, rng)), "r"))
end

local function random_read(c, rng)
  local path, size = some(c, rng)
  local h = c:open(path, "r")
  c:read(h, rng:int(0, size), read_size(rng))
  c:close(h)
end

local function random_write(c, rng)
  c:write(writing[c.id].handle, rng:int(0, OUTPUT_SIZE), write_size(rng))
end

local function create(c, rng)
  local mine = scratch:under(home(c))
  local part = mine:part_of(c)
  local i = part:free(rng) or mine:pick(rng)
  c:close(c:open(mine:path(i), "w"))
  part:created(i)
end

local function unlink(c, rng)
  local mine = scratch:under(home(c))
  local part = mine:part_of(c)
  local i = part:existing(rng)
  if not i then
    return create(c, rng)
  end
  c:delete(mine:path(i))
  part:deleted(i)
end

local function step(name, operation)
  return function(c, rng)
    c:step(name, function()
      operation(c, rng)
    end)
  end
end

bench.setup(function(c)
  c:mkdir(ROOT)
  for number = 0, P.jobs - 1 do
    c:mkdir(job(number))
    set:under(job(number)):create(c)
  end
end)

bench.workload {
  name = "analysis",
  clients = PROCESSES,
  pace = bench.open_loop { rate = RATE },
  setup = function(c)
    c:mkdir(home(c))
    scratch:under(home(c)):create(c)
    writing[c.id] = { handle = c:open(home(c) .. "/output", "w", { reopen = true }), offset = 0 }
  end,
  iteration = bench.choose {
    { 70, step("read", read) },
    { 12, step("stat", stat) },
    { 8, step("write", write) },
    { 4, step("access", access) },
    { 2, step("random_read", random_read) },
    { 1, step("random_write", random_write) },
    { 1, step("create", create) },
    { 1, step("unlink", unlink) },
  },
  teardown = function(c)
    scratch:under(home(c)):remove(c)
    c:delete(home(c) .. "/output", files.MAY_BE_MISSING)
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  for number = 0, P.jobs - 1 do
    set:under(job(number)):remove(c)
    c:rmdir(job(number), files.MAY_BE_MISSING)
  end
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
