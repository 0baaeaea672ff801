-- Thresholds: conditions that a run must meet. If one fails, the exit code is
-- 99.
--
--   smbench run examples/thresholds.lua
--   smbench run examples/thresholds.lua --threshold 'read.response.p999 < 50ms'
--
-- A threshold is a metric, an operator, and a value in the metric's unit. The
-- report begins with the thresholds. In a pipeline the exit code is enough.

bench.phases {
  { name = "warmup", duration = "500ms", record = false },
  { name = "steady", duration = "3s" },
}

bench.thresholds {
  -- All operations sent in the recorded phases, measured from when each was
  -- due.
  "all.response.p99 < 5s",
  -- The share of operations that failed. Failures that a passing threshold on
  -- errors counts do not cause exit code 4: here one in a hundred may fail.
  "errors.rate < 1%",
  "errors.SHARING_VIOLATION == 0",
  -- Throughput: operations, iterations or bytes per second.
  "read.rate > 1",
  "bytes.read.rate > 4KiB/s",
  -- A threshold on one phase and one workload. `abort` ends the run as soon as
  -- the threshold fails, once there are 100 operations and the phase has lasted
  -- for `delay` (default 5 s).
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
