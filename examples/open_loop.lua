-- Open loop: work arrives at a rate, whether the server keeps up or not.
--
--   smbench run examples/open_loop.lua
--   smbench run examples/open_loop.lua -p peak=800
--
-- In a closed loop a slow server gets fewer requests, and looks better than it
-- is. Here iterations arrive independently, as requests of real users do.
-- Response times count from the arrival and include waiting.

local P = bench.params {
  peak = { type = "float", default = 200, min = 1, max = 1e6, help = "lookups a second at noon" },
}

bench.phases {
  { name = "warmup", duration = "500ms", record = false },
  { name = "morning", duration = "1500ms" },
  { name = "noon", duration = "1s" },
  { name = "break", duration = "500ms" },
  { name = "evening", duration = "1s" },
}

bench.setup(function(c)
  c:mkdir("desk")
  local h = c:open("desk/catalogue", "w")
  c:write(h, 0, "256KiB")
  c:close(h)
end)

bench.teardown(function(c)
  c:delete("desk/catalogue")
  c:rmdir("desk")
end)

bench.workload {
  name = "lookups",
  -- Enough clients that one is free when the next lookup arrives. Each client
  -- gets every sixteenth lookup.
  clients = 16,
  pace = bench.open_loop {
    -- Iterations per second of the whole workload, phase by phase. A ramp
    -- without `from` begins at the final rate of the previous phase.
    rate = {
      warmup = 50,
      morning = { to = P.peak },
      noon = P.peak,
      ["break"] = 0,
      evening = { from = P.peak, to = 20 },
    },
    -- "poisson" spaces arrivals randomly (a Poisson process of that rate), as
    -- real users arrive. "constant" spaces them evenly.
    arrivals = "poisson",
    -- An arrival whose client is busy waits, and its response time includes the
    -- wait.
    late = "queue",
  },
  iteration = function(c, rng)
    local h = c:open("desk/catalogue", "r")
    c:read(h, rng:int(0, 63) * 4096, 4096)
    c:close(h)
  end,
}

bench.workload {
  name = "heartbeats",
  clients = 2,
  pace = bench.open_loop {
    rate = 20,
    -- A late heartbeat is useless, so it is dropped and counted.
    late = "drop",
  },
  iteration = function(c)
    c:stat("desk/catalogue")
  end,
}
