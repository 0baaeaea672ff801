-- @bench/office: what people do to documents on a file share.
--
-- Every function takes the client, its random numbers and options, and appends
-- operations to the client's stream. The patterns follow what office suites do
-- over SMB: a lock file beside an open document, saving through a temporary
-- file that replaces the document, reading in blocks, listing a directory before
-- choosing a document.
--
-- Give each client that edits a directory of its own: most servers refuse to
-- replace a document that another client has open.

local M = {}

---@class bench.office.Options
---@field folder string the directory of the documents
---@field documents? integer number of documents in it (default 20)
---@field size? integer size of a document in bytes (default 256 KiB)
---@field block? integer size of one read or write in bytes (default 64 KiB)
---@field think? integer mean think time in nanoseconds between steps (default 0: none)

---The options, with defaults filled in.
---@class bench.office.Checked
---@field folder string
---@field documents integer
---@field size integer
---@field block integer
---@field think integer

---@type table<string, boolean>
local KNOWN = { folder = true, documents = true, size = true, block = true, think = true }
local DEFAULTS = { documents = 20, size = 256 * 1024, block = 64 * 1024, think = 0 }

---@param options bench.office.Options
---@return bench.office.Checked
local function checked(options)
  if type(options) ~= "table" or type(options.folder) ~= "string" then
    error("@bench/office needs options with a directory, such as { folder = \"team\" }", 3)
  end
  for name in pairs(options --[[@as table]]) do
    if not KNOWN[name] then
      error(("@bench/office has no option '%s'; its options are folder, documents, size, block, think"):format(tostring(name)), 3)
    end
  end
  ---@type any
  local all = { folder = options.folder }
  for name, default in pairs(DEFAULTS) do
    local value = options[name]
    if value == nil then
      value = default
    elseif type(value) ~= "number" or value < 0 or value ~= math.floor(value) then
      error(("@bench/office: %s must be a whole number, not %s"):format(name, tostring(value)), 3)
    end
    all[name] = value
  end
  if all.documents < 1 or all.size < 1 or all.block < 1 then
    error("@bench/office: documents, size and block must be at least 1", 3)
  end
  return all
end

---@param options bench.office.Checked
---@param number integer
local function document(options, number)
  return ("%s/report-%03d.docx"):format(options.folder, number)
end

---@param options bench.office.Checked
---@param number integer
local function owner_file(options, number)
  return ("%s/~$report-%03d.docx"):format(options.folder, number)
end

---@param options bench.office.Checked
local function temporary_file(options)
  return options.folder .. "/~wrd0001.tmp"
end

local function pause(c, rng, options)
  if options.think > 0 then
    c:think(rng:exp(options.think))
  end
end

local function transfer(c, handle, operation, options)
  local offset = 0 ---@type number
  while offset < options.size do
    local length = math.min(options.block, options.size - offset)
    c[operation](c, handle, offset, length)
    offset = offset + length
  end
end

local function write_whole(c, path, options)
  local handle = c:open(path, "w")
  transfer(c, handle, "write", options)
  c:close(handle)
end

--- Creates the directory and its documents. Call it in a setup.
---@param c bench.Client
---@param _ bench.Rng
---@param given bench.office.Options
function M.prepare(c, _, given)
  local options = checked(given)
  c:mkdir(options.folder)
  for number = 1, options.documents do
    write_whole(c, document(options, number), options)
  end
end

--- Removes the directory and all files of `prepare` and `edit`. Call it in a
--- teardown.
---@param c bench.Client
---@param _ bench.Rng
---@param given bench.office.Options
function M.clean(c, _, given)
  local options = checked(given)
  -- A run that was cut may have stopped anywhere, so any file may be missing.
  local may_be_missing = { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } }
  for number = 1, options.documents do
    c:delete(document(options, number), may_be_missing)
    c:delete(owner_file(options, number), may_be_missing)
  end
  c:delete(temporary_file(options), may_be_missing)
  c:rmdir(options.folder)
end

--- Lists the directory and queries some of its documents.
---@param c bench.Client
---@param rng bench.Rng
---@param given bench.office.Options
function M.browse(c, rng, given)
  local options = checked(given)
  c:list(options.folder, "*.docx")
  for _ = 1, rng:int(1, 4) do
    pause(c, rng, options)
    c:stat(document(options, rng:int(1, options.documents)))
  end
end

--- Opens a document and reads it from front to back.
---@param c bench.Client
---@param rng bench.Rng
---@param given bench.office.Options
function M.view(c, rng, given)
  local options = checked(given)
  local handle = c:open(document(options, rng:int(1, options.documents)), "r")
  transfer(c, handle, "read", options)
  pause(c, rng, options)
  c:close(handle)
end

--- Edits a document: marks it as in use, reads it, thinks, and saves it through
--- a temporary file that replaces it.
---@param c bench.Client
---@param rng bench.Rng
---@param given bench.office.Options
function M.edit(c, rng, given)
  local options = checked(given)
  local number = rng:int(1, options.documents)
  local path = document(options, number)
  local owner = owner_file(options, number)

  local mark = c:open(owner, "w")
  c:write(mark, 0, 162)
  c:close(mark)

  local handle = c:open(path, "r")
  transfer(c, handle, "read", options)
  c:close(handle)
  pause(c, rng, options)

  local temporary = temporary_file(options)
  local saved = c:open(temporary, "w")
  transfer(c, saved, "write", options)
  c:flush(saved)
  c:close(saved)
  c:rename(temporary, path)
  c:delete(owner)
end

return M
