-- @bench/media: players and cameras, which read and write video at a bit rate.
--
-- A player opens a title, reads ahead a few seconds of it at once, and then reads
-- each block when its turn comes. The times follow the bit rate and not the
-- server: if the server is slow, reads are due before it gets to them. A response
-- time longer than the read-ahead would stall playback. A camera writes a file in
-- the same way. This is how players with a buffer of fixed size
-- read a file of constant bit rate. The defaults (8 Mbit/s, as a film in high
-- definition has, blocks of 256 KiB, 4 s ahead) are a guess.
--
--   local media = require("@bench/media")
--   local films = media.new { directory = "films", titles = 8, size = "16MiB" }
--   bench.setup(films.prepare)
--   bench.teardown(films.clean)
--   bench.workload {
--     name = "players", clients = 10,
--     iteration = films.play, teardown = films.clean_client,
--   }
--
-- The times are those of the client's own clock (c:at), so `play` and `record`
-- belong to workloads in a closed loop whose clients do nothing else.

local clients = require("@bench/clients")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.media.Options
---@field directory string the directory of the titles and recordings; the directory above it must exist
---@field titles? integer number of titles (default 8)
---@field size? bench.Size|bench.Distribution size of a title and of a recording (default "16MiB")
---@field bit_rate? number bits per second (default 8e6)
---@field block? bench.Size size of one read or write (default "256KiB")
---@field ahead? bench.Duration how far a player reads ahead (default "4s")
---@field skew? number popularity of the titles: the exponent of `rng:zipf` (default 0.8)

---@class bench.media.Library
---@field prepare bench.Section creates the directory and the titles; once per run
---@field clean bench.Section removes the titles and the directory; once per run
---@field clean_client bench.Section removes the client's recording; once per client
---@field play bench.Section plays one title from start to end
---@field record bench.Section records one file, which replaces the client's previous recording

local check = checks.checker("@bench/media", {
  { name = "directory", type = "path", needed = "a directory", example = '"films"' },
  { name = "titles", type = "int", default = 8, min = 1, max = 100000 },
  { name = "size", type = "sizes", default = "16MiB" },
  { name = "bit_rate", type = "float", default = 8e6, min = 1000, max = 1e12 },
  { name = "block", type = "size", default = "256KiB", min = 1, max = 64 * 1024 * 1024 },
  { name = "ahead", type = "duration", default = "4s" },
  { name = "skew", type = "float", default = 0.8, min = 0, max = 100 },
})

---Makes a library of titles. Call it at the top of the script.
---@param options bench.media.Options
---@return bench.media.Library
function M.new(options)
  local checked = check(options)
  local root = checked.directory
  local block = checked.block ---@type integer
  local popularity = files.zipf(checked.skew)
  local titles = files.set_for_module({
    root = root,
    files = checked.titles,
    per_directory = checked.titles,
    size = checked.size,
  }, 3)
  local time_of_a_byte = 8e9 / checked.bit_rate
  local bytes_ahead = checked.ahead / time_of_a_byte

  -- The time at which a client's next title or recording begins. Clients begin at
  -- random times within one block, so that they do not read in turns.
  local clock = clients.state(function()
    return { at = -1 }
  end)

  ---@param c bench.Client
  ---@param rng bench.Rng
  local function start(c, rng)
    local own = clock(c)
    if own.at < 0 then
      own.at = 1000 + rng:float() * block * time_of_a_byte
    end
    c:at(math.floor(own.at))
    return own
  end

  ---@param c bench.Client
  local function recording(c)
    return ("%s/recording-%s"):format(root, c.user)
  end

  ---@type bench.media.Library
  local library = {
    prepare = function(c)
      titles:create(c)
    end,

    clean = function(c)
      titles:remove(c)
    end,

    clean_client = function(c)
      c:delete(recording(c), files.MAY_BE_MISSING)
    end,

    play = function(c, rng)
      local own = start(c, rng)
      local number = titles:pick(rng, popularity)
      local size = titles:size(number)
      local handle = c:open(titles:path(number), "r")
      local offset = 0
      while offset < size do
        if offset > bytes_ahead then
          c:at(math.floor(own.at + (offset - bytes_ahead) * time_of_a_byte))
        end
        local length = math.min(block, size - offset) --[[@as integer]]
        c:read(handle, offset, length)
        offset = offset + block
      end
      c:close(handle)
      own.at = own.at + math.max(size * time_of_a_byte, 1000)
    end,

    record = function(c, rng)
      local own = start(c, rng)
      local size = checked.size(rng) ---@type integer
      local handle = c:open(recording(c), "w")
      local offset = 0
      while offset < size do
        local length = math.min(block, size - offset)
        -- A block is written when its last byte has been recorded.
        c:at(math.floor(own.at + (offset + length) * time_of_a_byte))
        c:write(handle, offset, length)
        offset = offset + length
      end
      c:close(handle)
      own.at = own.at + math.max(size * time_of_a_byte, 1000)
    end,
  }
  return clients.sections("@bench/media", library)
end

return M
