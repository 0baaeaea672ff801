-- Transforms: recorded operations, changed on their way to the server.
--
--   smbench run examples/transforms.lua
--   smbench run examples/transforms.lua -p clients=20 -p speed=4
--   smbench compile examples/transforms.lua --duration 3s -o busy.jsonl
--
-- captures/morning.jsonl is a document: the operations of two people, with the times
-- at which they made them. bench.load reads it, and bench.transform passes it through
-- stages, in their order. Operations are read as they are needed, so a long document
-- needs no more memory.
--
-- A path in the script starts from the script's directory. To use a document of your
-- own, name it on the command line: -p capture=day.jsonl

local P = bench.params {
  capture = { type = "string", default = "captures/morning.jsonl", help = "the document" },
  clients = { type = "int", default = 6, min = 2, max = 1000, help = "people, clones included" },
  speed = { type = "float", default = 2, min = 0.01, max = 100, help = "2 is twice as fast" },
}

bench.phases { { name = "morning", duration = "3s" } }

bench.transform(bench.load(P.capture), {
  -- Drops the temporary files. With an open, everything done on its handle is dropped.
  bench.filter { path = "!*.tmp" },

  bench.time_warp { factor = 1 / P.speed },

  -- A function may change an operation, drop it, or make others of it. It is the one
  -- stage that calls Lua for each operation.
  bench.map(function(op, emit, rng)
    if op.kind == "read" then
      op.length = rng:pick({ 4096, 16384 })
    end
    emit(op)
    if op.kind == "open" then
      emit:stat(op.path)
    end
  end),

  -- Adds clones. The two people are clone 0; each further pair works in a directory of
  -- its own: clone1, clone2, ...
  bench.scale_clients { to = P.clients, jitter = "200ms" },

  bench.repeat_stream { times = 3 },
})

-- A workload of the script runs beside the recorded one. Thresholds and hooks are for
-- both.
bench.workload {
  name = "backup",
  clients = 1,
  iteration = function(c)
    c:list("desk")
    c:think("100ms")
  end,
}

bench.thresholds { { "read.failed == 0", workload = "desk" } }

-- Removes the directories of the clones. (With --clean the run would do it.)
bench.teardown(function(c)
  for k = 1, math.ceil(P.clients / 2) - 1 do
    c:rmdir("clone" .. k, { expect = "any" })
  end
end)
