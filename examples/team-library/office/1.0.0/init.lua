-- People who write documents, each in a directory of their own.

local P = bench.params {
  doc_size = { type = "size", default = "64KiB", min = 1, max = "16MiB", help = "size of a document" },
}

local M = {}

---@param c bench.Client
local function path(c)
  return ("writer%d.docx"):format(c.id)
end

--- Writes the document anew, as a person does who saves it.
---@param c bench.Client
function M.save(c)
  local handle = c:open(path(c), "w")
  c:write(handle, 0, P.doc_size)
  c:flush(handle)
  c:close(handle)
end

--- Removes the document, which a run that was cut may not have written.
---@param c bench.Client
function M.remove(c)
  c:delete(path(c), { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
end

return M
