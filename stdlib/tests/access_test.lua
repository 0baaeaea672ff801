local access = require("@bench/access")
local distributions = require("@bench/distributions")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

---Returns the offsets and lengths of an iterator, such as "0+4 4+2".
local function parts(iterator)
  local list = {}
  for offset, length in iterator do
    list[#list + 1] = offset .. "+" .. length
  end
  return table.concat(list, " ")
end

describe("an iterator", function()
  it("goes through a file in order, and its last block ends with the file", function()
    expect(parts(access.sequential(10, 4))):to_be("0+4 4+4 8+2")
    expect(parts(access.sequential("8KiB", "4KiB"))):to_be("0+4096 4096+4096")
    expect(parts(access.backward(10, 4))):to_be("8+2 4+4 0+4")
    expect(parts(access.strided(20, 2, 8))):to_be("0+2 8+2 16+2")
    expect(parts(access.strided(20, 6, 8, 3))):to_be("3+6 11+6 19+1")
  end)

  it("has nothing in an empty file, and one part in a small one", function()
    for _, iterator in ipairs({ access.sequential(0, 4), access.backward(0, 4), access.strided(0, 4, 8) }) do
      expect(parts(iterator)):to_be("")
    end
    expect(parts(access.sequential(3, 4))):to_be("0+3")
    expect(parts(access.backward(3, 4))):to_be("0+3")
  end)

  it("refuses a block of 0, which would never end, and what is no size", function()
    expect(function()
      access.sequential(10, 0)
    end):to_fail('access.sequential: the block must be a size of at least 1 bytes, such as 65536 or "64KiB", not 0')
    expect(function()
      access.strided(10, 1, 0)
    end):to_fail("access.strided: the stride must be")
    expect(function()
      access.backward("5ms", 1)
    end):to_fail("access.backward: the size must be")
    local _, message = pcall(function()
      ---@diagnostic disable-next-line: param-type-mismatch
      access.sequential(10, 1.5)
    end)
    expect(message):to_match("access_test%.lua:%d+: access%.sequential")
  end)
end)

describe("a pattern", function()
  it("never reaches beyond the file, whatever its size", function()
    local patterns = {
      access.random({ block = "4KiB" }),
      access.random({ block = distributions.uniform(1, 100000), align = 512 }),
      access.zipf({ block = 4096 }),
      access.zipf({ block = 4096, skew = 0 }),
    }
    local rng = bench.rng("bounds")
    for _, size in ipairs({ 0, 1, 511, 4096, 4097, 1000000 }) do
      for _, pattern in ipairs(patterns) do
        for _ = 1, 200 do
          local offset, length = pattern(rng, size)
          if offset < 0 or length < 0 or offset + length > size or (length == 0 and size > 0) then
            expect(("%d+%d of %d"):format(offset, length, size)):to_be("within the file")
          end
        end
      end
    end
  end)

  it("draws every aligned offset equally often", function()
    local pattern = access.random({ block = "4KiB", align = "4KiB" })
    local rng, counts = bench.rng("aligned"), {}
    for _ = 1, 10000 do
      local offset, length = pattern(rng, 4 * 4096)
      expect(length):to_be(4096)
      counts[offset] = (counts[offset] or 0) + 1
    end
    for block = 0, 3 do
      expect(counts[block * 4096]):to_be_near(2500, 150)
    end
  end)

  it("of zipf has the popularity of its ranks, scattered over all blocks", function()
    local pattern = access.zipf({ block = 100, skew = 1 })
    local rng, counts = bench.rng("zipf"), {}
    for _ = 1, 20000 do
      local offset = pattern(rng, 1000)
      counts[offset] = (counts[offset] or 0) + 1
    end
    local sorted = {}
    for _, count in pairs(counts) do
      sorted[#sorted + 1] = count
    end
    table.sort(sorted, function(a, b)
      return a > b
    end)
    -- Ten blocks; the first has 1 / (1 + 1/2 + … + 1/10) of the draws.
    expect(#sorted):to_be(10)
    expect(sorted[1] / 20000):to_be_near(0.3414, 0.012)
    expect(sorted[1] / sorted[2]):to_be_near(2, 0.15)
  end)
end)

describe("whole files", function()
  it("are read and written in blocks", function()
    local operations = test.record(function(c)
      local handle = c:open("a", "rw")
      access.read_all(c, handle, 10000, "4KiB")
      access.write_all(c, handle, "8KiB", nil, { payload = "zero" })
      access.append(c, handle, 8192, 5000, 4096)
      access.read_all(c, handle, 0)
      c:close(handle)
    end)
    local list = {}
    for position, operation in ipairs(operations) do
      list[position] = ("%s %s+%s"):format(operation.kind, tostring(operation.offset), tostring(operation.length))
    end
    expect(table.concat(list, ", ")):to_be(
      "open nil+nil, read 0+4096, read 4096+4096, read 8192+1808, write 0+8192, write 8192+4096, write 12288+904, close nil+nil"
    )
    expect(operations[5].payload):to_be("zero")
    expect(operations):to_be_balanced()
  end)
end)

describe("transfers of drawn sizes", function()
  it("go from front to back until the size is reached, and return where they end", function()
    local ends = {}
    local operations = test.record(function(c, rng)
      local h = c:open("a", "rw")
      local draw = function()
        return 40
      end
      ends[1] = access.write_drawn(c, rng, h, 100, draw)
      ends[2] = access.read_drawn(c, rng, h, 0, draw)
      c:close(h)
    end)
    expect(ends):to_equal({ 120, 40 })
    local transfers = {}
    for number = 2, #operations - 1 do
      local operation = operations[number]
      transfers[number - 1] = ("%s %d %d"):format(operation.kind, operation.offset, operation.length)
    end
    expect(transfers):to_equal({ "write 0 40", "write 40 40", "write 80 40", "read 0 40" })
  end)
end)
