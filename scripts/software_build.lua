-- Software build: compilers with many small files.
--
--   smbench run @scripts/software_build --target smb://ada@nas/data -p builds=10
--
-- A build is five processes, each a client that begins 100 operations a second. The
-- report shows each kind of operation as a step.
--
-- Published figures, seen in the configuration of SPECstorage Solution 2020
-- (storage2020.yml in mchad1/SPECSFS): processes, rate, mix, transfer sizes, flushes,
-- number and mean size of the files, lengths of warm-up and run (300 s each). This is
-- not a SPEC benchmark, and its results are not SPEC results.
--
-- Threshold: at least 95 % of the rate of all processes together, published. The
-- published 75 % of the rate of each process is not checked.
--
-- Not modelled: chmod (5 % of the operations) and payloads that compress by 80 %.
--
-- Guesses: access is an open for reading, because SMB checks access in the open. Sizes
-- of files are exponential. Each process has files of its own, of which 90 % exist at
-- first. Whole files are read and written in transfers of the published sizes, so a
-- file that is written again can be longer by a part of one transfer. A process makes
-- 1,000 directories; then their names are used again.
--
-- The defaults make 200 files for each process, so that setup takes seconds. At the
-- published size: -p directories=50 -p files=100 -p warmup=300s --duration 300s --drain 60s

local access = require("@bench/access")
local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  builds = { type = "int", default = 1, min = 1, max = 1000, help = "builds, of five processes each" },
  rate = { type = "float", default = 1, min = 0.01, max = 100, help = "factor of the published rates" },
  directories = { type = "int", default = 10, min = 1, max = 1000, help = "directories of a process (published: 50)" },
  files = { type = "int", default = 20, min = 10, max = 1000, help = "files in each directory (published: 100)" },
  warmup = { type = "duration", default = "5s", min = "10ms", max = "24h", help = "length of the warm-up (published: 300s)" },
}

local ROOT = "smbench-software-build"
local PROCESSES = 5 * P.builds --[[@as integer]]
local RATE = 100 * P.rate * PROCESSES -- operations a second
local MOST_DIRECTORIES = 1000 -- that a process makes

local read_size = distributions.empirical {
  { 1, 1, 511 }, { 5, 512, 1023 }, { 7, "1KiB", 2047 }, { 7, "2KiB", 4095 }, { 45, "4KiB", 8191 },
  { 13, "8KiB", 16383 }, { 3, "16KiB", 32767 }, { 2, "32KiB", 65535 }, { 17, "64KiB", "128KiB" },
}
local write_size = distributions.empirical {
  { 5, 1, 511 }, { 3, 512, 1023 }, { 10, "1KiB", 2047 }, { 15, "2KiB", 4095 }, { 14, "4KiB", 8191 },
  { 7, "8KiB", 16383 }, { 6, "16KiB", 32767 }, { 4, "32KiB", 65535 }, { 36, "64KiB", "128KiB" },
}

bench.phases {
  { name = "warmup", duration = P.warmup, record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds { ("iterations.rate >= %g"):format(0.95 * RATE) }

local set = files.set {
  root = "files",
  directories = P.directories,
  per_directory = P.files,
  size = distributions.exponential("16KiB"),
  exists = 0.9,
}

local function home(c)
  return ROOT .. "/process" .. c.id
end

-- Returns the process's files, and which of them exist.
local function own(c)
  local mine = set:under(home(c))
  return mine, mine:part_of(c)
end

local function existing(c, rng)
  local mine, part = own(c)
  local i = part:existing(rng) or 1
  return mine:path(i), part:size(i)
end

local function stat(c, rng)
  c:stat((existing(c, rng)))
end

local function check_access(c, rng)
  c:close(c:open((existing(c, rng)), "r"))
end

local function read_file(c, rng)
  local path, size = existing(c, rng)
  local h = c:open(path, "r")
  access.read_drawn(c, rng, h, size, read_size)
  c:close(h)
end

local function write_file(c, rng)
  local mine, part = own(c)
  local i = mine:pick(rng)
  local h = c:open(mine:path(i), "w")
  local size = access.write_drawn(c, rng, h, mine:size(i), write_size)
  part:created(i, size)
  if rng:bool(0.33) then
    c:flush(h)
  end
  c:close(h)
end

local function create(c, rng)
  local mine, part = own(c)
  local i = part:free(rng) or mine:pick(rng)
  c:close(c:open(mine:path(i), "w"))
  part:created(i, 0)
end

local function unlink(c, rng)
  local mine, part = own(c)
  if part.count == 1 then
    return create(c, rng) -- The last file stays.
  end
  local i = part:existing(rng) or 1
  c:delete(mine:path(i))
  part:deleted(i)
end

local function readdir(c, rng)
  local mine = own(c)
  c:list(mine:directory(mine:pick(rng)))
end

local made = {} -- number of directories by process

local function mkdir(c)
  local n = made[c.id] or 0
  made[c.id] = n + 1
  c:mkdir(("%s/new%d"):format(home(c), n % MOST_DIRECTORIES), { expect = { "SUCCESS", "OBJECT_NAME_COLLISION" } })
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
end)

bench.workload {
  name = "build",
  clients = PROCESSES,
  pace = bench.open_loop { rate = RATE },
  setup = function(c)
    c:mkdir(home(c))
    set:under(home(c)):create(c)
  end,
  iteration = bench.choose {
    { 70, step("stat", stat) },
    { 7, step("write_file", write_file) },
    { 6, step("read_file", read_file) },
    { 6, step("access", check_access) },
    { 2, step("readdir", readdir) },
    { 2, step("unlink", unlink) },
    { 1, step("mkdir", mkdir) },
    { 1, step("create", create) },
  },
  teardown = function(c)
    set:under(home(c)):remove(c)
    for n = 0, math.min(made[c.id] or 0, MOST_DIRECTORIES) - 1 do
      c:rmdir(("%s/new%d"):format(home(c), n), files.MAY_BE_MISSING)
    end
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
