-- Every module runs on the simulator and on the embedded server without a failure
-- that it does not expect.

local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

for _, target in ipairs({ "sim", "embedded" }) do
  describe("on " .. target, function()
    for _, name in ipairs({
      "build",
      "contention",
      "database",
      "files",
      "homes",
      "logs",
      "maildir",
      "mbox",
      "media",
      "office",
    }) do
      it(name .. " runs without an unexpected failure", function()
        local summary = test.run(("./workloads/%s.lua"):format(name), { target = target, iterations = 8, duration = "8s" })
        expect(summary.exit_code):to_be(0)
        expect(summary.totals.failed):to_be(0)
        expect(summary.totals.skipped):to_be(0)
        expect(summary.iterations.cut):to_be(0)
        local clients = 0
        for _, workload in ipairs(summary.workloads) do
          clients = clients + workload.clients
        end
        expect(summary.iterations.count):to_be(8 * clients)
      end)
    end
  end)
end
