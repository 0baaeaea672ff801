-- @bench/homes: home directories of people on a file server.
--
-- Each client is a person with a directory of its own, full of files whose sizes
-- follow those of file systems that were measured: lognormal with a median of
-- about 4.7 kB (J. Douceur and W. Bolosky, "A large-scale study of file-system
-- contents", SIGMETRICS 1999), here up to 8 MiB. A person logs in, looks into
-- directories, reads, saves, creates and deletes files. Saving goes through a
-- temporary file that replaces the old one, as editors and office suites do it. The
-- weights of `work` are a guess in the direction of A. Leung et al., "Measurement
-- and analysis of large-scale network file system workloads", USENIX ATC 2008:
-- looking is far more common than reading, and reading than writing.
--
--   local homes = require("@bench/homes")
--   local people = homes.new { directory = "home", files = 60 }
--   bench.setup(people.prepare)
--   bench.teardown(people.clean)
--   bench.workload {
--     name = "people", clients = 20,
--     setup = people.prepare_client, teardown = people.clean_client,
--     iteration = people.work,
--   }

local access = require("@bench/access")
local clients = require("@bench/clients")
local distributions = require("@bench/distributions")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.homes.Options
---@field directory string the directory of all homes; the directory above it must exist
---@field files? integer number of files that a person can have (default 60)
---@field per_directory? integer number of files in a directory (default 20)
---@field size? bench.Size|bench.Distribution size of a file (default: lognormal, median 4722 B, sigma 2.38, at most 8 MiB)
---@field exists? number share of the files that exist at first, from 0 to 1 (default 0.8)
---@field block? bench.Size size of one read or write (default "64KiB")
---@field think? bench.Duration|bench.Distribution time after each activity of `work` (default 0)

---@class bench.homes.Homes
---@field prepare bench.Section creates the directory of all homes; once per run
---@field clean bench.Section removes it; once per run
---@field prepare_client bench.Section creates the client's home; once per client
---@field clean_client bench.Section removes the client's home; once per client
---@field login bench.Section looks through the home, and reads three files, as a desktop does at the start
---@field browse bench.Section lists a directory and queries some of its files
---@field read bench.Section reads a file
---@field save bench.Section changes a file: reads it, writes a temporary file and renames it over the old one
---@field create bench.Section creates a file that does not exist, if there is room for one
---@field delete bench.Section deletes a file, if there is one
---@field work bench.Section one of these by weight, and a pause

local check = checks.checker("@bench/homes", {
  { name = "directory", type = "path", needed = "a directory", example = '"home"' },
  { name = "files", type = "int", default = 60, min = 1, max = 100000 },
  { name = "per_directory", type = "int", default = 20, min = 1, max = 100000 },
  { name = "size", type = "sizes", default = distributions.lognormal(4722, 2.38, { max = "8MiB" }) },
  { name = "exists", type = "float", default = 0.8, min = 0, max = 1 },
  { name = "block", type = "size", default = "64KiB", min = 1, max = 64 * 1024 * 1024 },
  { name = "think", type = "durations", default = 0 },
})

---Makes the homes of people. Call it at the top of the script.
---@param options bench.homes.Options
---@return bench.homes.Homes
function M.new(options)
  local checked = check(options)
  local root, block = checked.directory, checked.block
  -- Everybody has files of the same sizes, each in a directory of its own.
  local template = files.set_for_module({
    root = "files",
    files = checked.files,
    per_directory = checked.per_directory,
    size = checked.size,
    exists = checked.exists,
  }, 3)

  ---@param c bench.Client
  local function home_of(c)
    return root .. "/" .. c.user
  end

  ---@param c bench.Client
  local function set_of(c)
    return template:under(home_of(c))
  end

  ---@param c bench.Client
  local function temporary_file(c)
    return home_of(c) .. "/~save.tmp"
  end

  ---@param c bench.Client
  ---@param rng bench.Rng
  local function browse(c, rng)
    local set = set_of(c)
    local first = rng:int(1, set.count)
    local directory = set:directory(first)
    c:list(directory)
    local part = set:part_of(c)
    for number = first, math.min(first + rng:int(0, 4), set.count) do
      if part:has(number) and set:directory(number) == directory then
        c:stat(set:path(number))
      end
    end
  end

  ---@param c bench.Client
  ---@param rng bench.Rng
  local function read(c, rng)
    local set = set_of(c)
    local number = set:part_of(c):existing(rng)
    if number then
      set:read_whole(c, number, block)
    end
  end

  ---@param c bench.Client
  ---@param rng bench.Rng
  local function save(c, rng)
    local set = set_of(c)
    local number = set:part_of(c):existing(rng)
    if not number then
      return
    end
    set:read_whole(c, number, block)
    local temporary = temporary_file(c)
    local handle = c:open(temporary, "w")
    access.write_all(c, handle, set:size(number), block)
    c:flush(handle)
    c:close(handle)
    c:rename(temporary, set:path(number))
  end

  ---@param c bench.Client
  ---@param rng bench.Rng
  local function create(c, rng)
    local set = set_of(c)
    local part = set:part_of(c)
    local number = part:free(rng)
    if number then
      set:write_whole(c, number, block)
      part:created(number)
    end
  end

  ---@param c bench.Client
  ---@param rng bench.Rng
  local function delete(c, rng)
    local set = set_of(c)
    local part = set:part_of(c)
    local number = part:existing(rng)
    if number then
      c:delete(set:path(number))
      part:deleted(number)
    end
  end

  local activity = bench.choose({ { 50, browse }, { 25, read }, { 12, save }, { 7, create }, { 6, delete } })

  ---@type bench.homes.Homes
  local homes = {
    prepare = function(c)
      c:mkdir(root)
    end,

    clean = function(c)
      c:rmdir(root, files.MAY_BE_MISSING)
    end,

    prepare_client = function(c)
      c:mkdir(home_of(c))
      set_of(c):create(c)
    end,

    clean_client = function(c)
      set_of(c):remove(c)
      c:delete(temporary_file(c), files.MAY_BE_MISSING)
      c:rmdir(home_of(c), files.MAY_BE_MISSING)
    end,

    login = function(c, rng)
      c:stat(home_of(c))
      c:list(home_of(c))
      for _ = 1, 3 do
        browse(c, rng)
        read(c, rng)
      end
    end,

    browse = browse,
    read = read,
    save = save,
    create = create,
    delete = delete,

    work = function(c, rng)
      activity(c, rng)
      clients.pause(c, rng, checked.think)
    end,
  }
  return clients.sections("@bench/homes", homes)
end

return M
