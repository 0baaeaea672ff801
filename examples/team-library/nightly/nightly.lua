-- The nightly experiment of another team, which uses the library of the platform team.
--
--   smbench lib sync
--   smbench run nightly.lua --profile nightly

local office = require("@office")

local P = bench.params {
  people = { type = "int", default = 2, min = 1, max = 1000, help = "people who write" },
}

bench.workload {
  name = "writers",
  clients = P.people,
  iteration = function(c, rng)
    office.save(c)
    c:think(rng:exp("20ms"))
  end,
  teardown = function(c)
    office.remove(c)
  end,
}
