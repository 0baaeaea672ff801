-- Builders of a small project.
local build = require("@bench/build")
local project = build.new { directory = "project", sources = 20, headers = 10, per_directory = 5, link = 4 }

bench.setup(project.prepare)
bench.teardown(project.clean)

bench.workload {
  name = "builders",
  clients = 3,
  setup = project.prepare_client,
  iteration = project.compile,
  teardown = project.clean_client,
}
