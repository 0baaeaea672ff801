-- @bench/clients: the state that a script keeps for each of its clients.
--
-- The clients of a script share its variables, and several threads may each make a
-- part of them. So whatever changes must be kept for each client:
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
