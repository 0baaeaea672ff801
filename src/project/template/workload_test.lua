-- Tests of the workload: smbench test

local test = require("@bench/test")
local documents = require("./lib/documents")

test.describe("a document", function()
  test.it("is saved through a new file that replaces it", function()
    local made = test.record(function(c)
      documents.save(c, 7, "4KiB")
    end)
    test.expect(made):to_be_balanced()
    test.expect(made[#made].kind):to_be("rename")
    test.expect(made[#made].dest):to_be("people/0/report-7.txt")
  end)
end)

test.describe("the workload", function()
  test.it("makes the same operations in every run", function()
    local first = test.stream("./workload.lua", { seed = 7, iterations = 20 })
    local second = test.stream("./workload.lua", { seed = 7, iterations = 20 })
    test.expect(first):to_equal(second)
  end)

  test.it("runs without failures", function()
    local summary = test.run("./workload.lua", { target = "sim", duration = "1s" })
    test.expect(summary.totals.failed):to_be(0)
    test.expect(summary.operations.read.count):to_be_at_least(1)
  end)
end)
