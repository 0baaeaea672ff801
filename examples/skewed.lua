-- Skewed: popular files, sizes with a long tail, a mix of activities.
--
--   smbench run examples/skewed.lua
--   smbench run examples/skewed.lua -p skew=0 -p files=200
--
-- Real file servers are not used evenly. A few files get most of the requests,
-- most files are small and a few are large, and people pause now and then. rng
-- has the distributions for that. Its numbers are the same on every run and on
-- every host, and differ with another --seed.

local P = bench.params {
  users = { type = "int", default = 8, min = 1, max = 1000, help = "people at work" },
  files = { type = "int", default = 50, min = 1, max = 1000, help = "files they share" },
  size = { type = "size", default = "16KiB", min = 1, max = "1MiB", help = "median size of a file" },
  skew = { type = "float", default = 1, min = 0, max = 5, help = "0: all files are as popular" },
  think = { type = "duration", default = "10ms", help = "mean time between two steps" },
}

bench.phases {
  { name = "warmup", duration = "500ms", record = false },
  { name = "steady", duration = "2s" },
}

-- Data that all clients share is drawn once, at the top. Half of the files are
-- smaller than the median, and one in six is more than e times the median.
local common = bench.rng("sizes")
local sizes = {}
for number = 1, P.files do
  sizes[number] = math.min(math.floor(common:lognormal(P.size, 1)) + 1, 4 * 1024 * 1024)
end

local function name(number)
  return ("library/file-%04d"):format(number)
end

bench.setup(function(c)
  c:mkdir("library")
  for number = 1, P.files do
    local h = c:open(name(number), "w")
    c:write(h, 0, sizes[number], { payload = "text" }) -- or { blob = "letter.txt" }
    c:close(h)
  end
end)

bench.teardown(function(c)
  for number = 1, P.files do
    c:delete(name(number), { expect = "any" })
  end
  c:rmdir("library")
end)

-- zipf counts from 1: the first file is the most popular.
local function read(c, rng)
  local number = rng:zipf(P.files, P.skew)
  local h = c:open(name(number), "r")
  local length = math.floor(math.min(rng:pareto(512, 1.1), sizes[number]))
  c:read(h, rng:int(0, sizes[number] - length), length)
  c:close(h)
end

local function look(c, rng)
  c:stat(name(rng:zipf(P.files, P.skew)))
end

-- c.user is a name that only this client has, suitable for a directory.
local function note(c, rng)
  local h = c:open(("library/%s.txt"):format(c.user), "w")
  for _, line in ipairs(rng:shuffle({ 10, 20, 30 })) do
    c:write(h, line * 100, 100, { payload = rng:pick({ "text", "zero" }, { 9, 1 }) })
  end
  c:close(h)
end

-- One of these steps by weight, then a pause, which is sometimes long.
local step = bench.choose { { 60, read }, { 30, look }, { 10, note } }
local pause = bench.choose {
  { 95, function(c, rng) c:think(rng:exp(P.think)) end },
  { 5, function(c, rng) c:think(math.max(0, rng:normal(10 * P.think, 2 * P.think))) end },
}

bench.workload {
  name = "people",
  clients = P.users,
  iteration = function(c, rng)
    step(c, rng)
    pause(c, rng)
  end,
  teardown = function(c)
    c:delete(("library/%s.txt"):format(c.user), { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
  end,
}
