-- People who look for a document.

local M = {}

--- Lists the directory of all documents.
---@param c bench.Client
function M.list(c)
  c:list("")
end

return M
