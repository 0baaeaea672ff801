-- Runs once in each VM, before the sandbox closes.
local tools = ...
local readable, in_own_thread, emit = tools.readable, tools.in_own_thread, tools.print

local type, select, error = type, select, error
local find, concat, pack, raw_unpack = string.find, table.concat, table.pack, table.unpack

-- Strings without addresses ---------------------------------------------------

local raw_tostring = tostring

function tostring(value)
  local text = raw_tostring(value)
  if type(value) == "table" and find(text, "^table: 0x%x+$") then
    return "table"
  end
  return text
end

local tostring = tostring

local function without_tables(...)
  local values = pack(...)
  for i = 1, values.n do
    if type(values[i]) == "table" then
      values[i] = tostring(values[i])
    end
  end
  return raw_unpack(values, 1, values.n)
end

local raw_format = string.format

function string.format(text, ...)
  local a, b, c, d = ...
  -- There is no loop here, because this is called for nearly every path.
  if type(a) == "table" or type(b) == "table" or type(c) == "table" or type(d) == "table" or select("#", ...) > 4 then
    return raw_format(text, without_tables(...))
  end
  return raw_format(text, ...)
end

function print(...)
  local values = pack(...)
  for i = 1, values.n do
    values[i] = tostring(values[i])
  end
  emit(concat(values, "\t", 1, values.n))
end

-- Searching and sorting in bounded time -------------------------------------------
--
-- Luau's own functions cannot be interrupted, so a malicious script could make them run for
-- minutes.

local raw_find, raw_split, raw_sort = string.find, string.split, table.sort
local find_plain = tools.find_plain
local sub, rawlen, tonumber = string.sub, rawlen, tonumber

-- The time of a search for a long string is the product of both lengths.
local LONG_PATTERN = 64

function string.find(text, pattern, init, plain)
  if type(pattern) == "string" and #pattern > LONG_PATTERN and type(text) == "string" then
    if plain or not raw_find(pattern, "[%^%$%*%+%?%.%(%[%%%-]") then
      local first, last = find_plain(text, pattern, tonumber(init) or 1)
      if first then
        return first, last
      end
      return nil
    end
  end
  return raw_find(text, pattern, init, plain)
end

function string.split(text, separator)
  if type(separator) ~= "string" or #separator <= LONG_PATTERN or type(text) ~= "string" then
    return raw_split(text, separator)
  end
  local parts, from = {}, 1
  repeat
    local first, last = find_plain(text, separator, from)
    parts[#parts + 1] = sub(text, from, first and first - 1)
    from = last and last + 1
  until not first
  return parts
end

local LONG_LIST = 100000

local function ascending(a, b)
  return a < b
end

function table.sort(list, less)
  if less == nil and type(list) == "table" and rawlen(list) > LONG_LIST then
    less = ascending
  end
  return raw_sort(list, less)
end

-- Numbers beyond 32 bits -----------------------------------------------------------
--
-- Luau casts these arguments to 32 bits. Beyond that range the result depends on the processor:
-- string.rep("x", 2^31) would be an empty string on one host and an error on another.

local function beyond_32_bits(name, position, value)
  local number = tonumber(value)
  if number and not (number >= -2147483648 and number <= 2147483647) then
    return "argument " .. position .. " of " .. name .. " is " .. tostring(value) .. "; it must be a number from -2^31 to 2^31 - 1"
  end
  return nil
end

local function check_arguments(library, name, shown, first, last)
  local raw = library[name]
  library[name] = function(...)
    for position = first, last do
      local problem = beyond_32_bits(shown, position, (select(position, ...)))
      if problem then
        error(problem, 2)
      end
    end
    return raw(...)
  end
end

check_arguments(string, "rep", "string.rep", 2, 2)
check_arguments(string, "find", "string.find", 3, 3)
check_arguments(string, "match", "string.match", 3, 3)
check_arguments(string, "gsub", "string.gsub", 4, 4)
check_arguments(string, "unpack", "string.unpack", 3, 3)
check_arguments(table, "concat", "table.concat", 3, 4)
check_arguments(table, "unpack", "table.unpack", 2, 3)
check_arguments(table, "remove", "table.remove", 2, 2)
check_arguments(table, "move", "table.move", 2, 4)
check_arguments(math, "ldexp", "math.ldexp", 2, 2)
check_arguments(utf8, "offset", "utf8.offset", 2, 3)
check_arguments(utf8, "codepoint", "utf8.codepoint", 2, 3)
check_arguments(utf8, "len", "utf8.len", 2, 3)
unpack = table.unpack

-- Scripts call these two in loops, so the usual arguments are checked without a vararg.
local function check_positions(name, shown)
  local raw = string[name]
  local kind = type
  string[name] = function(text, first, last)
    local usual = (first == nil or kind(first) == "number" and first >= -2147483648 and first <= 2147483647)
      and (last == nil or kind(last) == "number" and last >= -2147483648 and last <= 2147483647)
    local problem = not usual and (beyond_32_bits(shown, 2, first) or beyond_32_bits(shown, 3, last))
    if problem then
      error(problem, 2)
    end
    return raw(text, first, last)
  end
end

check_positions("sub", "string.sub")
check_positions("byte", "string.byte")

local raw_insert = table.insert

function table.insert(...)
  -- With two arguments the second one is the value.
  local problem = select("#", ...) == 3 and beyond_32_bits("table.insert", 2, (select(2, ...)))
  if problem then
    error(problem, 2)
  end
  return raw_insert(...)
end

-- Errors as strings, wherever a script can catch one ------------------------------

local raw_pcall, raw_xpcall = pcall, xpcall

local function caught(ok, ...)
  if ok then
    return true, ...
  end
  return false, readable((...))
end

function pcall(f, ...)
  return caught(raw_pcall(f, ...))
end

function xpcall(f, handler, ...)
  local function on_error(value)
    return handler(readable(value))
  end
  return caught(raw_xpcall(f, on_error, ...))
end

local raw_resume, raw_close, raw_yield = coroutine.resume, coroutine.close, coroutine.yield
local raw_running = coroutine.running

-- Clients take turns in one thread, so its identity does not identify a client.
function coroutine.running()
  if in_own_thread() then
    return nil
  end
  return raw_running()
end

function coroutine.resume(thread, ...)
  return caught(raw_resume(thread, ...))
end

function coroutine.close(thread)
  return caught(raw_close(thread))
end

function coroutine.yield(...)
  if in_own_thread() then
    error("coroutine.yield outside a coroutine of the script", 2)
  end
  return raw_yield(...)
end
