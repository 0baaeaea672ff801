local distributions = require("@bench/distributions")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

local DRAWS = 20000

---Draws from a distribution and returns the mean, the variance, and the values.
---@param draw bench.Distribution
---@param count? integer
local function drawn(draw, count)
  local rng = bench.rng("draws")
  local values, sum, squares = {}, 0, 0
  for position = 1, count or DRAWS do
    local value = draw(rng)
    values[position] = value
    sum = sum + value
    squares = squares + value * value
  end
  local mean = sum / #values
  return mean, squares / #values - mean * mean, values
end

---Returns the share of the values from `low` to `high`, both included.
---@param values number[]
---@param low number
---@param high number
local function share(values, low, high)
  local count = 0
  for _, value in ipairs(values) do
    if value >= low and value <= high then
      count = count + 1
    end
  end
  return count / #values
end

describe("constant", function()
  it("always draws its value in bytes or nanoseconds", function()
    expect(drawn(distributions.constant("64KiB"), 10)):to_be(65536)
    expect(drawn(distributions.constant("5ms"), 10)):to_be(5000000)
    expect(drawn(distributions.constant(7), 10)):to_be(7)
  end)
end)

describe("uniform", function()
  it("draws both ends and every value equally often", function()
    local _, _, values = drawn(distributions.uniform(1, 4))
    for value = 1, 4 do
      -- The standard deviation is 0.3 %.
      expect(share(values, value, value)):to_be_near(0.25, 0.015)
    end
  end)

  it("refuses bounds in the wrong order and of different kinds", function()
    expect(function()
      distributions.uniform("4KiB", "1KiB")
    end):to_fail("distributions.uniform: the lower bound 4KiB is above the upper bound 1KiB")
    expect(function()
      distributions.uniform("1KiB", "5ms")
    end):to_fail("distributions.uniform: one bound is a size and the other a duration")
    expect(function()
      distributions.uniform(0.2, 0.4)
    end):to_fail("no whole number is between 0.2 and 0.4")
  end)
end)

describe("exponential", function()
  it("has its mean, and the square of it as variance", function()
    local mean, variance = drawn(distributions.exponential("5ms"))
    expect(mean / 5e6):to_be_near(1, 0.03)
    expect(variance / 25e12):to_be_near(1, 0.08)
  end)
end)

describe("gamma", function()
  for _, shape in ipairs({ 0.3, 1, 1.5, 9 }) do
    it(("with shape %s has its mean and variance"):format(tostring(shape)), function()
      local mean, variance = drawn(distributions.gamma("128KiB", shape))
      local expected = 128 * 1024
      expect(mean / expected):to_be_near(1, 0.04)
      -- The variance is the squared mean divided by the shape.
      expect(variance * shape / expected ^ 2):to_be_near(1, 0.12)
    end)
  end

  it("with shape 1.5 has the quantiles of that distribution", function()
    local _, _, values = drawn(distributions.gamma(15000, 1.5))
    -- Twice the value over its scale follows chi-squared with three degrees of
    -- freedom, whose median is 2.366 and whose 95 % quantile is 7.815.
    expect(share(values, 0, 10000 * 2.366 / 2)):to_be_near(0.5, 0.015)
    expect(share(values, 0, 10000 * 7.815 / 2)):to_be_near(0.95, 0.007)
  end)

  it("refuses a shape of 0 and names the line of the script", function()
    local _, message = pcall(function()
      distributions.gamma("16KiB", 0)
    end)
    expect(message):to_match("distributions_test%.lua:%d+: distributions%.gamma: the shape must be at least 0%.01, not 0")
  end)
end)

describe("lognormal", function()
  it("has its median, and two of three values within a factor", function()
    local _, _, values = drawn(distributions.lognormal("64KiB", 1))
    local median = 65536
    expect(share(values, 0, median)):to_be_near(0.5, 0.015)
    expect(share(values, median / math.exp(1), median * math.exp(1))):to_be_near(0.683, 0.015)
  end)

  it("draws again until a value is between its bounds", function()
    local _, _, values = drawn(distributions.lognormal("64KiB", 1, { min = "16KiB", max = "256KiB" }))
    expect(share(values, 16384, 262144)):to_be(1)
    -- Few of the values stand at the bounds, so it did not just clamp.
    expect(share(values, 16384, 16384) + share(values, 262144, 262144)):to_be_at_most(0.001)
  end)

  it("takes the nearer bound if no value falls between the bounds", function()
    local far = distributions.lognormal("1KiB", 0.1, { min = "1MiB" })
    expect(drawn(far, 20)):to_be(1048576)
    local near = distributions.lognormal("1MiB", 0.1, { max = "1KiB" })
    expect(drawn(near, 20)):to_be(1024)
  end)

  it("refuses bounds of another kind and unknown ones", function()
    expect(function()
      distributions.lognormal("5ms", 1, { min = "1KiB" })
    end):to_fail("distributions.lognormal: the bounds are sizes, and a duration is drawn")
    expect(function()
      distributions.lognormal("5ms", 1, { maximum = "1s" })
    end):to_fail("distributions.lognormal has no bound 'maximum'; its bounds are min, max")
    expect(function()
      distributions.lognormal("5ms", 11)
    end):to_fail("distributions.lognormal: sigma must be at most 10, not 11")
  end)
end)

describe("pareto", function()
  it("begins at its scale and falls by its shape", function()
    local _, _, values = drawn(distributions.pareto("1KiB", 2))
    expect(share(values, 0, 1023)):to_be(0)
    expect(share(values, 2049, math.huge)):to_be_near(0.25, 0.012)
    expect(share(values, 10241, math.huge)):to_be_near(0.01, 0.003)
  end)
end)

describe("empirical", function()
  it("draws each class by its weight, and within a class uniformly", function()
    -- The sizes of filebench's networkfs.
    local sizes = distributions.empirical({
      { 33, "1KiB" },
      { 21, 1025, "3KiB" },
      { 13, 3073, "5KiB" },
      { 33, 5121, "1707KiB" },
    })
    local _, _, values = drawn(sizes)
    expect(share(values, 1024, 1024)):to_be_near(0.33, 0.014)
    expect(share(values, 1025, 3072)):to_be_near(0.21, 0.012)
    expect(share(values, 1025, 2048)):to_be_near(0.105, 0.009)
    expect(share(values, 3073, 5120)):to_be_near(0.13, 0.01)
    expect(share(values, 5121, 1707 * 1024)):to_be_near(0.33, 0.014)
    expect(share(values, 0, 1023)):to_be(0)
  end)

  it("draws from many classes, and never one of weight 0", function()
    local classes = {}
    for class = 1, 100 do
      classes[class] = { class % 2, class }
    end
    local mean, _, values = drawn(distributions.empirical(classes))
    expect(mean):to_be_near(50, 0.8)
    for _, value in ipairs(values) do
      if value % 2 == 0 then
        expect(value):to_be("an odd number")
      end
    end
  end)

  it("refuses what is no class", function()
    expect(function()
      distributions.empirical({})
    end):to_fail("distributions.empirical takes a list that is not empty")
    expect(function()
      distributions.empirical({ { 1, "1KiB" }, { 1, "5ms" } })
    end):to_fail("distributions.empirical: entry 2: it is a duration, and an entry before it a size")
    expect(function()
      distributions.empirical({ { 0, "1KiB" } })
    end):to_fail("all weights are 0")
    expect(function()
      distributions.empirical({ { 1, 1, 2, 3 } })
    end):to_fail("entry 1: there is more than a weight and two bounds")
    expect(function()
      distributions.empirical({ { 1, "5m" } })
    end):to_fail('"5m" may be a duration or a size')
  end)
end)

describe("mixture", function()
  it("draws from each part by its weight", function()
    local mixed = distributions.mixture({
      { 70, distributions.constant(1) },
      { 30, distributions.uniform(10, 20) },
    })
    local _, _, values = drawn(mixed)
    expect(share(values, 1, 1)):to_be_near(0.7, 0.014)
    expect(share(values, 10, 20)):to_be_near(0.3, 0.014)
  end)

  it("refuses a part that is no distribution", function()
    expect(function()
      ---@diagnostic disable-next-line: assign-type-mismatch
      distributions.mixture({ { 1, "64KiB" } })
    end):to_fail('distributions.mixture: entry 1 must be a weight and a distribution, such as { 70, distributions.constant("16KiB") }, not "64KiB" after the weight')
  end)
end)

describe("every distribution", function()
  it("draws whole numbers, and the same ones from the same random numbers", function()
    for _, draw in ipairs({
      distributions.constant(1.7),
      distributions.exponential(1.5),
      distributions.gamma("1KiB", 0.5),
      distributions.lognormal(3, 2),
      distributions.pareto(1.5, 0.1),
      distributions.empirical({ { 1, 2.5 }, { 1, 3, 9.5 } }),
    }) do
      local _, _, first = drawn(draw, 500)
      local _, _, second = drawn(draw, 500)
      expect(first):to_equal(second)
      for _, value in ipairs(first) do
        if value ~= math.floor(value) or value < 0 or value > 2 ^ 53 then
          expect(value):to_be("a whole number up to 2^53")
        end
      end
    end
  end)
end)
