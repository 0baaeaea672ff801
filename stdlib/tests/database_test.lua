-- A value that is nil fails the test anyway.
---@diagnostic disable: need-check-nil

local database = require("@bench/database")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

---Returns the kinds of the operations in order.
local function kinds(operations)
  local list = {}
  for position, operation in ipairs(operations) do
    list[position] = operation.kind
  end
  return table.concat(list, " ")
end

describe("a query", function()
  it("reads pages under shared locks that lie beyond all pages", function()
    local db = database.new({ directory = "db", pages = 100, page = 4096, reads = 2 })
    local operations = test.record(db.query, { iterations = 50 })
    expect(kinds({ operations[1], operations[2], operations[3], operations[4] })):to_be("open lock read unlock")
    for position = 2, #operations, 3 do
      local lock, read, unlock = operations[position], operations[position + 1], operations[position + 2]
      local page = read.offset / 4096
      expect(page):to_be(math.floor(page))
      expect(read.offset + read.length):to_be_at_most(100 * 4096)
      expect(lock.exclusive):to_be(false)
      expect(lock.offset):to_be(2 ^ 50 + page)
      expect(unlock.offset):to_be(lock.offset)
    end
  end)

  it("takes no lock, or waits for it, if the script wants it so", function()
    local none = database.new({ directory = "db", reads = 2, locks = "none" })
    expect(kinds(test.record(none.query))):to_be("open read read")
    local wait = database.new({ directory = "db", reads = 1, locks = "wait" })
    expect(test.record(wait.query)[2].wait):to_be(true)
  end)
end)

describe("a transaction", function()
  it("locks its pages in order, writes them to the log, and flushes it before it unlocks", function()
    local db = database.new({ directory = "db", pages = 1000, page = 4096, writes = 3, skew = 0 })
    local operations = test.record(db.transaction, { iterations = 100, seed = 1 })
    expect(kinds({ table.unpack(operations, 1, 15) })):to_be(
      "open open lock read lock read lock read write write write flush unlock unlock unlock"
    )
    local last = nil ---@type number?
    for _, operation in ipairs(operations) do
      if operation.kind == "lock" then
        if last and operation.offset <= last then
          expect(operation.offset):to_be("above the offset of the lock before")
        end
        last = operation.offset --[[@as integer]]
      elseif operation.kind == "flush" then
        last = nil
      end
    end
  end)

  it("appends to a log that has no gaps", function()
    local db = database.new({ directory = "db", page = 4096, checkpoint = 1000 })
    local at = 0
    for _, operation in ipairs(test.record(db.transaction, { iterations = 50 })) do
      if operation.kind == "write" then
        expect(operation.path):to_be("db/test-0.wal")
        expect(operation.offset):to_be(at)
        at = at + operation.length --[[@as integer]]
      end
    end
    expect(at):to_be_at_least(50 * 4120)
  end)
end)

describe("a checkpoint", function()
  it("writes each changed page once, in order, and begins the log anew", function()
    local db = database.new({ directory = "db", pages = 8, page = 4096, writes = 2, checkpoint = 20, skew = 0 })
    local operations = test.record(db.transaction, { iterations = 60 })
    local pages, checkpoints, last = 0, 0, -1
    for _, operation in ipairs(operations) do
      if operation.kind == "write" and operation.path == "db/data.db" then
        expect(operation.offset > last):to_be(true)
        last = operation.offset --[[@as integer]]
        pages = pages + 1
      elseif operation.kind == "truncate" then
        expect(operation.path):to_be("db/test-0.wal")
        checkpoints, last = checkpoints + 1, -1
      end
    end
    expect(checkpoints):to_be_at_least(4)
    expect(pages):to_be_at_most(8 * checkpoints)
  end)

  it("without changes does nothing", function()
    local db = database.new({ directory = "db" })
    expect(kinds(test.record(db.checkpoint))):to_be("open")
  end)
end)

it("a database is created whole", function()
  local db = database.new({ directory = "db", pages = 300, page = 8192 })
  local operations = test.record(db.prepare, { section = "setup" })
  local last = operations[#operations - 1]
  expect(last.offset + last.length):to_be(300 * 8192)
  expect(operations):to_be_balanced()
  expect(function()
    ---@diagnostic disable-next-line: assign-type-mismatch
    database.new({ directory = "db", locks = "maybe" })
  end):to_fail('@bench/database: locks must be "try" or "wait" or "none", not "maybe"')
end)

describe("databases", function()
  it("are made at the top of the script only", function()
    expect(function()
      test.record(function()
        database.new({ directory = "late" })
      end)
    end):to_fail("database.new must be called at the top level of the script, outside of all functions")
  end)
end)
