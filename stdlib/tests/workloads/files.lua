-- Clients that create, read and delete files of their own part of a shared set.
local distributions = require("@bench/distributions")
local files = require("@bench/files")

local CLIENTS = 3
local set = files.set {
  root = "fileserver",
  files = 60,
  per_directory = 10,
  size = distributions.gamma("8KiB", 1.5),
  exists = 0.8,
}

bench.setup(function(c)
  set:create_directories(c)
end)

bench.teardown(function(c)
  set:remove_directories(c)
end)

bench.workload {
  name = "users",
  clients = CLIENTS,
  setup = function(c)
    set:create(c, c.id, CLIENTS)
  end,
  iteration = function(c, rng)
    local part = set:part_of(c, CLIENTS)
    local new = part:free(rng)
    if new then
      set:write_whole(c, new)
      part:created(new)
    end
    local old = part:existing(rng)
    if old then
      set:read_whole(c, old)
      c:delete(set:path(old))
      part:deleted(old)
    end
  end,
  teardown = function(c)
    set:remove(c, c.id, CLIENTS)
  end,
}
