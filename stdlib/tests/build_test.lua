local build = require("@bench/build")
local test = require("@bench/test")
local it, expect = test.it, test.expect

local function count(operations, kind, part)
  local number = 0
  for _, operation in ipairs(operations) do
    if operation.kind == kind and (not part or (operation.path or ""):find(part, 1, true)) then
      number = number + 1
    end
  end
  return number
end

it("a compilation looks for headers, reads the source and headers, and writes one object", function()
  local project = build.new({ directory = "p", sources = 50, headers = 10, lookups = 10, includes = 3, link = 1000 })
  local operations = test.record(project.compile, { iterations = 40 })
  expect(operations):to_be_balanced()
  expect(count(operations, "stat")):to_be(40 * 11)
  expect(count(operations, "open", "p/src/")):to_be(40)
  expect(count(operations, "open", "p/include/")):to_be(120)
  expect(count(operations, "open", "p/build-test-0/")):to_be(40)
  -- The headers that are not found are looked for beside the sources.
  local missing = count(operations, "stat") - count(operations, "stat", "/include/") - count(operations, "stat", "/src/")
  expect(missing / 400):to_be_near(0.7, 0.07)
end)

it("objects are linked into a program when there are enough of them", function()
  local project = build.new({ directory = "p", sources = 12, headers = 3, lookups = 0, includes = 0, link = 4, object = 1000 })
  local operations = test.record(project.compile, { iterations = 12 })
  expect(count(operations, "open", "/program")):to_be(3)
  expect(count(operations, "open", ".o")):to_be(12 + 12)
  for _, operation in ipairs(operations) do
    if operation.kind == "write" and (operation.path or ""):find("/program", 1, true) then
      expect(operation.length):to_be(4 * 1000 + 16384)
    end
  end
end)

it("every builder writes into a directory of its own, and all of it is removed", function()
  local project = build.new({ directory = "p", sources = 5, headers = 2, per_directory = 5 })
  local made = test.record(project.compile, { iterations = 10, clients = 2 })
  local removed = test.record(project.clean_client, { clients = 2, section = "teardown" })
  for _, operation in ipairs(made) do
    if operation.kind == "open" and operation.mode == "w" then
      expect(operation.path):to_contain("build-test-" .. operation.client:match("%d+$"))
      expect(removed):to_contain({ kind = "delete", path = operation.path, client = operation.client })
    end
  end
end)
