-- First steps: a small office, for five seconds.
--
--   smbench run examples/first_steps.lua
--   smbench run examples/first_steps.lua --help          lists the parameters
--   smbench run examples/first_steps.lua -p users=20 -p think=5ms
--
-- A script describes what each client does. smbench runs it, sends the
-- operations over SMB at the right time, and measures the answers.

-- Parameters that can be set from outside. P.users is a number, P.think a time
-- in nanoseconds.
local P = bench.params {
  users = { type = "int", default = 8, min = 1, max = 1000, help = "people in the office" },
  think = { type = "duration", default = "20ms", help = "mean time a person thinks between steps" },
  size = { type = "size", default = "128KiB", min = 1, max = "16MiB", help = "size of a document" },
}

-- @bench/office has functions for typical work with documents: browse, view, edit.
local office = require("@bench/office")
local distributions = require("@bench/distributions")

-- Think times vary: most are short, and a few are long.
local think = distributions.exponential(P.think)

-- The first half second is the warm-up and does not count.
bench.phases {
  { name = "warmup", duration = "500ms", record = false },
  { name = "steady", duration = "4500ms" },
}

-- Called once per run, before and after everything else.
bench.setup(function(c)
  c:mkdir("office")
end)

bench.teardown(function(c)
  c:rmdir("office")
end)

-- Each person has a directory of their own.
local function desk(c)
  return { directory = "office/desk" .. c.id, documents = 5, size = P.size, think = think }
end

bench.workload {
  name = "people",
  clients = P.users,

  -- Called once per client.
  setup = function(c, rng)
    office.prepare(c, rng, desk(c))
  end,

  -- Called repeatedly, until the phases are over. rng gives each client its own
  -- random numbers, which are the same on every run.
  iteration = function(c, rng)
    office.browse(c, rng, desk(c))
    if rng:bool(0.3) then
      office.edit(c, rng, desk(c))
    else
      office.view(c, rng, desk(c))
    end
    c:think(think(rng))
  end,

  -- Called once per client, even if the run was interrupted.
  teardown = function(c, rng)
    office.clean(c, rng, desk(c))
  end,
}
