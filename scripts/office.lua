-- Office: look-ups, small reads and short-lived files.
--
--   smbench run @scripts/office --target smb://ada@nas/data -p clients=100
--
-- Derived from the load file of dbench 4.0, which is derived from NetBench. Each client
-- thinks for 5 ms on average between two activities. With -p think=0s it works as fast as
-- the server answers.
--
-- Published figures, counted in client.txt of the Debian package (458,344 lines): the
-- proportions of the operations, the share of opens, path queries and searches that
-- find nothing, the share of opens that create, and most sizes of reads and writes.
--
-- Not modelled: queries of the file system (2.9 % of the operations) and of open files
-- (2.8 %), and setting file information (1.4 %); the others keep their proportions.
--
-- Threshold: 99 % of the operations end within 200 ms, a guess.
--
-- Guesses: the think time, which is exponential; how the operations follow one another
-- (the activities below); the other sizes, which are 9.7 % of the reads (here 1 to 8
-- KiB) and 16.9 % of the writes (1 to 40 KiB); the files of a client, 40 of 256 KiB,
-- of which 75 % exist at first.

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  clients = { type = "int", default = 10, min = 1, max = 100000, help = "clients" },
  think = { type = "duration", default = "5ms", max = "1h", help = "mean time between two activities of a client" },
  files = { type = "int", default = 40, min = 8, max = 10000, help = "files of a client" },
  size = { type = "size", default = "256KiB", min = "64KiB", max = "1GiB", help = "size of a file" },
}

local ROOT = "smbench-office"
local LOCK_OFFSET = 2147483538 -- as in the load file
local IS_MISSING = { expect = "OBJECT_NAME_NOT_FOUND" }

local read_size = distributions.empirical {
  { 67.0, "4KiB" }, { 13.4, "60KiB" }, { 3.7, "8KiB" }, { 3.7, "2KiB" }, { 1.6, "16KiB" }, { 0.9, 512 },
  { 9.7, 1024, 8191 },
}
-- Without the writes of one byte (18.8 %), which `write_new` makes.
local write_size = distributions.empirical {
  { 32.0, "64KiB" }, { 25.2, "4KiB" }, { 4.2, "2KiB" }, { 2.9, "8KiB" }, { 16.9, 1024, 40959 },
}

bench.phases {
  { name = "warmup", duration = "5s", record = false },
  { name = "steady", duration = "30s" },
}
bench.thresholds { "all.response.p99 < 200ms" }

local set = files.set { root = "files", files = P.files, per_directory = 20, size = P.size, exists = 0.75 }

local function home(c)
  return ROOT .. "/client" .. c.id
end

local function own(c)
  local mine = set:under(home(c))
  return mine, mine:part_of(c)
end

local function existing(c, rng)
  local mine, part = own(c)
  return mine:path(part:existing(rng) or 1)
end

-- Returns a whole number that is `mean` on average.
local function about(rng, mean)
  local whole = math.floor(mean)
  return rng:bool(mean - whole) and whole + 1 or whole
end

local function query(c, rng)
  c:stat(existing(c, rng))
end

local function query_missing(c, rng)
  c:stat(existing(c, rng) .. ".missing", IS_MISSING)
end

local function search(c, rng)
  c:list((existing(c, rng):gsub("/[^/]*$", "")))
end

local function search_missing(c, rng)
  c:list((existing(c, rng):gsub("/[^/]*$", "")), "*.JNK", { expect = { "SUCCESS", "NO_SUCH_FILE" } })
end

local function open_missing(c, rng)
  c:open(existing(c, rng) .. ".missing", "r", IS_MISSING)
end

-- 3.226 reads in each file that is read: 27.10 % of the operations in 8.40 %.
local function read(c, rng)
  local h = c:open(existing(c, rng), "r")
  for _ = 1, about(rng, 3.226) do
    local length = read_size(rng)
    c:read(h, rng:int(0, math.max(0, P.size - length)), length)
  end
  c:close(h)
end

-- 1.624 writes in each file that is written, flushes in 28.1 % and locks in 1.4 %.
local function write_to(c, rng, h)
  local offset = 0
  for _ = 1, about(rng, 1.624) do
    local length = write_size(rng)
    c:write(h, offset, length)
    offset = offset + length
  end
  if rng:bool(0.281) then
    c:flush(h)
  end
  if rng:bool(0.014) then
    c:lock(h, LOCK_OFFSET, 1)
    c:unlock(h, LOCK_OFFSET, 1)
  end
  c:close(h)
end

local function write(c, rng)
  write_to(c, rng, c:open(existing(c, rng), "rw"))
end

local function delete(c, rng)
  local mine, part = own(c)
  local i = part:existing(rng) or 1
  c:delete(mine:path(i))
  part:deleted(i)
end

-- 46.8 % of the new files are extended by a write of one byte before they are written.
local function write_new(c, rng)
  local mine, part = own(c)
  local i = part:free(rng)
  if not i then
    return delete(c, rng)
  end
  local h = c:open(mine:path(i), "w", { disposition = "FILE_CREATE" })
  part:created(i)
  if rng:bool(0.468) then
    c:write(h, P.size - 1, 1)
  end
  write_to(c, rng, h)
end

local function delete_or_refill(c, rng)
  local _, part = own(c)
  if part.count == 1 then
    return write_new(c, rng) -- The last file stays.
  end
  delete(c, rng)
end

local function rename(c, rng)
  local mine, part = own(c)
  local from, to = part:existing(rng), part:free(rng)
  if not from or not to then
    return delete(c, rng)
  end
  c:rename(mine:path(from), mine:path(to))
  part:deleted(from)
  part:created(to)
end

local function step(name, activity)
  return function(c, rng)
    c:step(name, function()
      activity(c, rng)
    end)
  end
end

-- How often each activity happens, in percent of the operations of the load file.
local activity = bench.choose {
  { 15.67 * 0.662, step("query", query) },
  { 15.67 * 0.338, step("query_missing", query_missing) },
  { 6.06 * 0.484, step("search", search) },
  { 6.06 * 0.516, step("search_missing", search_missing) },
  { 17.29 * 0.265, step("open_missing", open_missing) },
  { 8.40, step("read", read) },
  { 0.85, step("write", write) },
  { 3.46, step("write_new", write_new) },
  { 3.49, step("delete", delete_or_refill) },
  { 0.73, step("rename", rename) },
}

bench.setup(function(c)
  c:mkdir(ROOT)
end)

bench.workload {
  name = "clients",
  clients = P.clients,
  setup = function(c)
    c:mkdir(home(c))
    set:under(home(c)):create(c)
  end,
  iteration = function(c, rng)
    activity(c, rng)
    c:think(rng:exp(P.think))
  end,
  teardown = function(c)
    set:under(home(c)):remove(c)
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
