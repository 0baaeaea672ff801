-- Desks that query and change a small database.
local database = require("@bench/database")
local orders = database.new { directory = "db", pages = 64, checkpoint = 10 }

bench.setup(orders.prepare)
bench.teardown(orders.clean)

bench.workload {
  name = "desks",
  clients = 4,
  iteration = bench.choose { { 70, orders.query }, { 28, orders.transaction }, { 2, orders.checkpoint } },
  teardown = orders.clean_client,
}
