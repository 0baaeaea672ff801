-- Reload: edit this file while it runs, and compare.
--
--   smbench watch examples/reload.lua
--
-- On a terminal, r reloads now and q ends the run. Without phases a watched run
-- lasts until then; with `smbench run` this lesson takes ten seconds.
--
-- Save the file after each edit below. A line says that the new version was
-- accepted, or why it cannot be run; then the old one goes on. Each client moves
-- when its present iteration has ended, and connections stay up. The figures of
-- the new version are shown beside those of the version before.

local P = bench.params {
  users = { type = "int", default = 8, min = 1, max = 1000, help = "people who save" },
  size = { type = "size", default = "64KiB", min = 1, max = "16MiB", help = "size of a save" },
  think = { type = "duration", default = "20ms", help = "mean time between saves" },
}

local function path(c)
  return ("reload/report%d"):format(c.id)
end

bench.setup(function(c)
  c:mkdir("reload")
end)

bench.workload {
  name = "editors",
  -- Edit: 2 * P.users. Only the added clients run `setup`. With fewer clients,
  -- such as P.users / 2, those that leave run their `teardown`.
  clients = P.users,

  -- `setup` does not run again in a client that stays. What it leaves is there for
  -- every later version, so it leaves a file, and no open handle: a version whose
  -- iterations use a handle from `setup` needs a restart, unless the workload
  -- has `setup_on_reload = true`.
  setup = function(c)
    local h = c:open(path(c), "w")
    c:write(h, 0, P.size)
    c:close(h)
  end,

  iteration = function(c, rng)
    local h = c:open(path(c), "rw")
    -- Edit: write in blocks of 4 KiB, as some programs do. The rate counts
    -- operations, of which a save then has more; summary.json has the time of
    -- whole saves (iterations) in each generation.
    --   for offset = 0, P.size - 1, 4096 do c:write(h, offset, 4096) end
    c:write(h, 0, P.size)
    -- Edit: remove this line. A save is then over before it is on the disk.
    c:flush(h)
    c:close(h)
    c:think(rng:exp(P.think))
  end,

  teardown = function(c)
    c:delete(path(c))
  end,
}

bench.teardown(function(c)
  c:rmdir("reload")
end)

-- Thresholds and hooks of the new version apply as soon as it is accepted.
-- They are judged over the whole run. Edit: 5ms.
bench.thresholds { "write.response.p99 < 5s" }

-- The metrics of a run go on through reloads, and so does plain data in
-- bench.state. Everything else in the script begins anew.
local largest = bench.gauge("editors.largest", { help = "bytes of the largest write" })

bench.on_complete({ ops = { "write" }, status = "ok", fields = { "bytes" } }, function(bytes)
  if bytes > (bench.state.largest or 0) then
    bench.state.largest = bytes
    largest:set(bytes)
  end
end)
