-- People who read and save documents, each in a directory of their own.
--
--   smbench run workload.lua
--   smbench run workload.lua --help              lists the parameters
--   smbench run workload.lua -p users=20 --target smb://user@server/share

local documents = require("./lib/documents")

local P = bench.params {
  users = { type = "int", default = 4, min = 1, max = 1000, help = "people at work" },
  size = { type = "size", default = "64KiB", min = 1, max = "16MiB", help = "size of a document" },
  think = { type = "duration", default = "20ms", help = "mean time a person thinks" },
}

-- The first half second is the warm-up and does not count.
bench.phases {
  { name = "warmup", duration = "500ms", record = false },
  { name = "steady", duration = "4500ms" },
}

-- A run fails if one of these does not hold.
bench.thresholds { "errors.rate < 1%", "read.response.p99 < 500ms" }

-- Once per run, before and after everything else.
bench.setup(function(c)
  c:mkdir(documents.root)
end)

bench.teardown(function(c)
  c:rmdir(documents.root)
end)

bench.workload {
  name = "people",
  clients = P.users,

  -- Once per person.
  setup = function(c)
    documents.create(c, P.size)
  end,

  -- Again and again. rng has the random numbers of this person, the same in every run.
  iteration = function(c, rng)
    documents.read(c, documents.any(rng), P.size)
    if rng:bool(0.3) then
      documents.save(c, documents.any(rng), P.size)
    end
    c:think(rng:exp(P.think))
  end,

  -- Once per person, even if the run was interrupted.
  teardown = function(c)
    documents.remove(c)
  end,
}
