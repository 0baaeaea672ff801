-- Players and cameras; the read-ahead is short, so that a second has paced reads.
local media = require("@bench/media")
local films = media.new { directory = "films", titles = 4, size = "1MiB", bit_rate = 64e6, ahead = "20ms" }

bench.setup(films.prepare)
bench.teardown(films.clean)

bench.workload {
  name = "players",
  clients = 3,
  iteration = films.play,
}

bench.workload {
  name = "cameras",
  clients = 2,
  iteration = films.record,
  teardown = films.clean_client,
}
