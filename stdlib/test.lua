-- @bench/test: tests of workloads and of modules, which `smbench test` runs.
--
-- A test file is named mail_test.lua or mail.test.lua. Its top level declares
-- tests, and each of them then runs in the sandbox of scripts. A test fails at
-- its first expectation that does not hold, and at any error. In a test, functions
-- of bench that belong to the top level of a script can be called too.
--
--   local office = require("@bench/office")
--   local test = require("@bench/test")
--
--   test.it("an edit replaces the document", function()
--     local operations = test.record(function(c, rng)
--       office.edit(c, rng, { directory = "team" })
--     end)
--     test.expect(operations):to_be_balanced()
--     test.expect(operations):to_contain { kind = "rename" }
--   end)

---The native functions of this module.
---@class bench.test.Native
---@field describe fun(name: string, body: fun())
---@field it fun(name: string, body: fun())
---@field before_each fun(body: fun())
---@field after_each fun(body: fun())
---@field record fun(body: function, options: table?): bench.test.Operations
---@field stream fun(path: string, options: table?): bench.test.Operations
---@field run fun(path: string, options: table?): table
---@field expecting fun(): integer
---@field judged fun(number: integer)
---@field fail fun(message: string, details: string[]?)
---@field failure fun(body: fun()): string?
---@field no_matcher fun(name: any, known: string[])
---@field show fun(value: any): string
---@field difference fun(actual: any, expected: any): string?
---@field missing fun(actual: any, expected: any): string?
---@field diff fun(actual: any, expected: any): string[]?
---@field imbalance fun(list: any): string?
---@field snapshot fun(name: string, value: any): string[]?

local native = ... ---@type bench.test.Native

local M = {}

---An operation that a test sees. It cannot be changed. A field that the operation
---does not have is nil.
---@class (exact) bench.test.Operation
---@field kind string "open", "read", "write", "close", "rename" and so on, as the client's methods are named
---@field client string the client's name, such as "office/0"; of test.record "test/0"
---@field section "setup"|"iteration"|"teardown"
---@field iteration integer the number of the iteration, from 0
---@field step? string the innermost c:step around the operation
---@field at? number nanoseconds from the start at which the operation is due
---@field after? number think time before the operation, in nanoseconds
---@field path? string the path of the operation, or of the open of its handle
---@field dest? string the new path of a rename
---@field handle? integer the number of the handle; it is used again after a close
---@field mode? "r"|"w"|"rw" of an open
---@field disposition? string of an open, such as "FILE_CREATE", unless it is that of the mode
---@field offset? number
---@field length? number
---@field size? number of a truncate
---@field pattern? string of a list
---@field exclusive? boolean of a lock
---@field wait? boolean of a lock
---@field replace? boolean of a rename
---@field payload? "zero"|"random"|"text" of a write
---@field blob? string the file whose bytes are written
---@field expect? string[] the expected statuses, unless they are the default
---@field extensions? table<string, any> the options of an open, such as requested_oplock

---A list of operations, which cannot be changed.
---@class bench.test.Operations
---@field [integer] bench.test.Operation

---@class (exact) bench.test.RecordOptions
---@field seed? integer the seed of rng (default 0)
---@field id? integer the client's id (default 0)
---@field clients? integer number of clients, whose ids begin at `id`, one after the other (default 1)
---@field iteration? integer number of the first iteration (default 0)
---@field iterations? integer number of calls for each client, in the section "iteration" (default 1)
---@field section? "setup"|"iteration"|"teardown" (default "iteration")
---@field workload? string the name of the workload, which is part of c.user and of the seed (default "test")

---@class (exact) bench.test.StreamOptions
---@field seed? integer (default 0)
---@field iterations? integer iterations of each client (default 1, unless the stream ends by itself)
---@field clients? integer|table<string, integer> clients of the only workload, or of each by name
---@field params? table<string, any> parameters of the script

---@class (exact) bench.test.RunOptions: bench.test.StreamOptions
---@field target? string "sim", "sim?latency=5ms", "sim:null" or "embedded" (default "sim")
---@field duration? bench.Duration the length of the recorded phases, in real time (default "1s")

---Declares a group of tests. Its body runs at once. The names of groups stand
---before those of their tests: "mail > delivers once".
---@param name string
---@param body fun()
function M.describe(name, body)
  native.describe(name, body)
end

---Declares a test. Its function runs after the whole file was loaded. Tests run in
---their order, and each has the time limit --timeout.
---@param name string
---@param body fun()
function M.it(name, body)
  native.it(name, body)
end

---Calls a function before each test of the group, and of the groups in it.
---@param body fun()
function M.before_each(body)
  native.before_each(body)
end

---Calls a function after each test of the group, also after one that failed.
---@param body fun()
function M.after_each(body)
  native.after_each(body)
end

---Returns the operations that a function makes as a client's setup, iteration or
---teardown. A list of more than 100,000 operations is an error. Think time belongs to
---the operation after it, so that after the last operation is not seen.
---@param body fun(c: bench.Client, rng: bench.Rng)
---@param options? bench.test.RecordOptions
---@return bench.test.Operations
function M.record(body, options)
  return native.record(body, options)
end

---Returns the operations of a script, in the order in which `smbench compile`
---writes them. A list of more than 100,000 operations is an error. The path is
---relative to the directory of the file, or "@scripts/NAME" for a ready workload. What
---the script prints is dropped.
---@param path string such as "./office.lua"
---@param options? bench.test.StreamOptions
---@return bench.test.Operations
function M.stream(path, options)
  return native.stream(path, options)
end

---Runs a script, named as for `test.stream`, and returns the summary of the run, as in
---summary.json. No file of the run is kept. What the script prints is dropped.
---@param path string such as "./office.lua"
---@param options? bench.test.RunOptions
---@return table
function M.run(path, options)
  return native.run(path, options)
end

---An expectation about a value. Call one of its matchers.
---@class bench.test.Expectation
---@field private value any
---@field private number integer
---@field private negated boolean
local Expectation = {}

local METATABLE = {}

function METATABLE.__index(_, name)
  local matcher = Expectation[name]
  if matcher == nil then
    local known = {}
    for other in pairs(Expectation) do
      known[#known + 1] = other
    end
    native.no_matcher(name, known)
  end
  return matcher
end

METATABLE.__metatable = false

---Begins an expectation about a value, or about a function for `to_fail`.
---@param value any
---@return bench.test.Expectation
function M.expect(value)
  local expectation = { value = value, number = native.expecting(), negated = false }
  return setmetatable(expectation, METATABLE) --[[@as bench.test.Expectation]]
end

---Returns the value of an expectation whose matcher was called.
---@param self bench.test.Expectation
---@param matcher string
local function judged(self, matcher)
  local number = type(self) == "table" and rawget(self --[[@as table]], "number") or nil ---@type integer?
  if number == nil then
    error(("matchers are called with a colon: write expect(…):%s(…)"):format(matcher), 3)
  end
  native.judged(number --[[@as integer]])
  return rawget(self --[[@as table]], "value")
end

---Fails unless `holds`, or if it does and the expectation is negated.
---@param self bench.test.Expectation
---@param holds boolean
---@param words string what was expected, after the value
---@param reason? string why it does not hold
---@param details? string[]
local function check(self, holds, words, reason, details)
  local negated = rawget(self --[[@as table]], "negated") == true
  if holds ~= negated then
    return
  end
  local value = native.show(rawget(self --[[@as table]], "value"))
  local message = ("expected %s %s%s"):format(value, negated and "not " or "", words)
  if reason and not negated then
    message = message .. ": " .. reason
  end
  native.fail(message, not negated and details or nil)
end

---Expects the opposite of what follows: `expect(v):never():to_be(x)`.
---@return bench.test.Expectation
function Expectation:never()
  if type(self) ~= "table" or type(rawget(self --[[@as table]], "number")) ~= "number" then
    error("matchers are called with a colon: write expect(…):never():…", 2)
  end
  self.negated = not self.negated
  return self
end

---Expects the same number, string or boolean, or the very same table.
---@param expected any
function Expectation:to_be(expected)
  local value = judged(self, "to_be")
  check(self, rawequal(value, expected), "to be " .. native.show(expected))
end

---Expects an equal value. Tables are equal if their keys and values are, at any
---depth.
---@param expected any
function Expectation:to_equal(expected)
  local value = judged(self, "to_equal")
  local difference = native.difference(value, expected)
  if difference == nil then
    check(self, true, "to equal " .. native.show(expected))
  elseif rawget(self --[[@as table]], "negated") ~= true then
    local details = native.diff(value, expected)
    local words = details and type(expected) == "table" and "the expected table" or native.show(expected)
    check(self, false, "to equal " .. words, difference, details)
  end
end

---@param value any
---@param matcher string
---@return number
local function number_of(value, matcher)
  if type(value) ~= "number" then
    native.fail(("expected a number for %s, but it is %s"):format(matcher, native.show(value)))
  end
  return value
end

---@param value any
---@param what string
local function check_argument(value, what)
  if type(value) ~= "number" or value ~= value then
    error(("%s must be a number, not %s"):format(what, native.show(value)), 3)
  end
end

---Expects a number that differs by `tolerance` at most.
---@param expected number
---@param tolerance number
function Expectation:to_be_near(expected, tolerance)
  local value = number_of(judged(self, "to_be_near"), "to_be_near")
  check_argument(expected, "to_be_near: the expected value")
  check_argument(tolerance, "to_be_near: the tolerance")
  local words = ("to be within %s of %s"):format(native.show(tolerance), native.show(expected))
  local off = math.abs(value - expected)
  check(self, off <= tolerance, words, "it is off by " .. native.show(off))
end

---Expects this number or a larger one.
---@param expected number
function Expectation:to_be_at_least(expected)
  local value = number_of(judged(self, "to_be_at_least"), "to_be_at_least")
  check_argument(expected, "to_be_at_least: the bound")
  check(self, value >= expected, "to be at least " .. native.show(expected))
end

---Expects this number or a smaller one.
---@param expected number
function Expectation:to_be_at_most(expected)
  local value = number_of(judged(self, "to_be_at_most"), "to_be_at_most")
  check_argument(expected, "to_be_at_most: the bound")
  check(self, value <= expected, "to be at most " .. native.show(expected))
end

---Returns what the element with most of the expected fields lacks.
---@param list any[]
---@param expected table
---@return string?
local function nearest(list, expected)
  local best, most = nil, 0 ---@type integer?, integer
  for i = 1, #list do
    local element, equal = list[i], 0
    if type(element) == "table" then
      for key, value in pairs(expected) do
        if native.difference(rawget(element, key), value) == nil then
          equal = equal + 1
        end
      end
    end
    if equal > most then
      best, most = i, equal
    end
  end
  return best and ("the nearest is [%d], %s"):format(best, tostring(native.missing(list[best], expected)))
end

---Expects a string with a part, or a list with an equal element. For an expected
---table with named fields, an element with these fields is enough, so that
---`expect(operations):to_contain { kind = "rename", dest = "a.docx" }` finds it. A
---table that is no list is expected to have the fields itself.
---@param expected any
function Expectation:to_contain(expected)
  local value = judged(self, "to_contain")
  local holds, reason = false, nil ---@type boolean, string?
  if type(value) == "string" then
    if type(expected) ~= "string" then
      error("to_contain: a string contains strings, not " .. native.show(expected), 2)
    end
    holds = string.find(value, expected, 1, true) ~= nil
  elseif type(value) == "table" and #value > 0 then
    local partial = type(expected) == "table" and #expected == 0 and next(expected) ~= nil
    local differs = partial and native.missing or native.difference
    for i = 1, #value do
      if differs(value[i], expected) == nil then
        holds = true
        break
      end
    end
    if partial and not holds then
      reason = nearest(value, expected)
    end
  elseif type(value) == "table" and type(expected) == "table" and next(expected) ~= nil then
    reason = native.missing(value, expected)
    holds = reason == nil
  end
  check(self, holds, "to contain " .. native.show(expected), reason)
end

---Expects a string that has a part of this Lua pattern.
---@param pattern string
function Expectation:to_match(pattern)
  local value = judged(self, "to_match")
  if type(pattern) ~= "string" then
    error("to_match: the pattern is a string, not " .. native.show(pattern), 2)
  end
  local holds = type(value) == "string" and string.find(value, pattern) ~= nil
  check(self, holds, "to match " .. native.show(pattern))
end

---Expects a list of operations that closes each handle it opens exactly once, and
---uses no handle before its open or after its close.
function Expectation:to_be_balanced()
  local value = judged(self, "to_be_balanced")
  local problem = native.imbalance(value)
  local negated = rawget(self --[[@as table]], "negated") == true
  if (problem == nil) == negated then
    local list = ("a list of %d operation%s"):format(#value, #value == 1 and "" or "s")
    native.fail(negated and ("expected %s not to be balanced"):format(list)
      or ("expected %s to be balanced: %s"):format(list, tostring(problem)))
  end
end

---Expects the value that a file beside the test has, which is
---`snapshots/<test file>/<name>.jsonl`, with a line for each element of a list. The
---first run writes the file, and `smbench test --update` writes it anew.
---@param name string
function Expectation:to_match_snapshot(name)
  local value = judged(self, "to_match_snapshot")
  if rawget(self --[[@as table]], "negated") then
    error("to_match_snapshot cannot be negated", 2)
  end
  local problem = native.snapshot(name, value)
  if problem then
    local details = {}
    for i = 2, #problem do
      details[i - 1] = problem[i]
    end
    native.fail(("expected the snapshot '%s': %s"):format(tostring(name), problem[1]), details)
  end
end

---Expects a function that raises an error whose message has this part.
---@param part? string
function Expectation:to_fail(part)
  local value = judged(self, "to_fail")
  if type(value) ~= "function" then
    error("to_fail: write expect(function() … end):to_fail(\"part of the message\")", 2)
  elseif part ~= nil and type(part) ~= "string" then
    error("to_fail: the part of the message is a string, not " .. native.show(part), 2)
  end
  local message = native.failure(value)
  local words = part and "to fail with " .. native.show(part) or "to fail"
  local holds = message ~= nil and (part == nil or string.find(message, part, 1, true) ~= nil)
  check(self, holds, words, message and "it failed with " .. native.show(message) or "it did not fail")
end

return M
