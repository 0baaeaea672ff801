-- Thresholds: what a run must hold, and its exit code 99 where it does not.
--
--   smbench run examples/thresholds.lua
--   smbench run examples/thresholds.lua --threshold 'read.response.p999 < 50ms'
--
-- A threshold is a metric, how it compares, and a value in the metric's unit.
-- The report begins with them. In a pipeline the exit code is enough.

bench.phases {
  { name = "warmup", duration = "500ms", record = false },
  { name = "steady", duration = "3s" },
}

bench.thresholds {
  -- Of every operation sent in the recorded phases, from when it was due.
  "all.response.p99 < 5s",
  -- The share of operations that failed. A passing threshold on errors decides
  -- instead of exit code 4: here one in a hundred may fail.
  "errors.rate < 1%",
  "errors.SHARING_VIOLATION == 0",
  -- Throughput: operations, iterations or bytes a second.
  "read.rate > 1",
  "bytes.read.rate > 4KiB/s",
  -- Of one phase and one workload. `abort` ends the run as soon as it fails,
  -- once there are 100 operations and the phase has lasted for `delay`
  -- (5 s unless it is said).
  { "read.response.p50 < 5s", phase = "steady", workload = "readers", abort = true, delay = "1s" },
}

bench.setup(function(c)
  c:mkdir("thresholds")
  local h = c:open("thresholds/shared", "w")
  c:write(h, 0, "64KiB")
  c:close(h)
end)

bench.workload {
  name = "readers",
  clients = 4,
  iteration = function(c, rng)
    local h = c:open("thresholds/shared", "r")
    c:read(h, rng:int(0, 15) * 4096, "4KiB")
    c:close(h)
    c:think("20ms")
  end,
}

bench.teardown(function(c)
  c:delete("thresholds/shared")
  c:rmdir("thresholds")
end)
