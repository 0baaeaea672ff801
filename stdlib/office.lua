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

local access = require("@bench/access")
local files = require("@bench/files")
local options = require("@bench/options")

local M = {}

---@class (exact) bench.office.Options
---@field folder string the directory of the documents
---@field documents? integer number of documents in it (default 20)
---@field size? bench.Size size of a document (default "256KiB")
---@field block? bench.Size size of one read or write (default "64KiB")
---@field think? bench.Duration mean think time within an activity (default 0: none)

---The options, with defaults filled in.
---@class bench.office.Checked
---@field folder string
---@field documents integer
---@field size integer
---@field block integer
---@field think integer

local check = options.checker("@bench/office", {
  { name = "folder", type = "path", needed = "a directory", example = '"team"' },
  { name = "documents", type = "int", default = 20, min = 1 },
  { name = "size", type = "size", default = "256KiB", min = 1 },
  { name = "block", type = "size", default = "64KiB", min = 1 },
  { name = "think", type = "duration", default = 0 },
})

---@param checked bench.office.Checked
---@param number integer
local function document(checked, number)
  return ("%s/report-%03d.docx"):format(checked.folder, number)
end

---@param checked bench.office.Checked
---@param number integer
local function owner_file(checked, number)
  return ("%s/~$report-%03d.docx"):format(checked.folder, number)
end

---@param checked bench.office.Checked
local function temporary_file(checked)
  return checked.folder .. "/~wrd0001.tmp"
end

---@param c bench.Client
---@param rng bench.Rng
---@param checked bench.office.Checked
local function pause(c, rng, checked)
  if checked.think > 0 then
    c:think(rng:exp(checked.think))
  end
end

---@param c bench.Client
---@param path string
---@param checked bench.office.Checked
local function write_whole(c, path, checked)
  local handle = c:open(path, "w")
  access.write_all(c, handle, checked.size, checked.block)
  c:close(handle)
end

--- Creates the directory and its documents. Call it in a setup.
---@param c bench.Client
---@param _ bench.Rng
---@param given bench.office.Options
function M.prepare(c, _, given)
  local checked = check(given)
  c:mkdir(checked.folder)
  for number = 1, checked.documents do
    write_whole(c, document(checked, number), checked)
  end
end

--- Removes the directory and all files of `prepare` and `edit`. Call it in a
--- teardown.
---@param c bench.Client
---@param _ bench.Rng
---@param given bench.office.Options
function M.clean(c, _, given)
  local checked = check(given)
  for number = 1, checked.documents do
    c:delete(document(checked, number), files.MAY_BE_MISSING)
    c:delete(owner_file(checked, number), files.MAY_BE_MISSING)
  end
  c:delete(temporary_file(checked), files.MAY_BE_MISSING)
  c:rmdir(checked.folder, files.MAY_BE_MISSING)
end

--- Lists the directory and queries some of its documents.
---@param c bench.Client
---@param rng bench.Rng
---@param given bench.office.Options
function M.browse(c, rng, given)
  local checked = check(given)
  c:list(checked.folder, "*.docx")
  for _ = 1, rng:int(1, 4) do
    pause(c, rng, checked)
    c:stat(document(checked, rng:int(1, checked.documents)))
  end
end

--- Opens a document and reads it from front to back.
---@param c bench.Client
---@param rng bench.Rng
---@param given bench.office.Options
function M.view(c, rng, given)
  local checked = check(given)
  local handle = c:open(document(checked, rng:int(1, checked.documents)), "r")
  access.read_all(c, handle, checked.size, checked.block)
  pause(c, rng, checked)
  c:close(handle)
end

--- Edits a document: marks it as in use, reads it, thinks, and saves it through
--- a temporary file that replaces it.
---@param c bench.Client
---@param rng bench.Rng
---@param given bench.office.Options
function M.edit(c, rng, given)
  local checked = check(given)
  local number = rng:int(1, checked.documents)
  local path = document(checked, number)
  local owner = owner_file(checked, number)

  local mark = c:open(owner, "w")
  c:write(mark, 0, 162)
  c:close(mark)

  local handle = c:open(path, "r")
  access.read_all(c, handle, checked.size, checked.block)
  c:close(handle)
  pause(c, rng, checked)

  local temporary = temporary_file(checked)
  local saved = c:open(temporary, "w")
  access.write_all(c, saved, checked.size, checked.block)
  c:flush(saved)
  c:close(saved)
  c:rename(temporary, path)
  c:delete(owner)
end

return M
