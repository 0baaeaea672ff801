local distributions = require("@bench/distributions")
local office = require("@bench/office")
local test = require("@bench/test")
local it, expect = test.it, test.expect

local TEAM = { directory = "team", documents = 2, size = "100KiB", block = "64KiB" }

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
  local strings = recorded({ directory = "d", size = "100KiB", block = "32KiB", think = "5ms" })
  expect(recorded({ directory = "d", size = 102400, block = 32768, think = 5000000 })):to_equal(strings)
end)

it("a client reads as much of a document as it wrote last", function()
  local options = { directory = "d", documents = 1, size = distributions.uniform(1, "256KiB"), block = "64KiB" }
  local operations = test.record(function(c, rng)
    office.prepare(c, rng, options)
    for _ = 1, 20 do
      office.edit(c, rng, options)
      office.view(c, rng, options)
    end
  end)
  local written, read = {}, {} ---@type table<string, number>, table<string, number>
  local sizes = 0
  for _, operation in ipairs(operations) do
    local path = (operation.path or ""):gsub("~wrd0001.tmp", "report-001.docx")
    if operation.kind == "open" then
      if operation.mode == "w" then
        written[path] = 0
      else
        read[path] = 0
      end
    elseif operation.kind == "write" then
      written[path] = written[path] + (operation.length or 0)
    elseif operation.kind == "read" then
      read[path] = read[path] + (operation.length or 0)
    elseif operation.kind == "close" and (read[path] or 0) > 0 then
      expect(read[path]):to_be(written[path])
      read[path] = 0
      sizes = sizes + 1
    end
  end
  expect(sizes):to_be(40)
end)
