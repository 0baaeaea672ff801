-- Chip design: many small sources, and a few large results.
--
--   smbench run @scripts/chip_design --target smb://ada@nas/data -p projects=10
--
-- A project is three processes of the front end, which begin 100 operations a second
-- each, and two of the back end with 75. Each process is a client. The report shows
-- each kind of operation as a step.
--
-- Published figures, seen in the configuration of SPECstorage Solution 2020
-- (storage2020.yml in mchad1/SPECSFS): processes, rates, mixes, transfer sizes,
-- flushes, number and size of the files, lengths of warm-up and run (300 s each). This
-- is not a SPEC benchmark, and its results are not SPEC results.
--
-- Thresholds: at least 75 % of the rate of each end (published: of each process), and 95 %
-- of the rate of all processes together, published.
--
-- Not modelled: chmod (1 % of the front end), unbuffered writes (a client of smbench has
-- no cache, so all are), and payloads that compress (50 %, 20 %) or repeat (50 %, 40 %).
--
-- Guesses: access is an open for reading, because SMB checks access in the open. Each
-- process has files of its own, of which 90 % exist at first. Whole files are written
-- in transfers of the published sizes, so that a file can become longer by a part of
-- one. A process makes 1,000 directories; then their names are used again.
--
-- By default the back end has 4 files a process (published: 5 directories of 10), so
-- that setup takes seconds. At the published size:
-- -p directories=5 -p files=10 -p warmup=300s --duration 300s

local access = require("@bench/access")
local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  projects = { type = "int", default = 1, min = 1, max = 1000, help = "projects, of five processes each" },
  rate = { type = "float", default = 1, min = 0.01, max = 100, help = "factor of the published rates" },
  directories = { type = "int", default = 1, min = 1, max = 1000, help = "directories of a process of the back end (published: 5)" },
  files = { type = "int", default = 4, min = 1, max = 1000, help = "files in each of them (published: 10)" },
  size = { type = "size", default = "10MiB", min = "1MiB", max = "100GiB", help = "size of such a file (published: 10MiB)" },
  warmup = { type = "duration", default = "5s", min = "10ms", max = "24h", help = "length of the warm-up (published: 300s)" },
}

local ROOT = "smbench-chip-design"
local FRONT = 3 * P.projects --[[@as integer]]
local BACK = 2 * P.projects --[[@as integer]]
local FRONT_RATE = 100 * P.rate * FRONT -- operations a second
local BACK_RATE = 75 * P.rate * BACK
local MOST_DIRECTORIES = 1000 -- that a process makes

bench.phases {
  { name = "warmup", duration = P.warmup, record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds {
  ("iterations.rate >= %g"):format(0.95 * (FRONT_RATE + BACK_RATE)),
  { ("iterations.rate >= %g"):format(0.75 * FRONT_RATE), workload = "front" },
  { ("iterations.rate >= %g"):format(0.75 * BACK_RATE), workload = "back" },
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

-- The front end.

local front_read_size = distributions.empirical {
  { 4, 1, 511 }, { 2, "2KiB", 4095 }, { 43, "4KiB", 8191 }, { 30, "8KiB", 16383 }, { 21, "16KiB", "32KiB" },
}
local front_write_size = distributions.empirical {
  { 25, 1, 511 }, { 10, 512, 1023 }, { 15, "1KiB", 2047 }, { 18, "2KiB", 4095 }, { 27, "4KiB", 8191 },
  { 3, "8KiB", 16383 }, { 2, "16KiB", "32KiB" },
}
local sources = files.set { root = "files", directories = 10, per_directory = 10, size = "16KiB", exists = 0.9 }

local function front_home(c)
  return ROOT .. "/front" .. c.id
end

local function own(c)
  local mine = sources:under(front_home(c))
  return mine, mine:part_of(c)
end

local function existing(c, rng)
  local mine, part = own(c)
  local i = part:existing(rng) or 1
  return mine:path(i), part:size(i), i
end

local function stat(c, rng)
  c:stat((existing(c, rng)))
end

local function check_access(c, rng)
  c:close(c:open((existing(c, rng)), "r"))
end

local function maybe_flush(c, rng, h)
  if rng:bool(0.15) then
    c:flush(h)
  end
end

local function random_write(c, rng)
  local path, size, i = existing(c, rng)
  local _, part = own(c)
  local h = c:open(path, "rw")
  local offset, length = rng:int(0, size), front_write_size(rng)
  c:write(h, offset, length)
  part:resized(i, math.max(size, offset + length))
  maybe_flush(c, rng, h)
  c:close(h)
end

local function write_file(c, rng)
  local mine, part = own(c)
  local i = mine:pick(rng)
  local h = c:open(mine:path(i), "w")
  local size = access.write_drawn(c, rng, h, mine:size(i), front_write_size)
  part:created(i, size)
  maybe_flush(c, rng, h)
  c:close(h)
end

local function random_read(c, rng)
  local path, size = existing(c, rng)
  local h = c:open(path, "r")
  c:read(h, rng:int(0, size), front_read_size(rng))
  c:close(h)
end

local function read_file(c, rng)
  local path, size = existing(c, rng)
  local h = c:open(path, "r")
  access.read_drawn(c, rng, h, size, front_read_size)
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

local made = {} -- number of directories by process

local function mkdir(c)
  local n = made[c.id] or 0
  made[c.id] = n + 1
  c:mkdir(("%s/new%d"):format(front_home(c), n % MOST_DIRECTORIES), { expect = { "SUCCESS", "OBJECT_NAME_COLLISION" } })
end

bench.workload {
  name = "front",
  clients = FRONT,
  pace = bench.open_loop { rate = FRONT_RATE },
  setup = function(c)
    c:mkdir(front_home(c))
    sources:under(front_home(c)):create(c)
  end,
  iteration = bench.choose {
    { 39, step("stat", stat) },
    { 15, step("access", check_access) },
    { 15, step("random_write", random_write) },
    { 10, step("write_file", write_file) },
    { 8, step("random_read", random_read) },
    { 7, step("read_file", read_file) },
    { 2, step("create", create) },
    { 2, step("unlink", unlink) },
    { 1, step("mkdir", mkdir) },
  },
  teardown = function(c)
    sources:under(front_home(c)):remove(c)
    for n = 0, math.min(made[c.id] or 0, MOST_DIRECTORIES) - 1 do
      c:rmdir(("%s/new%d"):format(front_home(c), n), files.MAY_BE_MISSING)
    end
    c:rmdir(front_home(c), files.MAY_BE_MISSING)
  end,
}

-- The back end, which goes through one file after the other, once to read and once to
-- write.

local back_read_size = distributions.empirical { { 49, "32KiB", 65535 }, { 51, "64KiB" } }
local back_write_size = distributions.empirical { { 45, "32KiB", 65535 }, { 55, "64KiB", "128KiB" } }
local results = files.set { root = "files", directories = P.directories, per_directory = P.files, size = P.size }

local function back_home(c)
  return ROOT .. "/back" .. c.id
end

local reading, writing = {}, {} -- file, place and handle of the next transfer by client

-- Returns where the client goes on: in its open file, or at the beginning of the next.
local function place(c, of, mode)
  local at = of[c.id] or { file = 0 }
  of[c.id] = at
  if not at.handle then
    at.file, at.offset = at.file % results.count + 1, 0
    at.handle = c:open(results:under(back_home(c)):path(at.file --[[@as integer]]), mode, { reopen = true })
  end
  return at
end

local function advance(c, at, length)
  at.offset = at.offset + length
  if at.offset >= P.size then
    c:close(at.handle)
    at.handle = nil
  end
end

local function read(c, rng)
  local at, length = place(c, reading, "r"), back_read_size(rng)
  c:read(at.handle, at.offset, length)
  advance(c, at, length)
end

local function write(c, rng)
  local at, length = place(c, writing, "rw"), back_write_size(rng)
  c:write(at.handle, at.offset, length)
  maybe_flush(c, rng, at.handle)
  advance(c, at, length)
end

bench.workload {
  name = "back",
  clients = BACK,
  pace = bench.open_loop { rate = BACK_RATE },
  setup = function(c)
    c:mkdir(back_home(c))
    results:under(back_home(c)):create(c)
  end,
  iteration = bench.choose { { 50, step("read", read) }, { 50, step("write", write) } },
  teardown = function(c)
    results:under(back_home(c)):remove(c)
    c:rmdir(back_home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
