-- @bench/build: builds of software whose sources are on a share.
--
-- The sources are one tree, which all clients read. Each client builds in a
-- directory of its own. To compile a source, it looks for headers along the
-- include path (most of the places do not have the header), reads the source and
-- some headers, and writes an object file. After every `link` objects, it reads
-- them and writes a program. The model is a build with make: requests for
-- attributes far outnumber reads and writes, as in published figures of software
-- builds, where they are 70 % of the operations. The default sizes and counts are a
-- guess.
--
--   local build = require("@bench/build")
--   local project = build.new { directory = "project", sources = 200 }
--   bench.setup(project.prepare)
--   bench.teardown(project.clean)
--   bench.workload {
--     name = "builders", clients = 4,
--     setup = project.prepare_client, teardown = project.clean_client,
--     iteration = project.compile,
--   }

local access = require("@bench/access")
local clients = require("@bench/clients")
local distributions = require("@bench/distributions")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.build.Options
---@field directory string the directory of the project; the directory above it must exist
---@field sources? integer number of sources (default 200)
---@field headers? integer number of headers (default 50)
---@field per_directory? integer number of sources in a directory (default 20)
---@field size? bench.Size|bench.Distribution size of a source or header (default: lognormal, median 6 KiB, 100 B to 256 KiB)
---@field object? bench.Size|bench.Distribution size of an object (default: lognormal, median 24 KiB, 1 KiB to 2 MiB)
---@field lookups? integer number of places in which a compilation looks for headers (default 12)
---@field missing? number share of these that do not have the header, from 0 to 1 (default 0.7)
---@field includes? integer number of headers that a compilation reads (default 4)
---@field link? integer number of compilations after which a program is linked (default 20)

---@class bench.build.Project
---@field prepare bench.Section creates the sources; once per run
---@field clean bench.Section removes the sources; once per run
---@field prepare_client bench.Section creates the client's directory; once per client
---@field clean_client bench.Section removes the client's directory; once per client
---@field compile bench.Section compiles the client's next source, and links if it is time
---@field link bench.Section reads the objects since the last link and writes the program

local check = checks.checker("@bench/build", {
  { name = "directory", type = "path", needed = "a directory", example = '"project"' },
  { name = "sources", type = "int", default = 200, min = 1, max = 100000 },
  { name = "headers", type = "int", default = 50, min = 1, max = 100000 },
  { name = "per_directory", type = "int", default = 20, min = 1, max = 100000 },
  { name = "size", type = "sizes", default = distributions.lognormal("6KiB", 1, { min = 100, max = "256KiB" }) },
  { name = "object", type = "sizes", default = distributions.lognormal("24KiB", 1, { min = "1KiB", max = "2MiB" }) },
  { name = "lookups", type = "int", default = 12, min = 0, max = 10000 },
  { name = "missing", type = "float", default = 0.7, min = 0, max = 1 },
  { name = "includes", type = "int", default = 4, min = 0, max = 10000 },
  { name = "link", type = "int", default = 20, min = 1, max = 100000 },
})

-- A header that is not in this directory of the include path.
local NOT_HERE = { expect = { "OBJECT_NAME_NOT_FOUND" } }

-- Size in bytes of what a linker adds to the objects.
local PROGRAM_OVERHEAD = 16 * 1024

---The state of a client.
---@class bench.build.State
---@field next integer the next source
---@field sizes table<integer, integer?> the sizes of the objects since the last link, by source

---Makes a project. Call it at the top of the script.
---@param options bench.build.Options
---@return bench.build.Project
function M.new(options)
  local checked = check(options)
  local root = checked.directory
  local count = checked.sources ---@type integer
  local headers_count = checked.headers ---@type integer
  local sources = files.set_for_module({
    root = root .. "/src",
    files = count,
    per_directory = checked.per_directory,
    size = checked.size,
  }, 3)
  local headers = files.set_for_module({
    root = root .. "/include",
    files = headers_count,
    per_directory = headers_count,
    size = checked.size,
  }, 3)

  ---@param c bench.Client
  local function directory_of(c)
    return ("%s/build-%s"):format(root, c.user)
  end

  ---@param directory string
  ---@param number integer
  local function object(directory, number)
    return ("%s/f%d.o"):format(directory, number)
  end

  ---@type fun(c: bench.Client): bench.build.State
  local state = clients.state(function(c)
    -- Clients begin at different sources, or they would all read the same one.
    return { next = c.id * 7 % count + 1, sizes = {} }
  end)

  ---@param c bench.Client
  ---@param own bench.build.State
  local function link(c, own)
    local directory = directory_of(c)
    local total = PROGRAM_OVERHEAD
    c:list(directory, "*.o")
    for number = 1, count do
      local size = own.sizes[number]
      if size then
        local handle = c:open(object(directory, number), "r")
        access.read_all(c, handle, size)
        c:close(handle)
        total = total + size
      end
    end
    local program = c:open(directory .. "/program", "w")
    access.write_all(c, program, total)
    c:close(program)
    own.sizes = {}
  end

  ---@type bench.build.Project
  local project = {
    prepare = function(c)
      c:mkdir(root)
      sources:create(c)
      headers:create(c)
    end,

    clean = function(c)
      headers:remove(c)
      sources:remove(c)
      c:rmdir(root, files.MAY_BE_MISSING)
    end,

    prepare_client = function(c)
      c:mkdir(directory_of(c))
    end,

    clean_client = function(c)
      local directory = directory_of(c)
      for number = 1, count do
        c:delete(object(directory, number), files.MAY_BE_MISSING)
      end
      c:delete(directory .. "/program", files.MAY_BE_MISSING)
      c:rmdir(directory, files.MAY_BE_MISSING)
    end,

    compile = function(c, rng)
      local own = state(c)
      local number = own.next
      own.next = number % count + 1
      c:stat(sources:path(number))
      for _ = 1, checked.lookups do
        local header = rng:int(1, headers_count)
        if rng:float() < checked.missing then
          c:stat(("%s/f%d.h"):format(root, header), NOT_HERE)
        else
          c:stat(headers:path(header))
        end
      end
      sources:read_whole(c, number)
      for _ = 1, checked.includes do
        headers:read_whole(c, rng:int(1, headers_count))
      end
      local size = checked.object(rng)
      local handle = c:open(object(directory_of(c), number), "w")
      access.write_all(c, handle, size)
      c:close(handle)
      own.sizes[number] = size
      if number % checked.link == 0 or number == count then
        link(c, own)
      end
    end,

    link = function(c)
      link(c, state(c))
    end,
  }
  return clients.sections("@bench/build", project)
end

return M
