-- People at work in their homes.
local homes = require("@bench/homes")
local people = homes.new { directory = "home", files = 10, per_directory = 4, think = "1ms" }

bench.setup(people.prepare)
bench.teardown(people.clean)

bench.workload {
  name = "people",
  clients = 3,
  setup = people.prepare_client,
  iteration = bench.choose { { 5, people.login }, { 95, people.work } },
  teardown = people.clean_client,
}
