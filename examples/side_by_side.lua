-- Several workloads side by side, in phases, and operations at given times.
--
--   smbench run examples/side_by_side.lua
--   smbench run examples/side_by_side.lua --clients writers=4 --clients readers=32
--
-- Each workload has its own clients. The report shows each workload and each
-- phase separately.

bench.phases {
  { name = "warmup", duration = "1s", record = false },
  { name = "steady", duration = "3s" },
  { name = "late", duration = "1s" },
}

bench.setup(function(c)
  c:mkdir("shared")
  local h = c:open("shared/book", "w")
  c:write(h, 0, "1MiB")
  c:close(h)
end)

bench.teardown(function(c)
  c:delete("shared/book")
  c:rmdir("shared")
end)

bench.workload {
  name = "readers",
  clients = 8,
  iteration = function(c, rng)
    local h = c:open("shared/book", "r")
    -- c:running() is for loops that keep something open. Each round counts as
    -- an iteration, and the loop ends where the stream does.
    while c:running() do
      c:read(h, rng:int(0, 15) * 65536, 65536)
      c:think(rng:exp(5e6)) -- numbers are nanoseconds: 5 ms on average
    end
    c:close(h)
  end,
}

bench.workload {
  name = "writers",
  clients = 2,
  iteration = function(c)
    local path = ("shared/note-%d"):format(c.id)
    -- Once every 100 ms from the start of the run, however long each iteration
    -- takes.
    c:at(c.iteration * 100e6)
    local h = c:open(path, "w")
    c:write(h, 0, 4096)
    c:close(h)
  end,
  teardown = function(c)
    c:delete(("shared/note-%d"):format(c.id), { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
  end,
}
