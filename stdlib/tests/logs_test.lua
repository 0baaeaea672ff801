local logs = require("@bench/logs")
local test = require("@bench/test")
local it, expect = test.it, test.expect

---Returns the operations as words, such as "write 0+10".
local function words(operations)
  local list = {}
  for position, operation in ipairs(operations) do
    local word = operation.kind
    if operation.kind == "write" or operation.kind == "read" then
      word = ("%s %d+%d"):format(word, operation.offset, operation.length)
    elseif operation.kind == "rename" then
      word = ("%s %s"):format(operation.path:match("%.log.*$"), operation.dest:match("%.log.*$"))
    end
    list[position] = word
  end
  return table.concat(list, ", ")
end

it("a log is kept open, and every entry follows the one before", function()
  local log = logs.new({ directory = "logs", entry = 10 })
  expect(words(test.record(log.append, { iterations = 3 }))):to_be("open, write 0+10, write 10+10, write 20+10")
end)

it("a full log is rotated, and the oldest one is replaced", function()
  local log = logs.new({ directory = "logs", entry = 10, rotate = 15, keep = 2 })
  expect(words(test.record(log.append, { iterations = 5 }))):to_be(table.concat({
    "open, write 0+10",
    "close, .log .log.1, open, write 0+10",
    "close, .log.1 .log.2, .log .log.1, open, write 0+10",
    "close, .log.1 .log.2, .log .log.1, open, write 0+10",
    "close, .log.1 .log.2, .log .log.1, open, write 0+10",
  }, ", "))
end)

it("a log of which none is kept begins anew", function()
  local log = logs.new({ directory = "logs", entry = 10, rotate = 15, keep = 0 })
  expect(words(test.record(log.append, { iterations = 2 }))):to_be("open, write 0+10, close, open, write 0+10")
end)

it("an entry that is larger than a log is written all the same", function()
  local log = logs.new({ directory = "logs", entry = 100, rotate = 15, keep = 1 })
  expect(words(test.record(log.append, { iterations = 2 }))):to_be(
    "open, write 0+100, close, .log .log.1, open, write 0+100"
  )
end)

it("a share of the entries is flushed", function()
  local log = logs.new({ directory = "logs", flush = 0.2 })
  local flushed = 0
  for _, operation in ipairs(test.record(log.append, { iterations = 2000 })) do
    flushed = flushed + (operation.kind == "flush" and 1 or 0)
  end
  expect(flushed):to_be_near(400, 55)
end)

it("the tail is the end of the client's own log", function()
  local log = logs.new({ directory = "logs", entry = 40, tail = 64 })
  local operations = test.record(function(c, rng)
    log.append(c, rng)
    log.append(c, rng)
    log.tail(c, rng)
  end)
  expect(words(operations)):to_be("open, write 0+40, write 40+40, open, read 16+64, close")
end)

it("every name that a log can have is removed", function()
  local log = logs.new({ directory = "logs", entry = 10, rotate = 15, keep = 3 })
  local made = test.record(log.append, { iterations = 20 })
  local removed = test.record(log.clean_client)
  for _, operation in ipairs(made) do
    if operation.kind == "open" then
      expect(removed):to_contain({ kind = "delete", path = operation.path })
    elseif operation.kind == "rename" then
      expect(removed):to_contain({ kind = "delete", path = operation.dest })
    end
  end
end)

it("a log is made at the top of the script only", function()
  expect(function()
    test.record(function()
      logs.new({ directory = "late" })
    end)
  end):to_fail("logs.new must be called at the top level of the script, outside of all functions")
end)
