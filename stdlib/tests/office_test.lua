local office = require("@bench/office")
local test = require("@bench/test")
local it, expect = test.it, test.expect

local TEAM = { folder = "team", documents = 2, size = "100KiB", block = "64KiB" }

local function with_team(activity)
  return function(c, rng)
    activity(c, rng, TEAM)
  end
end

it("an edit marks the document, and saves it through a temporary file", function()
  local operations = test.record(with_team(office.edit))
  local list = {}
  for position, operation in ipairs(operations) do
    list[position] = operation.kind
  end
  expect(operations):to_be_balanced()
  expect(table.concat(list, " ")):to_be(
    "open write close open read read close open write write flush close rename delete"
  )
  expect(operations[13].path):to_be("team/~wrd0001.tmp")
  expect(operations[13].dest):to_match("^team/report%-00%d%.docx$")
  expect(operations[14].path):to_match("^team/~%$report%-00%d%.docx$")
end)

it("viewing and browsing change nothing", function()
  for _, activity in ipairs({ office.view, office.browse }) do
    for _, operation in ipairs(test.record(with_team(activity), { iterations = 20 })) do
      expect({ open = true, read = true, close = true, list = true, stat = true }):to_contain({ [operation.kind] = true })
      expect(operation.mode):never():to_be("w")
    end
  end
end)

it("sizes and durations are numbers or strings", function()
  local function recorded(options)
    return test.record(function(c, rng)
      office.edit(c, rng, options)
    end)
  end
  local strings = recorded({ folder = "d", size = "100KiB", block = "32KiB", think = "5ms" })
  expect(recorded({ folder = "d", size = 102400, block = 32768, think = 5000000 })):to_equal(strings)
end)
