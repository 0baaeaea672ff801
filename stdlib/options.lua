-- @bench/options: checks what a script passes to a module.
--
-- A module declares its options once. The checker fills in defaults, converts
-- sizes and durations to numbers, and raises an error that names the line of the
-- script, not a line of the module:
--
--   local checks = require("@bench/options")
--   local check = checks.checker("@team/report", {
--     { name = "directory", type = "string", needed = "a directory", example = '"team"' },
--     { name = "files", type = "int", default = 20, min = 1 },
--     { name = "size", type = "size", default = "256KiB", min = 1 },
--   })
--
--   function M.write(c, rng, options)
--     local checked = check(options) -- { directory = …, files = …, size = … in bytes }
--
-- A check takes some microseconds, so a function that is called in each
-- iteration should rather be made by a function that checks the options once.
-- Call a checker from the function that the script calls, not from a local
-- function of the module: the compiler may inline that one, and then it has no
-- level of its own for `error`.

local M = {}

---The description of an option. An option with neither a default nor `optional` must be
---given, and has `needed` and `example` for the error if it is not.
---@class (exact) bench.options.Option
---@field name string
---@field type bench.options.Type
---@field default? any a value as a script may give it
---@field optional? boolean the option may be absent, and is nil then
---@field min? number bytes for a size, nanoseconds for a duration
---@field max? number
---@field choices? string[] the strings that are allowed
---@field needed? string what a script must give, such as "a directory"
---@field example? string an example of the value as a script writes it

---* "int": a whole number; "float": a number
---* "path": the path of a file or directory within the share, without a slash at its end
---* "size": a number of bytes or a string ("64KiB"), converted to bytes
---* "duration": a number of nanoseconds or a string ("5ms"), converted to nanoseconds
---* "sizes", "durations": a size or a duration, or a function that draws one
---  (@bench/distributions), converted to such a function
---@alias bench.options.Type "int"|"float"|"bool"|"string"|"path"|"size"|"duration"|"sizes"|"durations"|"function"|"table"

local EXACT = 2 ^ 53

---Returns the value as an error message writes it.
local function shown(value)
  if type(value) == "string" then
    return ("%q"):format(#value > 60 and value:sub(1, 60) .. "…" or value)
  end
  if type(value) == "number" or type(value) == "boolean" or value == nil then
    return tostring(value)
  end
  return "a " .. type(value)
end

---@param value any
---@return boolean
local function is_finite(value)
  return type(value) == "number" and value == value and value > -math.huge and value < math.huge
end

---@param value any
---@return boolean
local function is_whole(value)
  return is_finite(value) and value == math.floor(value) and value >= -EXACT and value <= EXACT
end

---Converts a size or a duration. Returns nil and the problem if it is neither.
---@param convert fun(value: any): integer
---@param name string the name of `convert` in its errors
---@param value any
---@return integer?
---@return string?
local function converted(convert, name, value)
  local ok, result = pcall(convert, value)
  if ok then
    return result, nil
  end
  local text = tostring(result)
  local _, after = text:find(name, 1, true)
  return nil, after and text:sub(after + 1) or ": " .. text
end

---Functions that convert a value. They return nil and the problem, which continues a
---sentence that begins with the option's name, if the value has another type.
---@type table<string, fun(value: any): any, string?>
local CONVERT = {}

function CONVERT.int(value)
  if is_whole(value) then
    return value
  end
  return nil, " must be a whole number, not " .. shown(value)
end

function CONVERT.float(value)
  if is_finite(value) then
    return value
  end
  return nil, " must be a number, not " .. shown(value)
end

function CONVERT.path(value)
  local path = type(value) == "string" and value:gsub("/+$", "") or ""
  if path ~= "" then
    return path
  end
  return nil, ' must be a path such as "team/reports", not ' .. shown(value)
end

function CONVERT.size(value)
  return converted(bench.bytes, "bench.bytes", value)
end

function CONVERT.duration(value)
  return converted(bench.nanoseconds, "bench.nanoseconds", value)
end

---@param of fun(value: any): any, string?
local function drawn(of)
  return function(value)
    if type(value) == "function" then
      return value
    end
    local number, problem = of(value)
    if problem then
      return nil, problem .. "; a distribution such as those of @bench/distributions is possible, too"
    end
    return function()
      return number
    end
  end
end

CONVERT.sizes = drawn(CONVERT.size)
CONVERT.durations = drawn(CONVERT.duration)

for lua_type, words in pairs({
  string = "a string",
  boolean = "true or false",
  ["function"] = "a function",
  table = "a table",
}) do
  CONVERT[lua_type == "boolean" and "bool" or lua_type] = function(value)
    if type(value) == lua_type then
      return value
    end
    return nil, " must be " .. words .. ", not " .. shown(value)
  end
end

---@param value any
---@param minimum number?
---@param maximum number?
---@return string?
local function outside(value, minimum, maximum)
  if type(value) ~= "number" then
    return nil
  end
  if minimum and value < minimum then
    return (" must be at least %s, not %s"):format(tostring(minimum), tostring(value))
  end
  if maximum and value > maximum then
    return (" must be at most %s, not %s"):format(tostring(maximum), tostring(value))
  end
  return nil
end

---@param value any
---@param choices string[]?
---@return string?
local function not_chosen(value, choices)
  local quoted = {}
  for position, choice in ipairs(choices or {}) do
    if value == choice then
      return nil
    end
    quoted[position] = ("%q"):format(choice)
  end
  if #quoted == 0 then
    return nil
  end
  return (" must be %s, not %s"):format(table.concat(quoted, " or "), shown(value))
end

---Returns the converted value of an option, or nil and the problem.
---@param option bench.options.Option
---@param value any
---@return any
---@return string?
local function value_of(option, value)
  local result, problem = CONVERT[option.type](value)
  if problem then
    return nil, problem
  end
  local checked = result ---@type any
  if type(value) ~= "function" and (option.type == "sizes" or option.type == "durations") then
    -- The one value that the function returns.
    checked = checked()
  end
  return result, outside(checked, option.min, option.max) or not_chosen(checked, option.choices)
end

---Returns a function that checks a table of options and returns a new table with the
---converted values and the defaults. `level` chooses the line that an error names. 2
---(default): the caller of the module's function in which the checker is called. 3: the
---caller of that caller.
---@param module string the name of the module in errors, such as "@bench/office"
---@param declared bench.options.Option[]
---@return fun(options: any, level?: integer): any
function M.checker(module, declared)
  ---@type table<string, bench.options.Option>
  local known = {}
  ---@type string[]
  local names = {}
  ---@type table<string, any>
  local defaults = {}
  ---@type string?
  local needs
  for position, option in ipairs(declared) do
    if not CONVERT[option.type] then
      error(("option '%s' has no type '%s'"):format(tostring(option.name), tostring(option.type)), 2)
    end
    known[option.name] = option
    names[position] = option.name
    if option.default ~= nil then
      local default, problem = value_of(option, option.default)
      if problem then
        error(("the default of %s%s"):format(option.name, problem), 2)
      end
      defaults[option.name] = default
    elseif not option.optional and not needs then
      needs = ("%s needs options with %s, such as { %s = %s }"):format(
        module,
        option.needed or option.name,
        option.name,
        option.example or "…"
      )
    end
  end

  ---@param options any
  ---@return any
  ---@return string?
  local function checked(options)
    if options == nil and not needs then
      options = {}
    end
    if type(options) ~= "table" then
      return nil, needs or ("%s takes a table of options, not %s"):format(module, shown(options))
    end
    for name in pairs(options) do
      if not known[name] then
        local text = "%s has no option '%s'; its options are %s"
        return nil, text:format(module, tostring(name), table.concat(names, ", "))
      end
    end
    local values = {}
    for _, option in ipairs(declared) do
      local name = option.name
      if options[name] ~= nil then
        local value, problem = value_of(option, options[name])
        if problem then
          return nil, ("%s: %s%s"):format(module, name, problem)
        end
        values[name] = value
      elseif defaults[name] ~= nil then
        values[name] = defaults[name]
      elseif not option.optional then
        local text = "%s needs options with %s, such as { %s = %s }"
        return nil, text:format(module, option.needed or name, name, option.example or "…")
      end
    end
    return values
  end

  return function(options, level)
    local values, problem = checked(options)
    if problem then
      error(problem, (level or 2) + 1)
    end
    return values
  end
end

---Returns a number, or the bytes or nanoseconds that a string stands for, and the kind of
---quantity that a string is. Returns the problem as the third value if it is neither.
---@param value any
---@return number
---@return "size"|"duration"|nil
---@return string?
function M.read_quantity(value)
  if is_finite(value) and value >= 0 and value <= EXACT then
    return value, nil, nil
  end
  if type(value) == "string" then
    local bytes = converted(bench.bytes, "bench.bytes", value)
    local nanoseconds = converted(bench.nanoseconds, "bench.nanoseconds", value)
    if bytes and nanoseconds and bytes ~= nanoseconds then
      local text = '%s may be a duration or a size: write "5min" for minutes, and "5MiB" for mebibytes'
      return 0, nil, text:format(shown(value))
    end
    if bytes then
      return bytes, "size", nil
    end
    if nanoseconds then
      return nanoseconds, "duration", nil
    end
  end
  local text = 'a number from 0 to 2^53, a size such as "64KiB" or a duration such as "5ms" is needed, not %s'
  return 0, nil, text:format(shown(value))
end

---Returns a quantity as `read_quantity` does, or raises an error.
---@param value any
---@param what string the beginning of an error, such as "distributions.gamma: the mean"
---@param level? integer the caller that an error names. 2 (default): the caller of the function that calls `quantity`; 3: the caller of that caller
---@return number
---@return "size"|"duration"|nil
function M.quantity(value, what, level)
  local number, kind, problem = M.read_quantity(value)
  if problem then
    error(what .. ": " .. problem, (level or 2) + 1)
  end
  return number, kind
end

---Returns a value of one of the types of options.
---@param value any
---@param option bench.options.Option its name is the beginning of an error, such as "access.sequential: the block"
---@param level? integer the caller that an error names, as for `quantity` (default 2)
---@return any
function M.value(value, option, level)
  if value == nil and option.default ~= nil then
    value = option.default
  end
  local result, problem = value_of(option, value)
  if problem then
    error(option.name .. problem, (level or 2) + 1)
  end
  return result
end

---Raises an error unless the top level of the script runs. What a module makes in the
---middle of an iteration would begin anew in each.
---@param name string the function that the script called, such as "files.set"
---@param level? integer the caller that an error names, as for `quantity` (default 2)
function M.require_top_level(name, level)
  -- Random numbers of the script can be had at its top level only.
  if not pcall(bench.rng, "top level") then
    error(name .. " must be called at the top level of the script, outside of all functions", (level or 2) + 1)
  end
end

return M
