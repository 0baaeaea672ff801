-- Modules: functions that several scripts share.
--
--   smbench run examples/modules.lua --duration 2s
--
-- The path of a module begins with
--   "./"        for the directory of the file that requires it: "./lib/reports" is
--               lib/reports.lua, lib/reports.luau, or lib/reports/init.lua;
--   "../"       for the directory above;
--   "@bench/"   for the standard library, which is part of smbench;
--   "@self/"    in an init.lua only, for the directory of that file.
-- An init.lua stands for its directory, so "./" in it is the directory above: in
-- lib/reports/init.lua, "./x" is lib/x.lua and "@self/x" is lib/reports/x.lua.
--
-- Modules are read only from the project. The project is the nearest directory,
-- from the script's own upward, that contains a file smbench.toml. (The contents of
-- that file are not read yet.) If there is none, it is the script's own directory.

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
