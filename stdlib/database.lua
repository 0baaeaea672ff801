-- @bench/database: a database in files on a share, as SQLite keeps one.
--
-- The database is one file of pages, which all clients use. A query reads pages
-- under shared byte-range locks. A transaction reads pages under exclusive locks
-- and appends their new versions to a write-ahead log, which it flushes: that is
-- the commit. When a log holds `checkpoint` pages, its client writes them to the
-- database in order, flushes it, and truncates the log. The locks are on bytes far
-- beyond the pages, as SQLite's are, so they exclude one another and never a read
-- or a write. The model is that of SQLite's file format and its write-ahead log
-- (www.sqlite.org/fileformat2.html, wal.html), with two differences: pages are
-- locked one by one, and each client has a log of its own, because clients cannot
-- see how far others have written. Numbers of pages are a guess.
--
--   local database = require("@bench/database")
--   local orders = database.new { directory = "db", pages = 4096 }
--   bench.setup(orders.prepare)
--   bench.teardown(orders.clean)
--   bench.workload {
--     name = "desks", clients = 8,
--     iteration = bench.choose { { 80, orders.query }, { 20, orders.transaction } },
--     teardown = orders.clean_client,
--   }

local clients = require("@bench/clients")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.database.Options
---@field directory string the directory of the database; the directory above it must exist
---@field pages? integer number of pages (default 1024)
---@field page? bench.Size size of a page (default "8KiB")
---@field reads? integer number of pages that a query reads (default 4)
---@field writes? integer number of pages that a transaction changes (default 2)
---@field checkpoint? integer number of pages in a log that make its client write them to the database (default 100)
---@field skew? number popularity of the pages: the exponent of `rng:zipf` (default 0.8)
---@field locks? "try"|"wait"|"none" whether a client waits for a lock. With "try" it may be refused, which is no failure, and the client goes on; "wait" needs a target with locks that wait (default "try")

---@class bench.database.Database
---@field prepare bench.Section creates the directory and the database; once per run
---@field clean bench.Section removes them; once per run
---@field clean_client bench.Section removes the client's log; once per client
---@field query bench.Section reads pages under shared locks
---@field transaction bench.Section changes pages under exclusive locks
---@field checkpoint bench.Section writes the changed pages of the client's log to the database

local check = checks.checker("@bench/database", {
  { name = "directory", type = "path", needed = "a directory", example = '"db"' },
  { name = "pages", type = "int", default = 1024, min = 1, max = 10000000 },
  { name = "page", type = "size", default = "8KiB", min = 512, max = 65536 },
  { name = "reads", type = "int", default = 4, min = 1, max = 10000 },
  { name = "writes", type = "int", default = 2, min = 1, max = 10000 },
  { name = "checkpoint", type = "int", default = 100, min = 1, max = 100000 },
  { name = "skew", type = "float", default = 0.8, min = 0, max = 100 },
  { name = "locks", type = "string", default = "try", choices = { "try", "wait", "none" } },
})

-- The offset of the lock of page 0, beyond the last page.
local LOCKS = 2 ^ 50

-- Size in bytes of the header of a page in a log.
local FRAME = 24

-- Size of the writes that create the database, in bytes.
local CREATE_BLOCK = 1024 * 1024

-- The handles live from iteration to iteration, so they must outlive a connection.
local KEPT_OPEN = { reopen = true }

-- After a lock was refused, there is nothing to unlock.
---@type table<string, bench.Options?>
local UNLOCK = {
  try = { expect = { "SUCCESS", "RANGE_NOT_LOCKED" } },
  -- A lost connection may have released the lock.
  wait = { expect = { "SUCCESS", "RANGE_NOT_LOCKED" } },
}

---@param exclusive boolean
---@return table<string, bench.LockOptions?>
local function lock_options(exclusive)
  return {
    try = { exclusive = exclusive, expect = { "SUCCESS", "LOCK_NOT_GRANTED", "FILE_LOCK_CONFLICT" } },
    wait = { exclusive = exclusive, wait = true },
  }
end

local SHARED, EXCLUSIVE = lock_options(false), lock_options(true)

---The state of a client.
---@class bench.database.State
---@field data bench.Handle?
---@field log bench.Handle?
---@field length integer bytes in the log
---@field logged integer number of pages in the log
---@field pages table<integer, boolean> the pages in the log

---Makes a database.
---@param options bench.database.Options
---@return bench.database.Database
function M.new(options)
  local checked = check(options)
  checks.require_top_level("database.new")
  local root, skew = checked.directory, checked.skew
  local pages = checked.pages ---@type integer
  local page = checked.page ---@type integer
  local path = root .. "/data.db"
  local shared, exclusive, unlock = SHARED[checked.locks], EXCLUSIVE[checked.locks], UNLOCK[checked.locks]

  ---@param c bench.Client
  local function log_of(c)
    return ("%s/%s.wal"):format(root, c.user)
  end

  ---@type fun(c: bench.Client): bench.database.State
  local state = clients.state(function()
    return { length = 0, logged = 0, pages = {} }
  end)

  ---@param c bench.Client
  ---@param own bench.database.State
  ---@return bench.Handle
  local function data_of(c, own)
    local handle = own.data
    if not handle then
      handle = c:open(path, "rw", KEPT_OPEN)
      own.data = handle
    end
    return handle
  end

  ---Draws pages and returns them in ascending order, each once. All clients lock in this
  ---order, so that two that wait for each other cannot happen.
  ---@param rng bench.Rng
  ---@param count integer
  ---@return integer[]
  local function drawn(rng, count)
    local list, seen = {}, {} ---@type integer[], table<integer, boolean>
    for _ = 1, count do
      local number = rng:zipf(pages, skew) - 1
      if not seen[number] then
        seen[number] = true
        list[#list + 1] = number
      end
    end
    table.sort(list)
    return list
  end

  ---@param c bench.Client
  ---@param own bench.database.State
  local function write_back(c, own)
    local data, log = data_of(c, own), own.log
    if own.logged == 0 or not log then
      return
    end
    local list = {} ---@type integer[]
    for number in pairs(own.pages) do
      list[#list + 1] = number
    end
    table.sort(list)
    for _, number in ipairs(list) do
      if exclusive then
        c:lock(data, LOCKS + number, 1, exclusive)
      end
      c:write(data, number * page, page)
      if exclusive then
        c:unlock(data, LOCKS + number, 1, unlock)
      end
    end
    c:flush(data)
    c:truncate(log, 0)
    own.length, own.logged, own.pages = 0, 0, {}
  end

  ---@type bench.database.Database
  local database = {
    prepare = function(c)
      c:mkdir(root)
      local handle = c:open(path, "w")
      local offset, size = 0, pages * page
      while offset < size do
        c:write(handle, offset, math.min(CREATE_BLOCK, size - offset))
        offset = offset + CREATE_BLOCK
      end
      c:close(handle)
    end,

    clean = function(c)
      c:delete(path, files.MAY_BE_MISSING)
      c:rmdir(root, files.MAY_BE_MISSING)
    end,

    clean_client = function(c)
      c:delete(log_of(c), files.MAY_BE_MISSING)
    end,

    query = function(c, rng)
      local data = data_of(c, state(c))
      for _ = 1, checked.reads do
        local number = rng:zipf(pages, skew) - 1
        if shared then
          c:lock(data, LOCKS + number, 1, shared)
        end
        c:read(data, number * page, page)
        if shared then
          c:unlock(data, LOCKS + number, 1, unlock)
        end
      end
    end,

    transaction = function(c, rng)
      local own = state(c)
      local data, log = data_of(c, own), own.log
      if not log then
        log = c:open(log_of(c), "w", KEPT_OPEN)
        own.log = log
      end
      local list = drawn(rng, checked.writes)
      for _, number in ipairs(list) do
        if exclusive then
          c:lock(data, LOCKS + number, 1, exclusive)
        end
        c:read(data, number * page, page)
      end
      for _, number in ipairs(list) do
        c:write(log, own.length, FRAME + page)
        own.length = own.length + FRAME + page
        own.logged = own.logged + 1
        own.pages[number] = true
      end
      c:flush(log)
      if exclusive then
        for _, number in ipairs(list) do
          c:unlock(data, LOCKS + number, 1, unlock)
        end
      end
      if own.logged >= checked.checkpoint then
        write_back(c, own)
      end
    end,

    checkpoint = function(c)
      write_back(c, state(c))
    end,
  }
  return clients.sections("@bench/database", database)
end

return M
