-- People who read documents, each in a directory of their own.

local P = bench.params {
  doc_size = { type = "size", default = "64KiB", min = 1, max = "16MiB", help = "size of a document" },
}

local M = {}

---@param c bench.Client
local function path(c)
  return ("reader%d.txt"):format(c.id)
end

--- Creates the document of one person. Call it in `setup`.
---@param c bench.Client
function M.create(c)
  local handle = c:open(path(c), "w")
  c:write(handle, 0, P.doc_size)
  c:close(handle)
end

--- Reads the document. Call it in `iteration`.
---@param c bench.Client
function M.read(c)
  local handle = c:open(path(c), "r")
  c:read(handle, 0, P.doc_size)
  c:close(handle)
end

--- Removes the document, which a run that was cut may not have created. Call it in `teardown`.
---@param c bench.Client
function M.remove(c)
  c:delete(path(c), { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
end

return M
