-- Network file server: programs, documents and logs.
--
--   smbench run @scripts/network_file_server --target smb://ada@nas/data -p users=20
--
-- Each user is a client that begins ten loops a second. A loop starts a program, which
-- reads three files that are open at the same time; replaces six documents, each read,
-- written to a new file, and deleted; appends to three files; and queries one. The
-- report shows each as a step.
--
-- Published figures, seen in workloads/networkfs.f of filebench/filebench: the loop, its
-- rate, number and sizes of the files, the share that exists at first, sizes of reads
-- and writes.
--
-- Threshold: at least 95 % of the rate of all users together, a guess.
--
-- Guesses: each user has files of its own, all equally popular (published: chosen by a
-- gamma distribution). A new document has a size from the published table (published:
-- that of the old one), and its last transfer may be longer. A file grows to at most
-- 2 MiB and one append: an append to a longer one replaces the previous append.
--
-- By default a user has 500 files (published: 100,000 for its one user), so that setup
-- takes seconds. At the published size: -p files=100000 --drain 5m

local access = require("@bench/access")
local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  users = { type = "int", default = 1, min = 1, max = 10000, help = "users" },
  rate = { type = "float", default = 1, min = 0.01, max = 100, help = "factor of the published rate of 10 loops/s a user" },
  files = { type = "int", default = 500, min = 20, max = 500000, help = "files of a user, 20 in each directory (published: 100000)" },
}

local ROOT = "smbench-network-file-server"
local RATE = 10 * P.rate * P.users -- loops a second

local file_size = distributions.empirical {
  { 33, "1KiB" }, { 21, "1KiB", "3KiB" }, { 13, "3KiB", "5KiB" }, { 10, "5KiB", "11KiB" },
  { 8, "11KiB", "21KiB" }, { 5, "21KiB", "43KiB" }, { 4, "43KiB", "85KiB" }, { 3, "85KiB", "171KiB" },
  { 2, "171KiB", "341KiB" }, { 1, "341KiB", "1707KiB" },
}
local read_size = distributions.empirical {
  { 85, "8KiB" }, { 8, "17KiB", "23KiB" }, { 4, "33KiB", "39KiB" }, { 2, "65KiB", "71KiB" }, { 1, "129KiB", "135KiB" },
}
local write_size = distributions.empirical {
  { 50, "9KiB", "15KiB" }, { 14, "17KiB", "23KiB" }, { 14, "33KiB", "39KiB" }, { 12, "65KiB", "71KiB" },
  { 10, "129KiB", "135KiB" },
}

bench.phases {
  { name = "warmup", duration = "5s", record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds { ("iterations.rate >= %g"):format(0.95 * RATE) }

local set = files.set { root = "files", files = P.files, per_directory = 20, size = file_size, exists = 0.6 }

local function home(c)
  return ROOT .. "/user" .. c.id
end

local function own(c)
  local mine = set:under(home(c))
  return mine, mine:part_of(c)
end

-- Opens a file and reads all of it.
local function open_and_read(c, rng, i)
  local mine, part = own(c)
  local size = part:size(i)
  local h = c:open(mine:path(i), "r")
  access.read_drawn(c, rng, h, size, read_size)
  return h
end

local function some(c, rng)
  local _, part = own(c)
  return part:existing(rng) or 1
end

local function launch(c, rng)
  local first = open_and_read(c, rng, some(c, rng))
  local second = open_and_read(c, rng, some(c, rng))
  c:close(first)
  local third = open_and_read(c, rng, some(c, rng))
  c:close(second)
  c:close(third)
end

local function replace(c, rng)
  local mine, part = own(c)
  local old, new = some(c, rng), part:free(rng) or 1
  local read = open_and_read(c, rng, old)
  local written = c:open(mine:path(new), "w")
  local size = access.write_drawn(c, rng, written, mine:size(new), write_size)
  c:close(read)
  c:close(written)
  c:delete(mine:path(old))
  part:created(new, size)
  part:deleted(old)
end

local function append(c, rng)
  local mine, part = own(c)
  local i = some(c, rng)
  local size, length = part:size(i), write_size(rng)
  local h = c:open(mine:path(i), "rw")
  c:write(h, size, length)
  c:close(h)
  -- Files do not grow for ever: an append to a long file replaces the previous one.
  if size < 2 * 1024 * 1024 then
    part:resized(i, size + length)
  end
end

local function stat(c, rng)
  local mine = own(c)
  c:stat(mine:path(some(c, rng)))
end

local function step(name, times, c, rng, operation)
  for _ = 1, times do
    c:step(name, function()
      operation(c, rng)
    end)
  end
end

bench.setup(function(c)
  c:mkdir(ROOT)
end)

bench.workload {
  name = "users",
  clients = P.users,
  pace = bench.open_loop { rate = RATE },
  setup = function(c)
    c:mkdir(home(c))
    set:under(home(c)):create(c)
  end,
  iteration = function(c, rng)
    step("launch", 1, c, rng, launch)
    step("replace", 6, c, rng, replace)
    step("append", 3, c, rng, append)
    step("stat", 1, c, rng, stat)
  end,
  teardown = function(c)
    set:under(home(c)):remove(c)
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
