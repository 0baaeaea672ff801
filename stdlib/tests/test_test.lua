-- Tests of the matchers of @bench/test themselves.
local test = require("@bench/test")
local expect = test.expect

---Expects that a failing expectation says this.
---@param part string
---@param body fun()
local function refuses(part, body)
  expect(body):to_fail(part)
end

local function save(c, rng)
  local h = c:open("a.docx", "rw", { requested_oplock = "batch" })
  c:write(h, 0, rng:int(1, 4096))
  c:think("5ms")
  c:close(h)
end

test.describe("to_be", function()
  test.it("compares numbers, strings and booleans by value", function()
    expect(1):to_be(1)
    expect("a"):to_be("a")
    expect(nil):to_be(nil)
    expect(1):never():to_be(2)
    refuses('expected "a" to be "b"', function() expect("a"):to_be("b") end)
    refuses("expected 1 not to be 1", function() expect(1):never():to_be(1) end)
  end)
  test.it("compares tables by identity", function()
    local t = {}
    expect(t):to_be(t)
    refuses("expected {} to be {}", function() expect({}):to_be({}) end)
  end)
end)

test.describe("to_equal", function()
  test.it("compares tables by their content", function()
    expect({ 1, { a = "x" } }):to_equal { 1, { a = "x" } }
    expect({ 1, 2 }):never():to_equal { 1, 2, 3 }
  end)
  test.it("names the first difference", function()
    refuses('at a[2]: "x" instead of "y"', function() expect({ a = { 1, "x" } }):to_equal { a = { 1, "y" } } end)
    refuses("at [3]: 3 is missing", function() expect({ 1, 2 }):to_equal { 1, 2, 3 } end)
    refuses("at b: 1 is not expected", function() expect({ b = 1 }):to_equal {} end)
  end)
  test.it("ends for tables that contain themselves", function()
    local a, b = { x = 1 }, { x = 1 }
    a.own, b.own = a, b
    expect(a):to_equal(b)
    b.x = 2
    refuses("at x: 1 instead of 2", function() expect(a):to_equal(b) end)
  end)
end)

test.it("numbers have bounds and tolerances", function()
  expect(10):to_be_near(11, 1)
  expect(10):to_be_at_least(10)
  expect(10):to_be_at_most(10)
  refuses("expected 10 to be within 1 of 12: it is off by 2", function() expect(10):to_be_near(12, 1) end)
  refuses("expected 1 to be at least 2", function() expect(1):to_be_at_least(2) end)
  refuses("expected 2 to be at most 1", function() expect(2):to_be_at_most(1) end)
  refuses('expected a number for to_be_at_most, but it is "x"', function() expect("x"):to_be_at_most(1) end)
end)

test.describe("to_contain", function()
  test.it("finds parts of strings without patterns", function()
    expect("a.docx"):to_contain(".docx")
    expect("abc"):never():to_contain(".")
  end)
  test.it("finds elements, by their fields if they have any", function()
    expect({ 1, 2 }):to_contain(2)
    expect({ { a = 1, b = 2 } }):to_contain { a = 1 }
    expect({ { 1, 2 } }):to_contain { 1, 2 }
    expect({ { 1, 2 } }):never():to_contain { 1 }
    expect({ a = 1, b = 2 }):to_contain { b = 2 }
    refuses("the nearest is [2], at length: ", function()
      expect(test.record(save)):to_contain { kind = "write", offset = 0, length = 9999 }
    end)
    refuses("to contain { kind = ", function() expect(test.record(save)):to_contain { kind = "rename" } end)
  end)
end)

test.it("to_match takes a Lua pattern", function()
  expect("report-007.docx"):to_match("^report%-%d+%.docx$")
  refuses('expected "x" to match "%d"', function() expect("x"):to_match("%d") end)
end)

test.it("to_fail looks for a part of the message", function()
  expect(function() error("the disk is full") end):to_fail("disk")
  expect(function() end):never():to_fail()
  refuses("it did not fail", function() expect(function() end):to_fail() end)
  refuses("it failed with", function() expect(function() error("a") end):to_fail("b") end)
end)

test.describe("record", function()
  test.it("returns the operations of a function", function()
    local operations = test.record(save, { seed = 7 })
    expect(#operations):to_be(3)
    expect(operations[1]):to_contain { kind = "open", path = "a.docx", mode = "rw", handle = 0 }
    expect(operations[2].path):to_be("a.docx")
    expect(operations[3].after):to_be(5000000)
    expect(operations):to_be_balanced()
  end)
  test.it("gives the same for the same seed, and something else for another", function()
    expect(test.record(save, { seed = 1 })):to_equal(test.record(save, { seed = 1 }))
    expect(test.record(save, { seed = 1 })):never():to_equal(test.record(save, { seed = 2 }))
  end)
  test.it("records several clients and iterations", function()
    local operations = test.record(function(c)
      c:mkdir(("u%d-%d"):format(c.id, c.iteration))
    end, { id = 3, clients = 2, iteration = 5, iterations = 2 })
    local paths = {}
    for i, operation in ipairs(operations) do
      paths[i] = operation.client .. " " .. operation.path
    end
    expect(paths):to_equal { "test/3 u3-5", "test/3 u3-6", "test/4 u4-5", "test/4 u4-6" }
  end)
  test.it("keeps at most 100,000 operations", function()
    expect(function()
      test.record(function(c) while true do c:stat("x") end end)
    end):to_fail("more than 100000 operations")
  end)
  test.it("passes on the error of a function", function()
    expect(function() test.record(function(c) c:read(1 --[[@as any]], 0, 10) end) end):to_fail("1 is not a handle")
    expect(#test.record(save)):to_be(3)
  end)
end)

test.describe("to_be_balanced", function()
  test.it("names an open that is never closed", function()
    refuses('the open of "x" (operation 1, ', function()
      expect(test.record(function(c) c:open("x", "w") end)):to_be_balanced()
    end)
  end)
  test.it("names a handle that is used after its close", function()
    refuses("uses handle 0, which the close of \"x\" (operation 2) has closed", function()
      expect({
        { kind = "open", handle = 0, path = "x" },
        { kind = "close", handle = 0, path = "x" },
        { kind = "read", handle = 0 },
      }):to_be_balanced()
    end)
  end)
  test.it("takes no other values", function()
    refuses("takes a list of operations", function() expect({ 1 }):to_be_balanced() end)
  end)
end)

test.describe("before_each and after_each", function()
  local calls = {}
  test.before_each(function() calls[#calls + 1] = "before" end)
  test.after_each(function() calls[#calls + 1] = "after" end)
  test.it("are called before", function() expect(calls):to_equal { "before" } end)
  test.it("and after", function() expect(calls):to_equal { "before", "after", "before" } end)
end)

test.it("a matcher that does not exist is refused with the nearest", function()
  expect(function() (expect(1) --[[@as any]]).to_eqal(1) end):to_fail("did you mean to_equal?")
  expect(function() (expect(1) --[[@as any]]).to_be(1) end):to_fail("called with a colon")
end)
