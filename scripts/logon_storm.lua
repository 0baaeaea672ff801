-- Logon storm: the first minute after many users log on.
--
--   smbench run @scripts/logon_storm --target smb://ada@nas/homes -p users=500 -p peak=50
--
-- Each arrival is a user who has just logged on: reads the policies and the logon script
-- that all users share, lists its home directory, loads its profile, and notes the
-- logon. Arrivals (a Poisson process) rise to a peak, stay there, and fall. The report
-- shows each part as a step.
--
-- Not modelled: the connections and the logins themselves. smbench makes them before the
-- run, so this is what follows a login.
--
-- Published figures, seen as a quotation: sizes of the files of a profile are lognormal
-- with the median 4,722 bytes and sigma 2.38 (Douceur and Bolosky, SIGMETRICS 1999).
--
-- Thresholds: at the peak, 95 % of the logons end within 5 s, and 95 % of the loads of a
-- profile within 2 s, both a guess.
--
-- Guesses: everything else. The parts, the number of their files, the sizes of the other
-- files, and the rates are made up to look like a Windows domain. Set them as yours are.

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  users = { type = "int", default = 50, min = 1, max = 100000, help = "users; each can log on several times" },
  peak = { type = "float", default = 10, min = 0.1, max = 1e6, help = "logons a second at the peak" },
  policies = { type = "int", default = 6, min = 1, max = 1000, help = "policies that a logon reads" },
  profile = { type = "size", default = "512KiB", min = "4KiB", max = "1GiB", help = "size of the largest file of a profile" },
  profile_files = { type = "int", default = 12, min = 1, max = 10000, help = "other files of a profile" },
}

local ROOT = "smbench-logon-storm"
local SHARED = ROOT .. "/policies"
local BLOCK = 64 * 1024
local DIRECTORIES = { "Desktop", "Documents", "Favorites" }
local IS_MISSING = { expect = "OBJECT_NAME_NOT_FOUND" }

bench.phases {
  { name = "warmup", duration = "5s", record = false },
  { name = "rise", duration = "15s" },
  { name = "peak", duration = "30s" },
  { name = "fall", duration = "15s" },
}
bench.thresholds {
  { "iterations.response.p95 < 5s", phase = "peak" },
  { "step.profile.response.p95 < 2s", phase = "peak" },
}

-- A policy is a small description and a file of settings.
local settings = files.set { root = SHARED, files = P.policies, per_directory = 1, size = distributions.uniform("4KiB", "60KiB") }
local profile = files.set {
  root = "profile",
  files = P.profile_files,
  per_directory = P.profile_files,
  size = distributions.lognormal(4722, 2.38, { max = "256KiB" }),
}

local function home(c)
  return ROOT .. "/user" .. c.id
end

local function description(number)
  return settings:path(number) .. ".ini"
end

local function read_whole(c, path, size)
  local h = c:open(path, "r")
  for offset = 0, size - 1, BLOCK do
    c:read(h, offset, math.min(BLOCK, size - offset))
  end
  c:close(h)
end

local function write_whole(c, path, size)
  local h = c:open(path, "w")
  for offset = 0, size - 1, BLOCK do
    c:write(h, offset, math.min(BLOCK, size - offset))
  end
  c:close(h)
end

local function policies(c)
  c:list(SHARED)
  for number = 1, settings.count do
    c:stat(description(number))
    read_whole(c, description(number), 60)
    settings:read_whole(c, number)
  end
end

local function script(c)
  c:stat(ROOT .. "/logon.cmd")
  read_whole(c, ROOT .. "/logon.cmd", 2048)
end

local function directories(c)
  c:stat(home(c))
  c:list(home(c))
  for _, directory in ipairs(DIRECTORIES) do
    c:stat(home(c) .. "/" .. directory .. "/desktop.ini", IS_MISSING)
    c:list(home(c) .. "/" .. directory)
  end
end

local function load_profile(c)
  local mine = profile:under(home(c))
  c:list(mine.root)
  read_whole(c, home(c) .. "/ntuser.dat", P.profile)
  for number = 1, mine.count do
    mine:read_whole(c, number)
  end
end

local function note(c)
  local h = c:open(home(c) .. "/logon.log", "rw")
  c:write(h, c.iteration % 1000 * 80, 80)
  c:close(h)
end

bench.setup(function(c)
  c:mkdir(ROOT)
  settings:create(c)
  for number = 1, settings.count do
    write_whole(c, description(number), 60)
  end
  write_whole(c, ROOT .. "/logon.cmd", 2048)
end)

bench.workload {
  name = "logons",
  clients = P.users,
  pace = bench.open_loop {
    rate = { warmup = P.peak / 10, rise = { to = P.peak }, peak = P.peak, fall = { to = P.peak / 10 } },
    arrivals = "poisson",
  },
  setup = function(c)
    c:mkdir(home(c))
    for _, directory in ipairs(DIRECTORIES) do
      c:mkdir(home(c) .. "/" .. directory)
    end
    write_whole(c, home(c) .. "/ntuser.dat", P.profile)
    profile:under(home(c)):create(c)
  end,
  iteration = function(c, rng)
    c:step("policies", function()
      policies(c)
    end)
    c:think(rng:exp("20ms"))
    c:step("script", function()
      script(c)
    end)
    c:think(rng:exp("20ms"))
    c:step("directories", function()
      directories(c)
    end)
    c:step("profile", function()
      load_profile(c)
    end)
    c:step("note", function()
      note(c)
    end)
  end,
  teardown = function(c)
    profile:under(home(c)):remove(c)
    for _, name in ipairs({ "ntuser.dat", "logon.log" }) do
      c:delete(home(c) .. "/" .. name, files.MAY_BE_MISSING)
    end
    for _, directory in ipairs(DIRECTORIES) do
      c:rmdir(home(c) .. "/" .. directory, files.MAY_BE_MISSING)
    end
    c:rmdir(home(c), files.MAY_BE_MISSING)
  end,
}

bench.teardown(function(c)
  for number = 1, settings.count do
    c:delete(description(number), files.MAY_BE_MISSING)
  end
  settings:remove(c)
  c:delete(ROOT .. "/logon.cmd", files.MAY_BE_MISSING)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)
