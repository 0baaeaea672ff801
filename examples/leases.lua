-- Leases: rights to cache that a server grants to one client and breaks for
-- another.
--
--   smbench run examples/leases.lua
--   smbench run examples/leases.lua --oplog        logs every grant and break, one per line
--   smbench run examples/leases.lua --mode 1       is refused: leases need mode 2
--   smbench run examples/leases.lua --mode 1 --degrade   runs without leases; the thresholds fail
--
-- An editor opens a document with a lease to cache reads, writes and the
-- handle. When a reader opens it, the server breaks the right to cache writes.
-- The editor flushes and acknowledges, and only then does the reader's open
-- end. For oplocks write { requested_oplock = "batch" }; the embedded server
-- grants none.

bench.phases { { name = "steady", duration = "3s" } }

-- How editors answer a break. With policy = "ignore" they send no answer, and a
-- server waits 35 s before it gives up. A single open can have a policy of its
-- own:
-- c:open(path, "rw", { lease = "RWH", on_break = { delay = "100ms" } })
bench.on_break { workload = "editors", policy = "acknowledge", delay = "20ms", flush = true }

bench.setup(function(c)
  c:mkdir("leases")
end)

bench.workload {
  name = "editors",
  clients = 2,
  setup = function(c)
    c:close(c:open("leases/" .. c.id, "w"))
  end,
  iteration = function(c, rng)
    local h = c:open("leases/" .. c.id, "rw", { lease = "RWH" })
    for _ = 1, 5 do
      c:write(h, rng:int(0, 15) * 4096, "4KiB")
      c:think("50ms")
    end
    c:close(h)
  end,
  teardown = function(c)
    c:delete("leases/" .. c.id)
  end,
}

bench.workload {
  name = "readers",
  clients = 2,
  iteration = function(c)
    c:think("200ms")
    local h = c:open("leases/" .. c.id, "r")
    c:read(h, 0, "4KiB")
    c:close(h)
  end,
}

-- The grant, as hooks see it: "RWH", "RH", "R" or "none" for a lease, "batch",
-- "exclusive", "ii" or "none" for an oplock.
local granted = bench.counter("leases.granted", { tags = { "what" } })
bench.on_complete({
  ops = "open",
  workload = "editors",
  status = "ok",
  fields = { "granted", "create_action" },
}, function(what, action)
  granted:add(1, { what = (what or "unknown") .. " of a file " .. (action or "unknown") })
end)

bench.thresholds {
  "open.granted.RWH > 0",
  "breaks.acknowledged > 0",
  "breaks.ignored == 0",
  -- The time from the server's notice to the end of the break. A reader waits
  -- for as long.
  "breaks.lasted.p50 < 5s",
}

bench.teardown(function(c)
  c:rmdir("leases")
end)
