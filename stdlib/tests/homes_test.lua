local homes = require("@bench/homes")
local test = require("@bench/test")
local it, expect = test.it, test.expect

it("a person works on files that exist, and on no others", function()
  local people = homes.new({ directory = "home", files = 12, per_directory = 5, size = 1000 })
  local there, operations = {}, {}
  local made = test.record(people.prepare_client, { section = "setup" })
  local work = test.record(people.work, { iterations = 400 })
  expect(work):to_be_balanced()
  table.move(made, 1, #made, 1, operations)
  table.move(work, 1, #work, #made + 1, operations)
  for _, operation in ipairs(operations) do
    local kind, path = operation.kind, operation.path
    if kind == "open" and operation.mode == "w" or kind == "mkdir" then
      there[path] = true
    elseif kind == "rename" then
      expect(there[path]):to_be(true)
      expect(there[operation.dest]):to_be(true)
      there[path] = nil
    elseif kind == "delete" then
      expect(there[path]):to_be(true)
      there[path] = nil
    else
      expect(there[path]):to_be(true)
    end
  end
end)

it("every person has a home of the same files", function()
  local people = homes.new({ directory = "home", files = 12 })
  local operations = test.record(people.prepare_client, { section = "setup", clients = 2 })
  local half = #operations // 2
  for position = 1, half do
    local one, other = operations[position], operations[half + position]
    expect(other.path):to_be(((one.path or ""):gsub("test%-0", "test-1")))
    expect(other.length):to_be(one.length)
  end
end)

it("saving goes through a temporary file that replaces the old one", function()
  local people = homes.new({ directory = "home", files = 3, exists = 1, size = 100 })
  local operations = test.record(people.save)
  local rename = operations[#operations]
  expect(rename.kind):to_be("rename")
  expect(rename.path):to_be("home/test-0/~save.tmp")
  expect(rename.dest):to_match("^home/test%-0/files/f%d$")
end)

it("think time comes after each activity", function()
  local people = homes.new({ directory = "home", files = 3, size = 0, think = "2ms" })
  local thought = 0
  for _, operation in ipairs(test.record(people.work, { iterations = 20 })) do
    thought = thought + (operation.after == 2000000 and 1 or 0)
  end
  expect(thought):to_be_at_least(10)
end)
