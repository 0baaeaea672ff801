-- @bench/clients: the state that a script keeps for each of its clients.
--
-- The clients of a script share its variables. Several threads may run the clients,
-- each in its own VM. Keep everything that changes for each client:
--
--   local clients = require("@bench/clients")
--   local counts = clients.state(function() return { saved = 0 } end)
--   …
--   iteration = function(c)
--     local own = counts(c)
--     own.saved = own.saved + 1
--   end

local M = {}

---Returns a function that returns the state of a client. The first call for a client makes
---it with `make`.
---@generic T
---@param make fun(c: bench.Client): T
---@return fun(c: bench.Client): T
function M.state(make)
  ---@type table<string, any>
  local states = {}
  return function(c)
    local user = c.user
    local state = states[user]
    if state == nil then
      state = make(c)
      states[user] = state
    end
    return state
  end
end

-- Names that only a client has: the functions of modules get them from their first argument.
---@type table<string, boolean?>
local OF_CLIENT = { user = true, id = true, mkdir = true, rmdir = true, open = true, list = true, stat = true }

---Returns a module's table of functions that take a client. A name that the table does not
---have is then an error, and so is a call with a colon, which passes the table as the
---client.
---@generic T: table
---@param module string the name of the module in errors, such as "@bench/mail"
---@param functions T
---@return T
function M.sections(module, functions)
  return setmetatable(functions, {
    __index = function(_, name)
      if OF_CLIENT[name] then
        error(module .. ": a function was called with a colon: write a dot, such as x.prepare(c, rng)", 3)
      end
      local names = {} ---@type string[]
      for known in pairs(functions) do
        names[#names + 1] = tostring(known)
      end
      table.sort(names)
      error(("%s has no function '%s'; it has %s"):format(module, tostring(name), table.concat(names, ", ")), 2)
    end,
  })
end

---Delays the client's next operation by a time that `draw` returns. A time below a
---microsecond is skipped.
---@param c bench.Client
---@param rng bench.Rng
---@param draw bench.Distribution
function M.pause(c, rng, draw)
  local time = draw(rng)
  if time >= 1000 then
    c:think(time)
  end
end

return M
