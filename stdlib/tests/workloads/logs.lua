-- Services that append to logs, which are rotated often.
local logs = require("@bench/logs")
local log = logs.new { directory = "logs", rotate = "2KiB", keep = 3, flush = 0.1 }

bench.setup(log.prepare)
bench.teardown(log.clean)

bench.workload {
  name = "services",
  clients = 3,
  iteration = bench.choose { { 90, log.append }, { 10, log.tail } },
  teardown = log.clean_client,
}
