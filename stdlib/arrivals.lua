-- @bench/arrivals: the spacing of arrivals in an open loop.
--
--   local arrivals = require("@bench/arrivals")
--   bench.workload {
--     name = "lookups", clients = 32,
--     pace = bench.open_loop { rate = 200, arrivals = arrivals.bursts { on = "2s", off = "8s" } },
--     …
--   }
--
-- "constant" and "poisson" are built in. The functions here return gaps for what
-- real traffic does besides: it comes in bursts, in batches, and with gaps of very
-- different lengths. Each keeps the mean rate that the pace asks for; the report's
-- rates approach it as slowly as the spacing varies.
--
-- The gap after an arrival follows the rate at that arrival. While a rate rises or
-- falls, that is an approximation, which is close if gaps are short beside the phase.
-- Where a ramp begins at 0, the first arrival comes after 100 ms.
--
-- Gaps that remember something (`bursts`, `batches`) belong to one workload: make
-- one for each.

local distributions = require("@bench/distributions")
local checks = require("@bench/options")

local M = {}

-- The gap in nanoseconds where the rate is 0, at the start of a ramp.
local AT_NO_RATE = 100000000

-- Scale of whole numbers that stand for fractions of a mean gap.
local UNIT = 2 ^ 40

-- Maximum number of changes between bursts and pauses that one gap may contain.
local MAX_CHANGES = 10000

---Returns a gap in nanoseconds as the engine takes it. A number below 1000 with few
---decimals would be refused, because it looks like seconds.
---@param value number
---@return number
local function gap_of(value)
  if value < 1000 then
    return math.floor(value) + 0.12345
  end
  return value
end

---Returns gaps of a gamma distribution. With shape 1 arrivals are a Poisson process; a larger
---shape spaces them more evenly (a whole number k is an Erlang-k distribution, the time
---that k stages of work take), and a smaller one bunches them. The variance of a gap is
---its squared mean divided by the shape.
---@param shape number 0.01 to 1e6
---@return bench.Gap
function M.gamma(shape)
  checks.value(shape, { name = "arrivals.gamma: the shape", type = "float", min = 0.01, max = 1e6 })
  local draw = distributions.gamma(UNIT, shape)
  return function(rng, _, rate)
    if rate <= 0 then
      return AT_NO_RATE
    end
    return gap_of(draw(rng) / UNIT * (1e9 / rate))
  end
end

---Returns gaps of a lognormal distribution, as people leave them: most are short, a few are
---long.
---@param sigma? number the standard deviation of the logarithm, 0 to 5 (default 1)
---@return bench.Gap
function M.lognormal(sigma)
  local checked = checks.value(sigma, { name = "arrivals.lognormal: sigma", type = "float", default = 1, min = 0, max = 5 })
  -- The mean of a lognormal distribution is its median times this factor.
  local factor = math.exp(checked * checked / 2)
  return function(rng, _, rate)
    if rate <= 0 then
      return AT_NO_RATE
    end
    return gap_of(rng:lognormal(1e9 / rate / factor, checked))
  end
end

---Returns gaps of a Pareto distribution, whose tail is heavy: traffic that is uneven on every
---scale of time (W. Willinger et al., "Self-similarity through high-variability", IEEE/ACM
---Transactions on Networking 5, 1997). Up to a shape of 2 the variance is infinite, so a
---short run may be far from the rate.
---@param shape? number above 1, at most 1e6 (default 1.5)
---@return bench.Gap
function M.pareto(shape)
  local checked = checks.value(shape, { name = "arrivals.pareto: the shape", type = "float", default = 1.5, min = 1.05, max = 1e6 })
  -- The mean is scale * shape / (shape - 1).
  local factor = (checked - 1) / checked
  return function(rng, _, rate)
    if rate <= 0 then
      return AT_NO_RATE
    end
    return gap_of(rng:pareto(1e9 / rate * factor, checked))
  end
end

---Returns gaps of batches: several iterations arrive at the same instant, as when a
---program starts many requests at once. Batches begin independently of one another (a
---Poisson process if all have one size). A batch of k is followed by a gap whose mean is
---k times as long, which keeps the rate.
---@param size integer|bench.Distribution number of iterations in a batch, 1 to 100,000
---@return bench.Gap
function M.batches(size)
  local draw = size
  if type(size) ~= "function" then
    checks.value(size, { name = "arrivals.batches: the size", type = "int", min = 1, max = 100000 })
    draw = function()
      return size --[[@as integer]]
    end
  end
  ---@cast draw bench.Distribution
  local left, batch = 0, 0
  local last, last_rate = 0, 0 ---@type number, number the call before the batch, and the rate then
  local due = 0 ---@type number the time of the batch
  return function(rng, now, rate)
    if left > 0 and now > due - 2 then
      left = left - 1
      return 0
    end
    -- A batch that would have come after the end of its phase is dropped with all of it.
    if now < last then
      error("a gap of arrivals.batches is used by two workloads; make one for each", 2)
    end
    -- The gap is long beside others, so it follows a rate that rises or falls: the rate
    -- goes on as it did since the batch before. rate * t + slope / 2 * t^2 = gaps is
    -- solved for t in seconds.
    local slope = now > last and (rate - last_rate) / (now - last) * 1e9 or 0
    last, last_rate = now, rate
    local ended = batch
    batch = math.min(math.max(draw(rng), 1), 100000)
    left = batch - 1
    if rate <= 0 then
      due = now + AT_NO_RATE
      return AT_NO_RATE
    end
    -- The first batch follows the start of arrivals as another would.
    local gaps = rng:exp(ended > 0 and ended or batch)
    local square = rate * rate + 2 * slope * gaps
    local gap = square > 0 and 2e9 * gaps / (rate + math.sqrt(square)) or 1e9 * gaps / rate
    due = now + gap
    return gap_of(gap)
  end
end

---@class (exact) bench.arrivals.Bursts
---@field on bench.Duration mean length of a burst
---@field off bench.Duration mean length of the pause between two bursts
---@field idle? number rate in the pauses as a share of the rate in bursts, from 0 to 1 (default 0)
---@field periods? "exponential"|"pareto"|"constant" distribution of both lengths (default "exponential")
---@field shape? number shape of the Pareto distribution, above 1 (default 1.5)

local check_bursts = checks.checker("arrivals.bursts", {
  { name = "on", type = "duration", min = 1000, needed = "the mean length of a burst", example = '"2s"' },
  { name = "off", type = "duration", min = 1000, needed = "the mean length of a pause", example = '"8s"' },
  { name = "idle", type = "float", default = 0, min = 0, max = 1 },
  { name = "periods", type = "string", default = "exponential", choices = { "exponential", "pareto", "constant" } },
  { name = "shape", type = "float", default = 1.5, min = 1.05, max = 1e6 },
})

---Returns gaps of bursts: a Poisson process whose rate alternates between bursts and
---pauses, such that its mean is the rate of the pace. With exponential lengths this is a
---Markov-modulated Poisson process of two states (W. Fischer and K. Meier-Hellstern, "The
---Markov-modulated Poisson process (MMPP) cookbook", Performance Evaluation 18, 1993), or
---an interrupted one if `idle` is 0. With lengths of a Pareto distribution, bursts of
---very different lengths add up to traffic that is uneven on every scale of time.
---@param options bench.arrivals.Bursts
---@return bench.Gap
function M.bursts(options)
  local checked = check_bursts(options)
  local on, off, idle, shape = checked.on, checked.off, checked.idle, checked.shape
  -- The rate in a burst and in a pause, as multiples of the mean rate.
  local high = (on + off) / (on + idle * off)
  local low = idle * high
  local periods = checked.periods

  ---@param rng bench.Rng
  ---@param mean number
  ---@return number
  local function period(rng, mean)
    if periods == "exponential" then
      return rng:exp(mean)
    elseif periods == "pareto" then
      return rng:pareto(mean * (shape - 1) / shape, shape)
    end
    return mean
  end

  local burst = false
  local ends = -1 ---@type number the end of the present burst or pause, -1 before the first
  local last = 0 ---@type number the latest arrival

  return function(rng, now, rate)
    if now < last then
      error("a gap of arrivals.bursts is used by two workloads; make one for each", 2)
    end
    last = now
    if rate <= 0 then
      return AT_NO_RATE
    end
    if ends < 0 then
      burst = rng:float() < on / (on + off)
      ends = now + period(rng, burst and on or off)
    end
    local at = now
    for _ = 1, MAX_CHANGES do
      if at < ends then
        local multiple = burst and high or low
        local gap = multiple > 0 and rng:exp(1e9 / rate / multiple) or math.huge
        if at + gap < ends then
          return gap_of(at + gap - now)
        end
      end
      at = math.max(at, ends)
      burst = not burst
      ends = ends + period(rng, burst and on or off)
    end
    ends = math.max(at, ends)
    return gap_of(at - now)
  end
end

return M
