-- @bench/access: the order in which parts of a file are read and written.
--
-- Iterators go through a file once, from offset to offset:
--
--   for offset, length in access.sequential(size, "64KiB") do
--     c:read(h, offset, length)
--   end
--
-- Patterns draw one position after another. They are made once, at the top of the
-- script, keep nothing between two draws, and can be shared by all clients:
--
--   local place = access.random { block = "4KiB", align = "4KiB" }
--   …
--   c:read(h, place(rng, size))
--
-- No offset and length reach beyond the size of the given file. A pattern
-- returns offset 0 and length 0 for an empty file, and an iterator returns nothing.
-- Sizes are numbers of bytes or strings ("64KiB").

local checks = require("@bench/options")

local M = {}

---Returns an offset and a length within a file of this size in bytes.
---@alias bench.AccessPattern fun(rng: bench.Rng, size: integer): integer, integer

---Returns a size in bytes, or the problem as the second value. Numbers are not converted.
---@param value any
---@param minimum integer
---@return integer
---@return string?
local function bytes(value, minimum)
  local number, kind, problem = checks.read_quantity(value)
  if problem or kind == "duration" or number ~= math.floor(number) or number < minimum then
    local text = 'must be a size of at least %d bytes, such as 65536 or "64KiB", not %s'
    return 0, text:format(minimum, tostring(value))
  end
  return number --[[@as integer]], nil
end

---Returns an iterator over a file from front to back in blocks; the last one may be
---shorter.
---@param size bench.Size size of the file
---@param block bench.Size
---@return fun(): integer?, integer?
function M.sequential(size, block)
  local last, problem = bytes(size, 0)
  local length, other_problem = bytes(block, 1)
  if problem or other_problem then
    error("access.sequential: the " .. (problem and "size " or "block ") .. (problem or other_problem or ""), 2)
  end
  local at = 0
  return function()
    local offset = at
    if offset >= last then
      return nil
    end
    at = offset + length
    if at > last then
      return offset, last - offset
    end
    return offset, length
  end
end

---Returns an iterator over a file from back to front in blocks. The first one, at the end
---of the file, may be shorter.
---@param size bench.Size size of the file
---@param block bench.Size
---@return fun(): integer?, integer?
function M.backward(size, block)
  local last, problem = bytes(size, 0)
  local length, other_problem = bytes(block, 1)
  if problem or other_problem then
    error("access.backward: the " .. (problem and "size " or "block ") .. (problem or other_problem or ""), 2)
  end
  local index = math.ceil(last / length)
  return function()
    if index == 0 then
      return nil
    end
    index = index - 1
    local offset = index * length
    return offset, math.min(length, last - offset)
  end
end

---Returns an iterator that takes a block at every multiple of `stride`, as a program does
---that reads one column of a table. It begins at `from`.
---@param size bench.Size size of the file
---@param block bench.Size
---@param stride bench.Size from the start of one block to the start of the next
---@param from? bench.Size (default 0)
---@return fun(): integer?, integer?
function M.strided(size, block, stride, from)
  local last, problem = bytes(size, 0)
  local length, block_problem = bytes(block, 1)
  local distance, stride_problem = bytes(stride, 1)
  local at, from_problem = bytes(from or 0, 0)
  if problem or block_problem or stride_problem or from_problem then
    local name = problem and "size" or block_problem and "block" or stride_problem and "stride" or "start"
    error(("access.strided: the %s %s"):format(name, problem or block_problem or stride_problem or from_problem), 2)
  end
  return function()
    local offset = at
    if offset >= last then
      return nil
    end
    at = offset + distance
    return offset, math.min(length, last - offset)
  end
end

---Reads from an open file from front to back, in blocks.
---@param c bench.Client
---@param handle bench.Handle
---@param size bench.Size number of bytes to read
---@param block? bench.Size (default "64KiB")
---@param options? bench.Options options of each read
function M.read_all(c, handle, size, block, options)
  local last, problem = bytes(size, 0)
  local length, other_problem = bytes(block or 65536, 1)
  if problem or other_problem then
    error("access.read_all: the " .. (problem and "size " or "block ") .. (problem or other_problem or ""), 2)
  end
  local offset = 0
  while offset < last do
    c:read(handle, offset, math.min(length, last - offset), options)
    offset = offset + length
  end
end

---Writes to an open file from front to back, in blocks.
---@param c bench.Client
---@param handle bench.Handle
---@param size bench.Size number of bytes to write
---@param block? bench.Size (default "64KiB")
---@param options? bench.WriteOptions options of each write
function M.write_all(c, handle, size, block, options)
  local last, problem = bytes(size, 0)
  local length, other_problem = bytes(block or 65536, 1)
  if problem or other_problem then
    error("access.write_all: the " .. (problem and "size " or "block ") .. (problem or other_problem or ""), 2)
  end
  local offset = 0
  while offset < last do
    c:write(handle, offset, math.min(length, last - offset), options)
    offset = offset + length
  end
end

---Reads an open file from front to back in transfers of drawn sizes, at least one. Returns
---the end of the last one, which may be beyond the size.
---@param c bench.Client
---@param rng bench.Rng
---@param handle bench.Handle
---@param size integer size of the file in bytes
---@param draw bench.Distribution size of a transfer, at least 1
---@return integer
function M.read_drawn(c, rng, handle, size, draw)
  local offset = 0
  repeat
    local length = math.max(draw(rng), 1)
    c:read(handle, offset, length)
    offset = offset + length
  until offset >= size
  return offset
end

---Writes to an open file from front to back in transfers of drawn sizes, at least one.
---Returns the end of the last one, which may be beyond the size: the file then has that
---size.
---@param c bench.Client
---@param rng bench.Rng
---@param handle bench.Handle
---@param size integer number of bytes to write at least
---@param draw bench.Distribution size of a transfer, at least 1
---@return integer
function M.write_drawn(c, rng, handle, size, draw)
  local offset = 0
  repeat
    local length = math.max(draw(rng), 1)
    c:write(handle, offset, length)
    offset = offset + length
  until offset >= size
  return offset
end

---Writes to an open file from an offset on, in blocks: `M.write_all` for the end of a file.
---@param c bench.Client
---@param handle bench.Handle
---@param offset integer the size of the file before, in bytes
---@param length bench.Size number of bytes to append
---@param block? bench.Size (default "64KiB")
---@param options? bench.WriteOptions options of each write
function M.append(c, handle, offset, length, block, options)
  local more, problem = bytes(length, 0)
  local most, other_problem = bytes(block or 65536, 1)
  if problem or other_problem then
    error("access.append: the " .. (problem and "length " or "block ") .. (problem or other_problem or ""), 2)
  end
  local last = offset + more
  while offset < last do
    c:write(handle, offset, math.min(most, last - offset), options)
    offset = offset + most
  end
end

local check_random = checks.checker("access.random", {
  { name = "block", type = "sizes", needed = "a block", example = '"4KiB"' },
  { name = "align", type = "size", default = 1, min = 1 },
})

---@class (exact) bench.access.Random
---@field block bench.Size|bench.Distribution size of one transfer
---@field align? bench.Size every offset is a multiple of it (default 1)

---Returns a pattern of offsets of which each multiple of `align` is equally likely. A
---transfer that is longer than the file is shortened to it.
---@param options bench.access.Random
---@return bench.AccessPattern
function M.random(options)
  local checked = check_random(options)
  local draw, align = checked.block, checked.align
  return function(rng, size)
    local length = math.min(draw(rng), size)
    local last = (size - length) // align
    return rng:int(0, last) * align, length
  end
end

local check_zipf = checks.checker("access.zipf", {
  { name = "block", type = "size", needed = "a block", example = '"8KiB"', min = 1 },
  { name = "skew", type = "float", default = 1, min = 0, max = 100 },
})

---@class (exact) bench.access.Zipf
---@field block bench.Size size of one transfer; offsets are multiples of it
---@field skew? number 0 to 100; the exponent of `rng:zipf` (default 1)

---Returns a pattern in which some blocks are far more popular than others. The popular
---ones lie scattered over the file, the same ones for every client.
---@param options bench.access.Zipf
---@return bench.AccessPattern
function M.zipf(options)
  local checked = check_zipf(options)
  local block, skew = checked.block, checked.skew
  return function(rng, size)
    local blocks = (size + block - 1) // block
    if blocks == 0 then
      return 0, 0
    end
    -- The rank becomes a position by a multiplication, which scatters the first ranks.
    -- The multiplier is a prime number, so that each position has one rank unless the
    -- number of blocks is a multiple of it. The product stays below 2^53.
    local rank = rng:zipf(blocks, skew) - 1
    local position = blocks < 2 ^ 33 and blocks % 611953 ~= 0 and rank * 611953 % blocks or rank
    local offset = position * block
    return offset, math.min(block, size - offset)
  end
end

return M
