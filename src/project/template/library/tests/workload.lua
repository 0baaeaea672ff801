-- A workload that uses the library as other projects do.
--
--   smbench run tests/workload.lua

local library = require("../init")

bench.workload {
  name = "readers",
  clients = 2,
  setup = function(c)
    library.create(c)
  end,
  iteration = function(c)
    library.read(c)
    c:think("10ms")
  end,
  teardown = function(c)
    library.remove(c)
  end,
}
