-- @bench/office: what people do to documents on a file share.
--
-- Every function takes the client, its random numbers and options, and appends
-- operations to the client's stream. The patterns follow what office suites do
-- over SMB: a lock file beside an open document, saving through a temporary
-- file that replaces the document, reading in blocks, listing a directory before
-- choosing a document. The numbers are a guess.
--
-- Give each client that edits a directory of its own: most servers refuse to
-- replace a document that another client has open.
--
--   local office = require("@bench/office")
--   local function desk(c)
--     return { directory = "desk" .. c.id, documents = 5, think = "20ms" }
--   end
--   bench.workload {
--     name = "people", clients = 8,
--     setup = function(c, rng) office.prepare(c, rng, desk(c)) end,
--     iteration = function(c, rng)
--       office.browse(c, rng, desk(c))
--       office.edit(c, rng, desk(c))
--     end,
--     teardown = function(c, rng) office.clean(c, rng, desk(c)) end,
--   }

local access = require("@bench/access")
local clients = require("@bench/clients")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.office.Options
---@field directory string the directory of the documents
---@field documents? integer number of documents in it (default 20)
---@field size? bench.Size|bench.Distribution size of a document, drawn when a client writes it (default "256KiB"). A client that reads a document that it has not written draws a size for it
---@field block? bench.Size size of one read or write (default "64KiB")
---@field think? bench.Duration|bench.Distribution think time within an activity, such as distributions.exponential("20ms") (default 0: none)

---The options, with defaults filled in.
---@class bench.office.Checked
---@field directory string
---@field documents integer
---@field size bench.Distribution
---@field block integer
---@field think bench.Distribution

local check = checks.checker("@bench/office", {
  { name = "directory", type = "path", needed = "a directory", example = '"team"' },
  { name = "documents", type = "int", default = 20, min = 1 },
  { name = "size", type = "sizes", default = "256KiB", min = 1 },
  { name = "block", type = "size", default = "64KiB", min = 1 },
  { name = "think", type = "durations", default = 0 },
})

-- The sizes of the documents that a client has written or read, by path.
---@type fun(c: bench.Client): table<string, integer?>
local sizes_of = clients.state(function()
  return {}
end)

---@param checked bench.office.Checked
---@param number integer
local function document(checked, number)
  return ("%s/report-%03d.docx"):format(checked.directory, number)
end

---@param checked bench.office.Checked
---@param number integer
local function owner_file(checked, number)
  return ("%s/~$report-%03d.docx"):format(checked.directory, number)
end

---@param checked bench.office.Checked
local function temporary_file(checked)
  return checked.directory .. "/~wrd0001.tmp"
end

---Opens a document and reads it from front to back.
---@param c bench.Client
---@param rng bench.Rng
---@param path string
---@param checked bench.office.Checked
---@return bench.Handle
local function open_and_read(c, rng, path, checked)
  local sizes = sizes_of(c)
  local size = sizes[path] or checked.size(rng)
  sizes[path] = size
  local handle = c:open(path, "r")
  access.read_all(c, handle, size, checked.block)
  return handle
end

---Creates the directory and its documents. Call it in a setup.
---@param c bench.Client
---@param rng bench.Rng
---@param options bench.office.Options
function M.prepare(c, rng, options)
  local checked = check(options)
  local sizes = sizes_of(c)
  c:mkdir(checked.directory)
  for number = 1, checked.documents do
    local path, size = document(checked, number), checked.size(rng)
    local handle = c:open(path, "w")
    access.write_all(c, handle, size, checked.block)
    c:close(handle)
    sizes[path] = size
  end
end

---Removes the directory and all files of `prepare` and `edit`. Call it in a teardown.
---@param c bench.Client
---@param rng bench.Rng
---@param options bench.office.Options
---@diagnostic disable-next-line: unused
function M.clean(c, rng, options)
  local checked = check(options)
  for number = 1, checked.documents do
    c:delete(document(checked, number), files.MAY_BE_MISSING)
    c:delete(owner_file(checked, number), files.MAY_BE_MISSING)
  end
  c:delete(temporary_file(checked), files.MAY_BE_MISSING)
  c:rmdir(checked.directory, files.MAY_BE_MISSING)
end

---Lists the directory and queries some of its documents.
---@param c bench.Client
---@param rng bench.Rng
---@param options bench.office.Options
function M.browse(c, rng, options)
  local checked = check(options)
  c:list(checked.directory, "*.docx")
  for _ = 1, rng:int(1, 4) do
    clients.pause(c, rng, checked.think)
    c:stat(document(checked, rng:int(1, checked.documents)))
  end
end

---Opens a document and reads it from front to back.
---@param c bench.Client
---@param rng bench.Rng
---@param options bench.office.Options
function M.view(c, rng, options)
  local checked = check(options)
  local handle = open_and_read(c, rng, document(checked, rng:int(1, checked.documents)), checked)
  clients.pause(c, rng, checked.think)
  c:close(handle)
end

---Edits a document: marks it as in use, reads it, thinks, and saves it through a
---temporary file that replaces it.
---@param c bench.Client
---@param rng bench.Rng
---@param options bench.office.Options
function M.edit(c, rng, options)
  local checked = check(options)
  local number = rng:int(1, checked.documents)
  local path = document(checked, number)
  local owner = owner_file(checked, number)

  local mark = c:open(owner, "w")
  c:write(mark, 0, 162)
  c:close(mark)

  c:close(open_and_read(c, rng, path, checked))
  clients.pause(c, rng, checked.think)

  local temporary, size = temporary_file(checked), checked.size(rng)
  local saved = c:open(temporary, "w")
  access.write_all(c, saved, size, checked.block)
  c:flush(saved)
  c:close(saved)
  c:rename(temporary, path)
  sizes_of(c)[path] = size
  c:delete(owner)
end

return M
