local arrivals = require("@bench/arrivals")
local distributions = require("@bench/distributions")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

---Returns the times of the arrivals within some seconds at a rate.
---@param gap bench.Gap
---@param rate number
---@param seconds number
---@return number[]
local function times(gap, rate, seconds)
  local rng = bench.rng("arrivals")
  local now = 0 ---@type number
  local list = {} ---@type number[]
  while true do
    now = now + gap(rng, now, rate)
    if now > seconds * 1e9 then
      return list
    end
    list[#list + 1] = now
  end
end

---Returns the variance of the gaps, divided by their squared mean.
---@param list number[]
local function variation(list)
  local sum, squares, last = 0, 0, list[1] or 0 ---@type number, number, number
  for position = 2, #list do
    local now = list[position] or 0
    local gap = now - last
    last = now
    sum = sum + gap
    squares = squares + gap * gap
  end
  local mean = sum / (#list - 1)
  return squares / (#list - 1) / mean ^ 2 - 1
end

---Returns the largest number of arrivals in a window, divided by what the rate gives.
---@param list number[]
---@param window number nanoseconds
---@param rate number
local function peak(list, window, rate)
  local most, first = 0, 1
  for last, time in ipairs(list) do
    while time - (list[first] or 0) > window do
      first = first + 1
    end
    most = math.max(most, last - first + 1)
  end
  return most / (window / 1e9 * rate)
end

describe("the mean rate", function()
  -- The tolerance is about three standard deviations of the number of arrivals.
  local cases = {
    { "gamma gaps that are even", arrivals.gamma(4), 0.02 },
    { "gamma gaps that are bunched", arrivals.gamma(0.3), 0.04 },
    { "lognormal gaps", arrivals.lognormal(1), 0.03 },
    { "Pareto's gaps", arrivals.pareto(2.5), 0.03 },
    { "batches of one size", arrivals.batches(7), 0.06 },
    { "batches of many sizes", arrivals.batches(distributions.uniform(1, 20)), 0.08 },
    { "bursts with pauses", arrivals.bursts({ on = "200ms", off = "800ms" }), 0.25 },
    { "bursts over a base", arrivals.bursts({ on = "200ms", off = "800ms", idle = 0.2 }), 0.15 },
    { "bursts of constant length", arrivals.bursts({ on = "100ms", off = "300ms", periods = "constant" }), 0.05 },
    { "bursts of Pareto's lengths", arrivals.bursts({ on = "50ms", off = "150ms", periods = "pareto", shape = 2.5 }), 0.25 },
  }
  for _, case in ipairs(cases) do
    it("is kept by " .. case[1], function()
      expect(#times(case[2], 100, 200) / 20000):to_be_near(1, case[3])
    end)
  end

  it("is kept where arrivals are rarer than bursts, and where they are a microsecond apart", function()
    local rare = arrivals.bursts({ on = "20ms", off = "80ms" })
    expect(#times(rare, 0.5, 4000) / 2000):to_be_near(1, 0.1)
    expect(#times(arrivals.gamma(2), 1e6, 0.01) / 10000):to_be_near(1, 0.03)
  end)

  it("is kept while it rises from 0 and falls", function()
    -- Ten seconds up to 200 a second, and ten seconds down to 20.
    local function rate_at(now)
      local seconds = now / 1e9
      return seconds < 10 and 20 * seconds or 200 - 18 * (seconds - 10)
    end
    for _, make in ipairs({
      function()
        return arrivals.gamma(2)
      end,
      function()
        return arrivals.pareto(2.5)
      end,
      function()
        return arrivals.batches(4)
      end,
      function()
        return arrivals.bursts({ on = "50ms", off = "50ms", idle = 0.2 })
      end,
    }) do
      local rng, count = bench.rng("ramps"), 0
      for _ = 1, 20 do
        local gap, now = make(), 0 ---@type bench.Gap, number
        while now < 20e9 do
          now = now + gap(rng, now, rate_at(now)) --[[@as number]]
          count = count + 1
        end
      end
      expect(count / (20 * 2100)):to_be_near(1, 0.03)
    end
  end)

  it("of 0, at the start of a ramp, is followed by a first arrival", function()
    local rng = bench.rng("ramp")
    for _, gap in ipairs({
      arrivals.gamma(2),
      arrivals.lognormal(),
      arrivals.pareto(),
      arrivals.batches(2),
      arrivals.bursts({ on = "1s", off = "1s" }),
    }) do
      expect(gap(rng, 0, 0)):to_be(1e8)
    end
  end)
end)

describe("the spacing", function()
  it("of gamma gaps varies by the shape", function()
    expect(variation(times(arrivals.gamma(4), 100, 200))):to_be_near(0.25, 0.03)
    expect(variation(times(arrivals.gamma(1), 100, 200))):to_be_near(1, 0.1)
    expect(variation(times(arrivals.gamma(0.5), 100, 200))):to_be_near(2, 0.25)
  end)

  it("of lognormal gaps varies by sigma", function()
    -- exp(sigma^2) - 1
    expect(variation(times(arrivals.lognormal(0.5), 100, 200))):to_be_near(0.284, 0.05)
  end)

  it("of batches is 0 within a batch", function()
    local list = times(arrivals.batches(5), 100, 10)
    for position = 1, #list - 4, 5 do
      expect(list[position + 4]):to_be(list[position])
    end
    expect(list[6] > list[5]):to_be(true)
  end)

  it("of batches begins with a whole batch after one that came too late for its phase", function()
    local gap, rng = arrivals.batches(3), bench.rng("phases")
    local late = gap(rng, 0, 1)
    expect(late > 0):to_be(true)
    -- The next phase begins before the batch.
    expect(gap(rng, late / 2, 1) > 0):to_be(true)
  end)

  it("of bursts is far denser than the mean at times, and empty at others", function()
    local list = times(arrivals.bursts({ on = "1s", off = "9s", periods = "constant" }), 100, 100)
    -- A burst has ten times the rate.
    expect(peak(list, 5e8, 100)):to_be_near(10, 1.5)
    local longest, last = 0, list[1] or 0 ---@type number, number
    for _, time in ipairs(list) do
      longest = math.max(longest, time - last)
      last = time
    end
    expect(longest):to_be_near(9e9, 1e8)
  end)

  it("of bursts goes on after a pause of the pace that is longer than any period", function()
    local gap = arrivals.bursts({ on = "1ms", off = "1ms" })
    local rng = bench.rng("pause")
    gap(rng, 0, 1000)
    expect(gap(rng, 3600e9, 1000)):to_be_at_most(1e9)
  end)
end)

describe("wrong use", function()
  it("of a gap that remembers something by two workloads is refused", function()
    local rng = bench.rng("twice")
    local bursts, batches = arrivals.bursts({ on = "1s", off = "1s" }), arrivals.batches(1)
    for name, gap in pairs({ bursts = bursts, batches = batches }) do
      gap(rng, 5e9, 100)
      expect(function()
        gap(rng, 1e9, 100)
      end):to_fail(("a gap of arrivals.%s is used by two workloads; make one for each"):format(name))
    end
  end)

  it("of options is refused with the line of the script", function()
    local _, message = pcall(function()
      ---@diagnostic disable-next-line: missing-fields, param-type-mismatch
      arrivals.bursts({ on = "2s", of = "8s" })
    end)
    expect(message):to_match("arrivals_test%.lua:%d+: arrivals%.bursts has no option 'of'; its options are on, off, idle, periods, shape")
    expect(function()
      ---@diagnostic disable-next-line: missing-fields, param-type-mismatch
      arrivals.bursts({ on = "2s" })
    end):to_fail('arrivals.bursts needs options with the mean length of a pause, such as { off = "8s" }')
    expect(function()
      ---@diagnostic disable-next-line: param-type-mismatch
      arrivals.batches("5ms")
    end):to_fail('arrivals.batches: the size must be a whole number, not "5ms"')
    expect(function()
      arrivals.pareto(1)
    end):to_fail("arrivals.pareto: the shape must be at least 1.05, not 1")
  end)
end)
