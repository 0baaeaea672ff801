-- Modules: functions that several scripts share.
--
--   smbench run examples/modules.lua --duration 2s
--
-- A path begins with
--   "./" or "../"   beside the file that requires it: "./lib/reports" is
--                   lib/reports.lua, lib/reports.luau, or lib/reports/init.lua.
--                   An init.lua stands for its directory, so there "./" is
--                   beside that directory;
--   "@self/"        inside the directory of an init.lua;
--   "@bench/"       in the standard library, which is part of smbench.
--
-- Modules are read from the project only: the nearest directory, upward from the
-- script, that contains a file smbench.toml (its contents are not read yet). Without one,
-- it is the directory of the script.

local reports = require("./lib/reports")

bench.phases { { name = "steady", duration = "5s" } }

local function directory(c)
  return "reports" .. c.id
end

bench.workload {
  name = "writers",
  clients = 4,
  setup = function(c)
    reports.prepare(c, directory(c))
  end,
  iteration = function(c)
    reports.extend(c, directory(c))
    c:think("20ms")
  end,
  teardown = function(c)
    reports.clean(c, directory(c))
  end,
}
