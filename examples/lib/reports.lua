-- A module: operations on a directory of reports. examples/modules.lua uses it.
--
-- A module returns one value, usually a table of functions. It is loaded once and
-- cannot be changed by the scripts that use it.

local M = {}

---Makes the directory of a client, with one report in it.
---@param c bench.Client
---@param directory string
function M.prepare(c, directory)
  c:mkdir(directory)
  local h = c:open(directory .. "/report", "w")
  c:write(h, 0, "64KiB")
  c:close(h)
end

---Reads the report, and appends a line to it.
---@param c bench.Client
---@param directory string
function M.extend(c, directory)
  local h = c:open(directory .. "/report", "rw")
  c:read(h, 0, "64KiB")
  c:write(h, 65536 + 80 * c.iteration, 80)
  c:close(h)
end

---Removes what `prepare` made.
---@param c bench.Client
---@param directory string
function M.clean(c, directory)
  c:delete(directory .. "/report")
  c:rmdir(directory)
end

return M
