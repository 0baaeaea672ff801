-- Holders, readers and writers of two files.
local contention = require("@bench/contention")
local shared = contention.new { directory = "shared", files = 2, on_break = { delay = "5ms", flush = true } }

bench.setup(shared.prepare)
bench.teardown(shared.clean)

bench.workload { name = "holders", clients = 2, iteration = shared.hold }
bench.workload { name = "readers", clients = 2, iteration = shared.read }
bench.workload { name = "writers", iteration = bench.choose { { 50, shared.write }, { 50, shared.replace } } }

bench.thresholds { "breaks.acknowledged > 0", "breaks.ignored == 0" }
