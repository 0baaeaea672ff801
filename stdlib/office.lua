-- std.office: what people do to documents on a file share.
--
-- Every function takes the client, its random numbers and options, and appends
-- operations to the client's stream. The patterns follow what office suites do
-- over SMB: a lock file beside an open document, saving through a temporary
-- file that replaces the document, reading in blocks, listing a folder before
-- picking from it.
--
-- Give each client that edits a folder of its own: most servers refuse to
-- replace a document that another client has open.

local M = {}

---@class std.office.Options
---@field folder string the folder the documents lie in
---@field documents? integer how many documents it holds (default 20)
---@field size? integer bytes of a document (default 256 KiB)
---@field block? integer bytes of one read or write (default 64 KiB)
---@field think? integer mean think time in nanoseconds between steps (default 0: none)

---The same, with all of them there.
---@class std.office.Checked
---@field folder string
---@field documents integer
---@field size integer
---@field block integer
---@field think integer

---@type table<string, boolean>
local KNOWN = { folder = true, documents = true, size = true, block = true, think = true }
local DEFAULTS = { documents = 20, size = 256 * 1024, block = 64 * 1024, think = 0 }

---@param options std.office.Options
---@return std.office.Checked
local function checked(options)
  if type(options) ~= "table" or type(options.folder) ~= "string" then
    error("std.office needs options with a folder, such as { folder = \"team\" }", 3)
  end
  for name in pairs(options --[[@as table]]) do
    if not KNOWN[name] then
      error(("std.office has no option '%s'; there is folder, documents, size, block, think"):format(tostring(name)), 3)
    end
  end
  ---@type any
  local all = { folder = options.folder }
  for name, default in pairs(DEFAULTS) do
    local value = options[name]
    if value == nil then
      value = default
    elseif type(value) ~= "number" or value < 0 or value ~= math.floor(value) then
      error(("std.office: %s is a whole number, not %s"):format(name, tostring(value)), 3)
    end
    all[name] = value
  end
  if all.documents < 1 or all.size < 1 or all.block < 1 then
    error("std.office: documents, size and block are at least 1", 3)
  end
  return all
end

---@param options std.office.Checked
---@param number integer
local function document(options, number)
  return ("%s/report-%03d.docx"):format(options.folder, number)
end

---@param options std.office.Checked
---@param number integer
local function owner_file(options, number)
  return ("%s/~$report-%03d.docx"):format(options.folder, number)
end

---@param options std.office.Checked
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

--- Makes the folder and its documents; for a setup.
---@param c bench.Client
---@param _ bench.Rng
---@param given std.office.Options
function M.prepare(c, _, given)
  local options = checked(given)
  c:mkdir(options.folder)
  for number = 1, options.documents do
    write_whole(c, document(options, number), options)
  end
end

--- Removes the folder and all that `prepare` and `edit` may have left in it; for
--- a teardown.
---@param c bench.Client
---@param _ bench.Rng
---@param given std.office.Options
function M.clean(c, _, given)
  local options = checked(given)
  -- A run that was cut may have stopped anywhere.
  local perhaps = { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } }
  for number = 1, options.documents do
    c:delete(document(options, number), perhaps)
    c:delete(owner_file(options, number), perhaps)
  end
  c:delete(temporary_file(options), perhaps)
  c:rmdir(options.folder)
end

--- Lists the folder and looks at some of its documents.
---@param c bench.Client
---@param rng bench.Rng
---@param given std.office.Options
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
---@param given std.office.Options
function M.view(c, rng, given)
  local options = checked(given)
  local handle = c:open(document(options, rng:int(1, options.documents)), "r")
  transfer(c, handle, "read", options)
  pause(c, rng, options)
  c:close(handle)
end

--- Edits a document: marks it as in use, reads it, thinks, and saves it through
--- a temporary file that takes its place.
---@param c bench.Client
---@param rng bench.Rng
---@param given std.office.Options
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
