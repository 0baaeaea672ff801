-- Tests of the library: smbench test

local test = require("@bench/test")
local library = require("../init")

test.describe("a reader", function()
  test.it("opens, reads and closes the document", function()
    local made = test.record(function(c)
      library.read(c)
    end)
    test.expect(made):to_be_balanced()
    test.expect(#made):to_be(3)
    test.expect(made[2].kind):to_be("read")
    test.expect(made[2].length):to_be(65536)
  end)
end)

test.describe("the workload", function()
  test.it("runs without failures", function()
    local summary = test.run("./workload.lua", { target = "sim", duration = "1s" })
    test.expect(summary.totals.failed):to_be(0)
  end)
end)
