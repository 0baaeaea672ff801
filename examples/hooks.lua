-- Custom metrics, computed from the results of operations.
--
--   smbench run examples/hooks.lua
--   smbench run examples/hooks.lua --target smb://ada@nas/team -p slow=50ms

local P = bench.params {
  users = { type = "int", default = 4, min = 1, help = "simulated users" },
  slow = { type = "duration", default = "20ms", help = "what a user calls slow" },
}

bench.phases {
  { name = "warmup", duration = "1s", record = false },
  { name = "steady", duration = "4s" },
}

bench.setup(function(c)
  c:mkdir("saves")
end)

-- An editor that saves as editors do: it writes a new file, then renames it
-- over the old one.
bench.workload {
  name = "editors",
  clients = P.users,
  iteration = function(c, rng)
    local name = ("saves/report%d"):format(c.id)
    local h = c:open(name .. ".tmp", "w")
    c:write(h, 0, rng:int(4, 64) * 1024)
    c:close(h)
    c:rename(name .. ".tmp", name .. ".docx")
    c:think(rng:exp(20e6))
  end,
  teardown = function(c)
    c:delete(("saves/report%d.tmp"):format(c.id), { expect = "any" })
    c:delete(("saves/report%d.docx"):format(c.id), { expect = "any" })
  end,
}

bench.teardown(function(c)
  c:rmdir("saves")
end)

-- Hooks run beside the load, in a VM of their own. They see the operations of
-- recorded phases and can update metrics.
local saves = bench.histogram("editors.save", { unit = "ns", help = "a save, as the user waits for it" })
local written = bench.counter("editors.written", { help = "bytes, by what became of them" })
local slow = bench.rate("editors.slow", { help = "saves slower than a user likes" })

bench.on_complete({ ops = { "rename" }, status = "ok", fields = { "response_ns" } }, function(ns)
  saves:record(ns)
  slow:observe(ns > P.slow)
end)

bench.on_complete({ ops = { "write" }, fields = { "status", "bytes" } }, function(status, bytes)
  written:add(bytes, { status = status })
  if status == bench.status.DISK_FULL then
    bench.abort("the share is full")
  end
end)

bench.on_end(function(summary)
  local save = summary.metrics["editors.save"]
  if save.count > 0 then
    print(("%d saves, half of them within %.2f ms"):format(save.count, save.p50 / 1e6))
  end
end)
