-- Runs once in each machine, before the sandbox closes.
local tools = ...
local readable, in_own_thread, emit = tools.readable, tools.in_own_thread, tools.print

local type, select, error = type, select, error
local find, concat, pack, unpack = string.find, table.concat, table.pack, table.unpack

-- Texts without addresses -----------------------------------------------------

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
  return unpack(values, 1, values.n)
end

local raw_format = string.format

function string.format(text, ...)
  local a, b, c, d = ...
  -- No loop: this is called for nearly every path.
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

-- Errors as texts, wherever a script can catch one --------------------------------

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
