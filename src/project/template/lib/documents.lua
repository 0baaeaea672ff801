-- The documents of one person: created in a setup, read and saved, removed in a teardown.

local M = {}

--- The directory of all people.
M.root = "people"

local COUNT = 10

---@param c bench.Client
local function directory(c)
  return ("%s/%d"):format(M.root, c.id)
end

---@param c bench.Client
---@param number integer
local function path(c, number)
  return ("%s/report-%d.txt"):format(directory(c), number)
end

---@param c bench.Client
---@param name string
---@param size bench.Size
local function write(c, name, size)
  local handle = c:open(name, "w")
  c:write(handle, 0, size)
  c:close(handle)
end

--- Creates the person's directory and documents.
---@param c bench.Client
---@param size bench.Size
function M.create(c, size)
  c:mkdir(directory(c))
  for number = 1, COUNT do
    write(c, path(c, number), size)
  end
end

--- Returns the number of one document.
---@param rng bench.Rng
---@return integer
function M.any(rng)
  return rng:int(1, COUNT)
end

--- Reads a document.
---@param c bench.Client
---@param number integer
---@param size bench.Size
function M.read(c, number, size)
  local handle = c:open(path(c, number), "r")
  c:read(handle, 0, size)
  c:close(handle)
end

--- Saves a document as editors do: writes a new file, and renames it over the old one.
---@param c bench.Client
---@param number integer
---@param size bench.Size
function M.save(c, number, size)
  local temporary = directory(c) .. "/new.tmp"
  write(c, temporary, size)
  c:rename(temporary, path(c, number))
end

--- Removes everything that the other functions can have made. A run that was cut may have stopped
--- anywhere, so that any file may be missing.
---@param c bench.Client
function M.remove(c)
  local may_be_missing = { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } }
  for number = 1, COUNT do
    c:delete(path(c, number), may_be_missing)
  end
  c:delete(directory(c) .. "/new.tmp", may_be_missing)
  c:rmdir(directory(c))
end

return M
