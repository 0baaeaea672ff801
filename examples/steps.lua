-- Steps: measure what a user waits for.
--
--   smbench run examples/steps.lua
--   smbench run examples/steps.lua --threshold 'step.save.response.p99 < 5ms'
--
-- A user who saves a document waits for several operations. A step measures them
-- as one: the report has a row for each step beside those of the operations. The
-- two opens below have different purposes, and their steps tell them apart.

bench.phases { { name = "steady", duration = "3s" } }

bench.setup(function(c)
  c:mkdir("steps")
end)

bench.teardown(function(c)
  c:rmdir("steps")
end)

-- A step returns what its function returns. Its time runs from when its first
-- operation is due to the end of its last. Thinking between its operations is a
-- part of it.
local function load(c, path)
  return c:step("load", function()
    local h = c:open(path, "rw")
    c:read(h, 0, "64KiB")
    return h
  end)
end

-- Saves as many programs do: writes a copy, and then renames it over the original.
local function save(c, path)
  c:step("save", function()
    local copy = c:open(path .. ".tmp", "w")
    c:write(copy, 0, "64KiB")
    c:flush(copy)
    c:close(copy)
    c:rename(path .. ".tmp", path)
  end)
end

bench.workload {
  name = "editors",
  clients = 4,
  setup = function(c)
    local h = c:open("steps/" .. c.user, "w")
    c:write(h, 0, "64KiB")
    c:close(h)
  end,
  iteration = function(c, rng)
    local path = "steps/" .. c.user
    -- A step may contain steps, but these contain none. Loads and saves are also part of
    -- the session.
    c:step("session", function()
      local h = load(c, path)
      c:close(h)
      c:think(rng:exp(20e6))
      save(c, path)
    end)
    c:think(rng:exp(50e6))
  end,
  teardown = function(c)
    c:delete("steps/" .. c.user)
    c:delete("steps/" .. c.user .. ".tmp", { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
  end,
}

-- Thresholds on steps are written as those on operations.
bench.thresholds {
  "step.save.response.p99 < 1s",
  "step.save.failed == 0",
}
