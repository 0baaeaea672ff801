-- A value that is nil fails the test anyway.
---@diagnostic disable: need-check-nil

local contention = require("@bench/contention")
local test = require("@bench/test")
local it, expect = test.it, test.expect

it("holders request a lease with a policy, and readers one to share", function()
  local shared = contention.new({ directory = "shared", on_break = { delay = "5ms", flush = true } })
  local held = test.record(shared.hold)
  expect(held):to_be_balanced()
  expect(held[1].mode):to_be("rw")
  local all = "SMB2_LEASE_READ_CACHING|SMB2_LEASE_HANDLE_CACHING|SMB2_LEASE_WRITE_CACHING"
  expect(held[1].extensions.lease.state):to_be(all)
  expect(held[1].extensions.on_break):to_equal({ policy = "acknowledge", delay = "5ms", flush = true })
  local read = test.record(shared.read)
  expect(read[1].mode):to_be("r")
  expect(read[1].extensions.lease.state):to_be("SMB2_LEASE_READ_CACHING|SMB2_LEASE_HANDLE_CACHING")
  expect(test.record(shared.write)[1].extensions):to_be(nil)
end)

it("holders request an oplock instead, and readers none", function()
  local shared = contention.new({ directory = "shared", caching = "oplock", level = "exclusive" })
  expect(test.record(shared.read)[1].extensions):to_be(nil)
  expect(test.record(shared.hold)[1].extensions.requested_oplock):to_be("SMB2_OPLOCK_LEVEL_EXCLUSIVE")
end)

it("a holder waits between its writes, which stay within the file", function()
  local shared = contention.new({ directory = "shared", files = 3, size = "10KiB", block = "4KiB", writes = 5, hold = "2ms" })
  local operations = test.record(shared.hold, { iterations = 50 })
  local seen, pauses = {}, 0
  for _, operation in ipairs(operations) do
    seen[operation.path] = true
    pauses = pauses + (operation.after == 2000000 and 1 or 0)
    if operation.kind == "write" then
      expect(operation.offset + operation.length):to_be_at_most(10240)
    end
  end
  expect(seen):to_equal({ ["shared/f1"] = true, ["shared/f2"] = true, ["shared/f3"] = true })
  expect(pauses):to_be(50 * 5)
end)

it("leases break on the simulator, and the holders answer as the policy says", function()
  local summary = test.run("./workloads/contention.lua", { iterations = 20, duration = "8s" })
  expect(summary.breaks.acknowledged):to_be_at_least(1)
  expect(summary.totals.failed):to_be(0)
end)

it("wrong policies and kinds of caching are refused", function()
  expect(function()
    ---@diagnostic disable-next-line: assign-type-mismatch
    contention.new({ directory = "shared", caching = "lock" })
  end):to_fail('@bench/contention: caching must be "lease" or "oplock", not "lock"')
  ---@diagnostic disable-next-line: assign-type-mismatch
  local shared = contention.new({ directory = "shared", on_break = { policy = "igore" } })
  expect(function()
    test.record(shared.hold)
  end):to_fail("igore")
end)
