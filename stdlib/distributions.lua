-- @bench/distributions: random sizes, times and counts.
--
--   local distributions = require("@bench/distributions")
--   local sizes = distributions.gamma("128KiB", 1.5)
--   …
--   c:write(h, 0, sizes(rng))
--
-- Each function checks its arguments once and returns a distribution: a function
-- that takes random numbers (rng, or bench.rng(name) at the top of the script)
-- and returns a whole number from 0 to 2^53. Where a size or a duration stands, a
-- number or a string is taken: sizes are drawn in bytes, durations in nanoseconds.
-- A distribution keeps nothing between two draws, so all clients can share it.

local checks = require("@bench/options")

local M = {}

---Draws a whole number from 0 to 2^53: bytes, nanoseconds, or a count.
---@alias bench.Distribution fun(rng: bench.Rng): integer

local LARGEST = 2 ^ 53

-- Maximum number of values that are drawn to find one between the bounds.
local BOUNDED_DRAWS = 16

-- Maximum number of tries for a draw of the gamma distribution. Each one succeeds
-- with a probability above 0.95.
local GAMMA_TRIES = 64

---Returns the nearest whole number that a distribution may return.
---@param value number
---@return integer
local function whole(value)
  if value < LARGEST then
    return math.floor(value + 0.5)
  end
  return LARGEST
end

---Returns two quantities and their kind, or the problem as the fourth value.
---@param low any
---@param high any
---@return number
---@return number
---@return string?
---@return string?
local function range(low, high)
  local first, first_kind, problem = checks.read_quantity(low)
  if problem then
    return 0, 0, nil, "the lower bound: " .. problem
  end
  local last, last_kind, other_problem = checks.read_quantity(high)
  if other_problem then
    return 0, 0, nil, "the upper bound: " .. other_problem
  end
  if first_kind and last_kind and first_kind ~= last_kind then
    return 0, 0, nil, ("one bound is a %s and the other a %s"):format(first_kind, last_kind)
  end
  if first > last then
    return 0, 0, nil, ("the lower bound %s is above the upper bound %s"):format(tostring(low), tostring(high))
  end
  return first, last, first_kind or last_kind, nil
end

---Returns a range of whole numbers within two quantities, as `range` does.
---@param low any
---@param high any
---@return integer
---@return integer
---@return string?
---@return string?
local function whole_range(low, high)
  local first, last, kind, problem = range(low, high)
  if not problem and math.ceil(first) > math.floor(last) then
    problem = ("no whole number is between %s and %s"):format(tostring(low), tostring(high))
  end
  return math.ceil(first), math.floor(last), kind, problem
end

---Returns a distribution that always draws the same value.
---@param value bench.Quantity
---@return bench.Distribution
function M.constant(value)
  local number = whole((checks.quantity(value, "distributions.constant: the value")))
  return function()
    return number
  end
end

---Returns a distribution that draws every whole number from `low` to `high`, both included,
---with the same probability.
---@param low bench.Quantity
---@param high bench.Quantity
---@return bench.Distribution
function M.uniform(low, high)
  local first, last, _, problem = whole_range(low, high)
  if problem then
    error("distributions.uniform: " .. problem, 2)
  end
  return function(rng)
    return rng:int(first, last)
  end
end

---Returns the exponential distribution with this mean: the time between two events that do not
---depend on one another.
---@param mean bench.Quantity
---@return bench.Distribution
function M.exponential(mean)
  local number = checks.quantity(mean, "distributions.exponential: the mean")
  return function(rng)
    return whole(rng:exp(number))
  end
end

---Returns the gamma distribution with this mean. The variance is mean^2 / shape: with shape 1 it
---is the exponential distribution, and a larger shape is narrower. filebench draws sizes
---of files with shape 1.5. The algorithm is that of G. Marsaglia and W. W. Tsang, "A simple
---method for generating gamma variables", ACM TOMS 26 (2000).
---@param mean bench.Quantity
---@param shape number 0.01 to 1e6
---@return bench.Distribution
function M.gamma(mean, shape)
  local number = checks.quantity(mean, "distributions.gamma: the mean")
  checks.value(shape, { name = "distributions.gamma: the shape", type = "float", min = 0.01, max = 1e6 })
  -- A shape below 1 is drawn with a shape that is larger by 1, and a power of a
  -- uniform number corrects it.
  local power = shape < 1 and 1 / shape or nil
  local d = (power and shape + 1 or shape) - 1 / 3
  local c = 1 / math.sqrt(9 * d)
  local scale = number / shape * d
  return function(rng)
    local v = 1 ---@type number
    for _ = 1, GAMMA_TRIES do
      local x = rng:normal(0, 1)
      local root = 1 + c * x
      if root > 0 then
        v = root * root * root
        local u = rng:float()
        local square = x * x
        if u < 1 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (1 - v + math.log(v)) then
          break
        end
      end
    end
    if power then
      return whole(scale * v * math.exp(power * math.log(1 - rng:float())))
    end
    return whole(scale * v)
  end
end

---@alias bench.Bounds { min?: bench.Quantity, max?: bench.Quantity }

---Returns the bounds of a distribution, or the problem as the third value.
---@param kind string? the kind of quantities that are drawn
---@param bounds any
---@return number
---@return number
---@return string?
local function bounds_of(kind, bounds)
  if bounds == nil then
    return 0, LARGEST, nil
  end
  if type(bounds) ~= "table" then
    return 0, 0, (' takes bounds such as { min = "1KiB", max = "1GiB" }, not %s'):format(tostring(bounds))
  end
  for name in pairs(bounds) do
    if name ~= "min" and name ~= "max" then
      return 0, 0, (" has no bound '%s'; its bounds are min, max"):format(tostring(name))
    end
  end
  local low, high, own_kind, problem = range(bounds.min or 0, bounds.max or LARGEST)
  if not problem and kind and own_kind and kind ~= own_kind then
    problem = ("the bounds are %ss, and a %s is drawn"):format(own_kind, kind)
  end
  return low, high, problem and ": " .. problem
end

---Returns a distribution that draws again, up to 16 times, until a value is between the
---bounds, and then takes the nearer bound.
---@param draw fun(rng: bench.Rng): number
---@param low number
---@param high number
---@return bench.Distribution
local function bounded(draw, low, high)
  if low <= 0 and high >= LARGEST then
    return function(rng)
      return whole(draw(rng))
    end
  end
  return function(rng)
    local value = 0 ---@type number
    for _ = 1, BOUNDED_DRAWS do
      value = draw(rng)
      if value >= low and value <= high then
        return whole(value)
      end
    end
    return whole(math.min(math.max(value, low), high))
  end
end

---Returns a lognormal distribution, which sizes of files and think times often have: half
---of the values are below the median, and two of three within a factor math.exp(sigma) of
---it. A value outside of the bounds is drawn again, up to 16 times; after that the nearer
---bound is taken. So narrow bounds change the median.
---@param median bench.Quantity
---@param sigma number the standard deviation of the (natural) logarithm, 0 to 10
---@param bounds? bench.Bounds
---@return bench.Distribution
function M.lognormal(median, sigma, bounds)
  local number, kind = checks.quantity(median, "distributions.lognormal: the median")
  checks.value(sigma, { name = "distributions.lognormal: sigma", type = "float", min = 0, max = 10 })
  local low, high, problem = bounds_of(kind, bounds)
  if problem then
    error("distributions.lognormal" .. problem, 2)
  end
  return bounded(function(rng)
    return rng:lognormal(number, sigma)
  end, low, high)
end

---Returns a Pareto distribution, whose tail is heavy: values are at least `scale`, and above
---x with the probability (scale / x)^shape. Bounds are kept as those of `lognormal` are.
---@param scale bench.Quantity the smallest value
---@param shape number 0.1 to 1e6; with a shape up to 1 there is no mean, up to 2 no variance
---@param bounds? bench.Bounds
---@return bench.Distribution
function M.pareto(scale, shape, bounds)
  local number, kind = checks.quantity(scale, "distributions.pareto: the scale")
  checks.value(shape, { name = "distributions.pareto: the shape", type = "float", min = 0.1, max = 1e6 })
  local low, high, problem = bounds_of(kind, bounds)
  if problem then
    error("distributions.pareto" .. problem, 2)
  end
  return bounded(function(rng)
    return rng:pareto(number, shape)
  end, low, high)
end

---Returns the weights of a list as sums that end with 1, or the problem as the second
---value.
---@param list any
---@return number[]
---@return string?
local function sums_of(list)
  if type(list) ~= "table" or #list == 0 then
    return {}, " takes a list that is not empty"
  end
  local sums, total = {}, 0 ---@type number[], number
  for position, entry in ipairs(list) do
    local weight = type(entry) == "table" and entry[1]
    if type(weight) ~= "number" or not (weight >= 0 and weight <= 1e15) then
      return {}, (": entry %d must begin with its weight, a number from 0 to 1e15"):format(position)
    end
    total = total + weight
    sums[position] = total
  end
  if total <= 0 then
    return {}, ": all weights are 0, so there is nothing to draw"
  end
  for position, sum in ipairs(sums) do
    sums[position] = sum / total
  end
  return sums, nil
end

---Returns the position of the first sum that is above a number below 1.
---@param sums number[]
---@param number number
---@return integer
local function position_of(sums, number)
  local low, high = 1, #sums
  while low < high do
    local middle = (low + high) // 2
    if sums[middle] > number then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

---Returns a distribution of values or classes by weight, as published tables have them:
---`distributions.empirical { { 33, "1KiB" }, { 21, "1KiB", "3KiB" } }`. An entry is a weight
---and a value, or a weight and the lowest and the highest value of a class, in which every
---whole number has the same probability. Weights need not add up to 100.
---@param classes { [1]: number, [2]: bench.Quantity, [3]?: bench.Quantity }[]
---@return bench.Distribution
function M.empirical(classes)
  local sums, problem = sums_of(classes)
  if problem then
    error("distributions.empirical" .. problem, 2)
  end
  local lows, highs = {}, {} ---@type integer[], integer[]
  local kind ---@type string?
  for position, class in ipairs(classes) do
    local low, high, own_kind, other_problem
    if class[4] ~= nil then
      other_problem = "there is more than a weight and two bounds"
    elseif class[3] == nil then
      low, own_kind, other_problem = checks.read_quantity(class[2])
      low = whole(low)
      high = low
    else
      low, high, own_kind, other_problem = whole_range(class[2], class[3])
    end
    if kind and own_kind and kind ~= own_kind then
      other_problem = ("it is a %s, and an entry before it a %s"):format(own_kind, kind)
    end
    if other_problem then
      error(("distributions.empirical: entry %d: %s"):format(position, other_problem), 2)
    end
    kind = kind or own_kind
    lows[position], highs[position] = low, high
  end
  return function(rng)
    local position = position_of(sums, rng:float())
    local low, high = lows[position], highs[position]
    if low == high then
      return low
    end
    return rng:int(low, high)
  end
end

---Returns a distribution that draws from one of several distributions, by weight:
---`distributions.mixture { { 70, distributions.gamma("16KiB", 1.5) }, { 30, distributions.constant(0) } }`.
---@param parts { [1]: number, [2]: bench.Distribution }[]
---@return bench.Distribution
function M.mixture(parts)
  local sums, problem = sums_of(parts)
  if problem then
    error("distributions.mixture" .. problem, 2)
  end
  local draws = {} ---@type bench.Distribution[]
  for position, part in ipairs(parts) do
    if type(part[2]) ~= "function" then
      local text = 'distributions.mixture: entry %d must be a weight and a distribution, such as { 70, distributions.constant("16KiB") }, not %s after the weight'
      local given = type(part[2]) == "string" and ("%q"):format(part[2]) or tostring(part[2])
      error(text:format(position, given), 2)
    end
    draws[position] = part[2]
  end
  return function(rng)
    local draw = draws[position_of(sums, rng:float())]
    return draw and draw(rng) or 0
  end
end

return M
