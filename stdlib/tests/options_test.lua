local options = require("@bench/options")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

local check = options.checker("@team/report", {
  { name = "directory", type = "path", needed = "a directory", example = '"team"' },
  { name = "files", type = "int", default = 20, min = 1, max = 100 },
  { name = "size", type = "size", default = "256KiB", min = 1 },
  { name = "think", type = "duration", default = "0" },
  { name = "pause", type = "durations", default = "5ms" },
  { name = "share", type = "float", default = 0.5, min = 0, max = 1 },
  { name = "mode", type = "string", default = "fast", choices = { "fast", "safe" } },
  { name = "flush", type = "bool", default = false },
  { name = "policy", type = "table", optional = true },
  { name = "done", type = "function", optional = true },
})

-- A module whose function checks its options.
local module = {}

function module.write(given)
  return check(given)
end

describe("a checker", function()
  it("fills in defaults, and converts sizes and durations to numbers", function()
    local checked = module.write({ directory = "team/reports/", think = "1.5ms" })
    expect(checked.directory):to_be("team/reports")
    expect(checked.files):to_be(20)
    expect(checked.size):to_be(262144)
    expect(checked.think):to_be(1500000)
    expect(checked.pause()):to_be(5000000)
    expect(checked.flush):to_be(false)
    expect(checked.policy):to_be(nil)
  end)

  it("takes a function where a distribution may stand", function()
    local function draw()
      return 7
    end
    expect(module.write({ directory = "d", pause = draw }).pause):to_be(draw)
  end)

  it("does not change the table that it is given", function()
    local given = { directory = "d/" }
    module.write(given)
    expect(given):to_equal({ directory = "d/" })
  end)

  it("names the line that called the module's function", function()
    local _, message = pcall(function()
      module.write({ directory = "d", fiels = 5 })
    end)
    expect(message):to_match("options_test%.lua:%d+: @team/report has no option 'fiels'")
  end)

  local cases = {
    { nil, '@team/report needs options with a directory, such as { directory = "team" }' },
    { 5, '@team/report needs options with a directory, such as { directory = "team" }' },
    { {}, '@team/report needs options with a directory, such as { directory = "team" }' },
    { { directory = "d", fiels = 5 }, "its options are directory, files, size, think, pause, share, mode, flush, policy, done" },
    { { directory = "" }, '@team/report: directory must be a path such as "team/reports", not ""' },
    { { directory = "d", files = 1.5 }, "@team/report: files must be a whole number, not 1.5" },
    { { directory = "d", files = "5" }, '@team/report: files must be a whole number, not "5"' },
    { { directory = "d", files = 0 / 0 }, "@team/report: files must be a whole number, not" },
    { { directory = "d", files = 0 }, "@team/report: files must be at least 1, not 0" },
    { { directory = "d", files = 101 }, "@team/report: files must be at most 100, not 101" },
    { { directory = "d", size = "big" }, '@team/report: size: "big" is not a size' },
    { { directory = "d", size = "5ms" }, '@team/report: size: "5ms" is not a size' },
    { { directory = "d", size = -1 }, "@team/report: size is -1; it cannot be negative" },
    { { directory = "d", think = 5 }, '@team/report: think: 5 ns? write "5s"' },
    { { directory = "d", pause = "x" }, "a distribution such as those of @bench/distributions is possible, too" },
    { { directory = "d", share = 1 / 0 }, "@team/report: share must be a number, not inf" },
    { { directory = "d", mode = "slow" }, '@team/report: mode must be "fast" or "safe", not "slow"' },
    { { directory = "d", flush = "yes" }, '@team/report: flush must be true or false, not "yes"' },
    { { directory = "d", policy = 5 }, "@team/report: policy must be a table, not 5" },
    { { directory = "d", done = {} }, "@team/report: done must be a function, not a table" },
  }
  for position, case in ipairs(cases) do
    it(("refuses case %d: %s"):format(position, case[2]), function()
      expect(function()
        module.write(case[1])
      end):to_fail(case[2])
    end)
  end

  it("without required options takes nothing at all", function()
    local optional = options.checker("@team/x", { { name = "files", type = "int", default = 3 } })
    expect(optional(nil).files):to_be(3)
    expect(function()
      optional(5)
    end):to_fail("@team/x takes a table of options, not 5")
  end)

  it("refuses a declaration with an unknown type or a wrong default", function()
    expect(function()
      options.checker("@team/x", { { name = "files", type = "number" --[[@as any]] } })
    end):to_fail("option 'files' has no type 'number'")
    expect(function()
      options.checker("@team/x", { { name = "files", type = "int", default = "many" } })
    end):to_fail('the default of files must be a whole number, not "many"')
  end)
end)

describe("a quantity", function()
  it("is a number as it is, or a string in bytes or nanoseconds with its kind", function()
    expect({ options.quantity(1.5, "x") }):to_equal({ 1.5 })
    expect({ options.quantity("64KiB", "x") }):to_equal({ 65536, "size" })
    expect({ options.quantity("5ms", "x") }):to_equal({ 5000000, "duration" })
  end)

  it("is nothing else", function()
    expect(function()
      options.quantity("5m", "the mean")
    end):to_fail('the mean: "5m" may be a duration or a size: write "5min" for minutes, and "5MiB" for mebibytes')
    expect(function()
      options.quantity(-1, "the mean")
    end):to_fail("the mean: a number from 0 to 2^53")
  end)
end)
