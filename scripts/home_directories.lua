-- Home directories: users copy, open, save and browse.
--
--   smbench run @scripts/home_directories --target smb://ada@nas/homes -p users=500
--
-- Each user is a client with a directory of its own. Scenarios arrive at random (a
-- Poisson process), all ten equally often: upload, download, delete and navigate, from
-- a command line and from a file manager, and opening and saving a document. The report
-- shows each scenario as a step, with its response time.
--
-- Published figures, seen as a quotation: sizes of files are lognormal with the median
-- 4,722 bytes and sigma 2.38 (Douceur and Bolosky, SIGMETRICS 1999).
--
-- For comparison: a user's home has 0.5 to 700 MB in 150 to 27,000 files (Vogels, SOSP
-- 1999, seen as a quotation). No default uses these figures.
--
-- Threshold: 95 % of the scenarios end within 2 s, a guess.
--
-- Guesses: the ten scenarios, and one for each user every 11 s, are recalled from
-- Microsoft's File Server Capacity Tool and were not read there. That all scenarios are
-- equally frequent, that they arrive as a Poisson process, and what each one does are
-- guesses, and so are the 20 users, the 80 % of the files that exist at first, and
-- transfers of 64 KiB.
--
-- By default a user has 60 files of at most 1 MiB, so that setup takes seconds. Recalled
-- are 268 files of together 80 MB. With -p files=268 -p largest=16MiB, a user has 268
-- names and 80 % of the files; all 268 would hold about 15 MB, because the published
-- sizes are smaller than the recalled ones.

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  users = { type = "int", default = 20, min = 1, max = 100000, help = "users" },
  every = { type = "duration", default = "11s", min = "10ms", max = "1h", help = "mean time between two scenarios of a user" },
  files = { type = "int", default = 60, min = 10, max = 30000, help = "files of a user, 10 in each directory (recalled: 268)" },
  largest = { type = "size", default = "1MiB", min = "64KiB", max = "1GiB", help = "largest size of a file" },
}

local ROOT = "smbench-home-directories"
local BLOCK = 64 * 1024
local IS_MISSING = { expect = "OBJECT_NAME_NOT_FOUND" }

bench.phases {
  { name = "warmup", duration = "5s", record = false },
  { name = "steady", duration = "60s" },
}
bench.thresholds { "iterations.response.p95 < 2s" }

local set = files.set {
  root = "documents",
  files = P.files,
  per_directory = 10,
  size = distributions.lognormal(4722, 2.38, { max = P.largest }),
  exists = 0.8,
}

local function home(c)
  return ROOT .. "/user" .. c.id
end

local function own(c)
  local mine = set:under(home(c))
  return mine, mine:part_of(c)
end

local function existing(c, rng)
  local mine, part = own(c)
  local i = part:existing(rng) or 1
  return mine, i
end

-- The command line.

local function command_upload(c, rng)
  local mine, part = own(c)
  local i = part:free(rng)
  if i then
    c:stat(mine:path(i), IS_MISSING)
  else
    i = mine:pick(rng)
    c:stat(mine:path(i))
  end
  mine:write_whole(c, i, BLOCK)
  part:created(i)
end

local function command_download(c, rng)
  local mine, i = existing(c, rng)
  c:stat(mine:path(i))
  mine:read_whole(c, i, BLOCK)
end

local function command_delete(c, rng)
  local mine, part = own(c)
  if part.count == 1 then
    return command_upload(c, rng) -- The last file stays.
  end
  local i = part:existing(rng) or 1
  c:delete(mine:path(i))
  part:deleted(i)
end

local function command_navigate(c, rng)
  local mine = own(c)
  c:list(mine.root)
  c:list(mine:directory(mine:pick(rng)))
end

-- The file manager, which looks for its own files, and lists a directory again after a
-- change.

local function view(c, rng)
  local mine, i = existing(c, rng)
  local directory = mine:directory(i)
  c:stat(directory)
  c:stat(directory .. "/desktop.ini", IS_MISSING)
  c:list(directory)
  return directory
end

local function file_manager_upload(c, rng)
  local directory = view(c, rng)
  command_upload(c, rng)
  c:list(directory)
end

local function file_manager_download(c, rng)
  view(c, rng)
  command_download(c, rng)
end

local function file_manager_delete(c, rng)
  local directory = view(c, rng)
  command_delete(c, rng)
  c:list(directory)
end

local function file_manager_navigate(c, rng)
  c:list(home(c))
  for _ = 1, 3 do
    view(c, rng)
  end
end

-- The word processor, which marks a document as in use while it is open, and saves
-- through a temporary file.

local function open_document(c, rng)
  local mine, i = existing(c, rng)
  local path = mine:path(i)
  c:stat(path)
  local mark = c:open(path .. ".lock", "w")
  c:write(mark, 0, 162)
  c:close(mark)
  mine:read_whole(c, i, BLOCK)
  c:delete(path .. ".lock")
end

local function save_document(c, rng)
  local mine, i = existing(c, rng)
  local path = mine:path(i)
  local temporary = home(c) .. "/saving.tmp"
  local h = c:open(temporary, "w")
  for offset = 0, mine:size(i) - 1, BLOCK do
    c:write(h, offset, math.min(BLOCK, mine:size(i) - offset))
  end
  c:flush(h)
  c:close(h)
  c:rename(temporary, path)
  c:stat(path)
end

local function step(name, scenario)
  return function(c, rng)
    c:step(name, function()
      scenario(c, rng)
    end)
  end
end

bench.setup(function(c)
  c:mkdir(ROOT)
end)

bench.workload {
  name = "users",
  clients = P.users,
  pace = bench.open_loop { rate = P.users * 1e9 / P.every, arrivals = "poisson" },
  setup = function(c)
    c:mkdir(home(c))
    set:under(home(c)):create(c)
  end,
  iteration = bench.choose {
    { 1, step("command_upload", command_upload) },
    { 1, step("command_download", command_download) },
    { 1, step("command_delete", command_delete) },
    { 1, step("command_navigate", command_navigate) },
    { 1, step("file_manager_upload", file_manager_upload) },
    { 1, step("file_manager_download", file_manager_download) },
    { 1, step("file_manager_delete", file_manager_delete) },
    { 1, step("file_manager_navigate", file_manager_navigate) },
    { 1, step("open_document", open_document) },
    { 1, step("save_document", save_document) },
  },
  teardown = function(c)
    local mine = set:under(home(c))
    for i = 1, mine.count do
      c:delete(mine:path(i) .. ".lock", files.MAY_BE_MISSING)
    end
    c:delete(home(c) .. "/saving.tmp", files.MAY_BE_MISSING)
    mine:remove(c)
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
