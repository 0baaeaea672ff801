-- @bench/files: sets of files that know their names.
--
--   local files, distributions = require("@bench/files"), require("@bench/distributions")
--   local set = files.set {
--     root = "fileserver", files = 10000, per_directory = 20,
--     size = distributions.gamma("128KiB", 1.5), exists = 0.8,
--   }
--
-- A set has files number 1 to `set.count`. Sizes are drawn when the set is made, at
-- the top of the script, and depend only on the seed and the set's root, so that
-- they are the same in every VM. `exists` is the share of the files that exist at
-- first; the others are names for files that a workload creates. With `parts`, it is the
-- share in the part of each client.
--
-- One client makes and removes a small set:
--
--   bench.setup(function(c) set:create(c) end)
--   bench.teardown(function(c) set:remove(c) end)
--
-- All clients together make a large one, each a part of the files:
--
--   bench.setup(function(c) set:create_directories(c) end)
--   bench.workload {
--     name = "users", clients = P.users,
--     setup = function(c) set:create(c, c.id, P.users) end,
--     teardown = function(c) set:remove(c, c.id, P.users) end,
--     …
--   }
--   bench.teardown(function(c) set:remove_directories(c) end)
--
-- Removing deletes every name that the set can have had, so it also removes what a
-- cut run left. A name that is missing is no failure.
--
-- If clients create and delete files, no two of them may use the same file. Each
-- client has a part of the set for itself, which knows which of its files exist and
-- how large they are now:
--
--   local part = set:part_of(c, P.users)
--   local i = part:free(rng)
--   if i then set:write_whole(c, i) part:created(i) end
--
-- The part of a client holds the files that `create` and `remove` take for the same
-- client and the same number of clients.

local access = require("@bench/access")
local checks = require("@bench/options")

local M = {}

-- Maximum number of files of a set: their sizes are kept in every VM. A scanned tree has as many.
local MAX_FILES = 2000000

-- Size of the writes that create a set, in bytes.
local CREATE_BLOCK = 1024 * 1024

---Options for the removal of a file or directory in a teardown: a run that was cut may have
---stopped anywhere, so the name may be missing.
---@type bench.Options
M.MAY_BE_MISSING = { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND", "OBJECT_PATH_NOT_FOUND" } }

local MAY_BE_MISSING = M.MAY_BE_MISSING

-- The type of random numbers and of clients in Lua.
local RNG = "userdata"
local CLIENT = "userdata"

---A set of files.
---@class bench.FileSet
---@field count integer number of files, those that do not exist at first included
---@field root string path of the set's directory
---@field package prefix string what stands before every path
---@field package paths string[] the directories below the prefix, each after the one it is in
---@field package per_directory integer? number of files in each directory but the last
---@field package placed integer[]? the directory of each file, if they are not of one size
---@field package names string[]? the name of each file, if they have names
---@field package sizes integer[]
---@field package absent boolean[] the files that do not exist at first
---@field package parts table<string, bench.FilePart?> the part of each client
---@field package is_whole boolean whether the only part is all of the set
---@field package others table<string, bench.FileSet?> the same set below other directories
local Set = {}
Set.__index = Set

---The files of a set that belong to one client.
---@class bench.FilePart
---@field count integer number of files that exist
---@field total integer number of files, whether they exist or not
---@field package set bench.FileSet
---@field package index integer the index of the part, from 0
---@field package of integer number of parts
---@field package order integer[] the files, those that exist first
---@field package place integer[] the position in `order` of each file
---@field package lengths table<integer, integer?> the present size of a file, if it is not that of the set
local Part = {}
Part.__index = Part

---Returns whether a value is a set: `set.create(c)`, with a dot, passes a client.
---@param value any
---@return boolean
local function is_set(value)
  return getmetatable(value) == Set
end

---Returns whether a value is a size in bytes.
---@param size any
---@return boolean
local function is_size(size)
  return type(size) == "number" and size >= 0 and size == math.floor(size) and size <= 2 ^ 53
end

---Chooses a number from 1 to `count`. Low numbers may be more popular.
---@alias bench.Popularity fun(rng: bench.Rng, count: integer): integer

---@class (exact) bench.files.Set
---@field root string path of the set's directory; the directory above it must exist
---@field files? integer number of files, at most 1,000,000
---@field directories? integer number of directories, in place of `files` or of `per_directory`
---@field per_directory? integer number of files in each directory (default 20). If there is only one directory, the files are in the root itself
---@field size? bench.Size|bench.Distribution size of a file (default "16KiB")
---@field exists? number share of the files that exist at first, from 0 to 1 (default 1)
---@field parts? integer number of clients that share the set with `set:part_of(c, clients)`; each of their parts has this share of existing files, rounded (default 1)

local check_set = checks.checker("files.set", {
  { name = "root", type = "path", needed = "a directory", example = '"fileserver"' },
  { name = "files", type = "int", optional = true, min = 1, max = MAX_FILES },
  { name = "directories", type = "int", optional = true, min = 1, max = MAX_FILES },
  { name = "per_directory", type = "int", optional = true, min = 1, max = MAX_FILES },
  { name = "size", type = "sizes", default = "16KiB" },
  { name = "exists", type = "float", default = 1, min = 0, max = 1 },
  { name = "parts", type = "int", default = 1, min = 1, max = MAX_FILES },
})

---Returns random numbers for a set.
---@param purpose string
---@param root string
---@return bench.Rng
local function random_numbers(purpose, root)
  -- The names of random numbers have at most 64 characters, and no slash.
  return bench.rng(purpose .. " " .. root:gsub("[^%w_.-]", "_"):sub(-40))
end

---Draws which files do not exist at first, such that their share is exact in each part.
---@param rng bench.Rng
---@param count integer
---@param exists number
---@param parts integer
---@return boolean[]
local function draw_absent(rng, count, exists, parts)
  local absent = {} ---@type boolean[]
  for first = 1, parts do
    local left = (count - first) // parts + 1
    local missing = left - math.floor(left * exists + 0.5)
    if missing > 0 then
      -- Each file is chosen with the probability that as many as are still needed are
      -- among those that are left (Knuth, The Art of Computer Programming, 3.4.2, S).
      for number = first, count, parts do
        local chosen = rng:float() * left < missing
        absent[number] = chosen
        left = left - 1
        if chosen then
          missing = missing - 1
        end
      end
    end
  end
  return absent
end

---Makes a set of files for a module, whose caller an error names.
---@internal
---@param options bench.files.Set
---@param level integer the caller that an error names. 2: the caller of this function; 3: the caller of that caller
---@return bench.FileSet
function M.set_for_module(options, level)
  local checked = check_set(options, level)
  local count, directories, per_directory = checked.files, checked.directories, checked.per_directory
  if count and directories and per_directory then
    error("files.set: give two of files, directories and per_directory; the third follows from them", level)
  end
  if not count and not directories then
    error("files.set needs the number of files, such as { files = 1000 }, or of directories", level)
  end
  if count and directories then
    per_directory = math.ceil(count / directories)
  end
  per_directory = per_directory or 20
  count = count or directories * per_directory
  if count > MAX_FILES then
    error(("files.set: %d files; a set has at most %d"):format(count, MAX_FILES), level)
  end
  checks.require_top_level("files.set", level)
  local rng, existence = random_numbers("sizes", checked.root), random_numbers("exists", checked.root)
  local draw = checked.size
  local sizes = {} ---@type integer[]
  for number = 1, count do
    local size = draw(rng)
    if not is_size(size) then
      local text = "files.set: the size of file %d is %s: the distribution must return a whole number of bytes"
      error(text:format(number, tostring(size)), level)
    end
    sizes[number] = size
  end
  local paths = { checked.root }
  local needed = math.ceil(count / per_directory)
  if needed > 1 then
    for number = 1, needed do
      paths[number + 1] = checked.root .. "/d" .. number
    end
  end
  return setmetatable({
    count = count,
    root = checked.root,
    prefix = "",
    paths = paths,
    per_directory = per_directory,
    sizes = sizes,
    absent = draw_absent(existence, count, checked.exists, checked.parts),
    parts = {},
    is_whole = false,
    others = {},
  }, Set)
end

---Makes a set of files. Call it at the top of the script.
---@param options bench.files.Set
---@return bench.FileSet
function M.set(options)
  -- A tail call would have no level of its own for `error`.
  local set = M.set_for_module(options, 3)
  return set
end

---@class (exact) bench.files.FromScan
---@field root string path of the set's directory, which stands for the directory that was scanned; the directory above it must exist
---@field exists? number share of the files that exist at first, from 0 to 1 (default 1)

local check_scan = checks.checker("files.from_scan", {
  { name = "root", type = "path", needed = "a directory", example = '"tree"' },
  { name = "exists", type = "float", default = 1, min = 0, max = 1 },
})

---Returns a name that SMB allows and that nothing else in the directory has. Names that
---differ only in case are one name.
---@param name any the name in the scan, or nil
---@param otherwise string
---@param taken table<string, boolean>
---@return string
local function free_name(name, otherwise, taken)
  local wanted = otherwise
  if type(name) == "string" and name ~= "" and #name <= 255 and not name:find('[%c/\\:*?"<>|]') and not name:find("[. ]$") then
    wanted = name
  end
  local unique = wanted
  local number = 2
  while taken[unique:lower()] do
    unique = wanted .. "~" .. number
    number = number + 1
  end
  taken[unique:lower()] = true
  return unique
end

---Makes a set with the shape of a directory that `smbench scan` has read:
---`files.from_scan(bench.tree("tree.json"), { root = "tree" })`. Names that the scan does not
---contain, or that SMB does not allow, are replaced. Call it at the top of the script.
---@param tree bench.Tree
---@param options bench.files.FromScan
---@return bench.FileSet
function M.from_scan(tree, options)
  local checked = check_scan(options)
  if type(tree) ~= "table" or type(tree.directories) ~= "table" or #tree.directories == 0 then
    error('files.from_scan takes a tree, such as bench.tree("tree.json")', 2)
  end
  checks.require_top_level("files.from_scan")
  local rng = random_numbers("exists", checked.root)
  local paths = {} ---@type string[]
  local taken = {} ---@type any[] the names in each directory
  local placed = {} ---@type integer[]
  local names = {} ---@type string[]
  local sizes = {} ---@type integer[]
  local count = 0
  for position, directory in ipairs(tree.directories) do
    local parent = directory.parent or 1
    taken[position] = {}
    if position == 1 then
      paths[1] = checked.root
    elseif not paths[parent] then
      error(("files.from_scan: the parent of directory %d does not stand before it in the tree"):format(position), 2)
    else
      paths[position] = paths[parent] .. "/" .. free_name(directory.name, "d" .. position, taken[parent])
    end
  end
  for position, directory in ipairs(tree.directories) do
    for number, size in ipairs(directory.files or {}) do
      count = count + 1
      if count > MAX_FILES then
        error(("files.from_scan: the tree has more than %d files, the most a set has"):format(MAX_FILES), 2)
      end
      if type(size) ~= "number" or size < 0 or size ~= math.floor(size) then
        error(("files.from_scan: the size of a file in directory %d is %s"):format(position, tostring(size)), 2)
      end
      placed[count] = position
      sizes[count] = size --[[@as integer]]
      local name = directory.names and directory.names[number]
      names[count] = free_name(name, "f" .. count, taken[position])
    end
  end
  if count == 0 then
    error("files.from_scan: the tree has no files", 2)
  end
  return setmetatable({
    count = count,
    root = checked.root,
    prefix = "",
    paths = paths,
    placed = placed,
    names = names,
    sizes = sizes,
    absent = draw_absent(rng, count, checked.exists, 1),
    parts = {},
    is_whole = false,
    others = {},
  }, Set)
end

---Returns the position of a file's directory in `paths`.
---@param set bench.FileSet
---@param number integer
---@return integer
local function directory_of(set, number)
  local placed = set.placed
  if placed then
    return placed[number] or 1
  end
  return #set.paths == 1 and 1 or (number - 1) // set.per_directory + 2
end

---Returns the error about a number that no file of the set has.
---@param set bench.FileSet
---@param number any
---@return string
local function no_file(set, number)
  return ("the file set '%s' has files 1 to %d, and no file %s"):format(set.root, set.count, tostring(number))
end

---Returns the error about a method that was not called with a file's number.
---@param name string
---@param number any
---@return string
local function no_number(name, number)
  return ("%s takes a file's number: write %s(number), with a colon; the number is %s"):format(name, name, tostring(number))
end

---Returns the error about a method that was not called with a client.
---@param name string
---@param arguments string
---@return string
local function no_client(name, arguments)
  return ("%s takes the client: write %s(%s), with a colon"):format(name, name, arguments)
end

---Returns the error about a method that was not called with random numbers.
---@param name string
---@param rng any
---@return string
local function no_rng(name, rng)
  return ("%s takes the client's random numbers: write %s(rng), not %s"):format(name, name, tostring(rng))
end

---Returns the path of a file.
---@param number integer from 1
---@return string
function Set:path(number)
  if type(number) ~= "number" then
    error(no_number("set:path", number), 2)
  end
  if not self.sizes[number] then
    error(no_file(self, number), 2)
  end
  local names = self.names
  if names then
    return self.prefix .. self.paths[directory_of(self, number)] .. "/" .. names[number]
  end
  return self.prefix .. self.paths[directory_of(self, number)] .. "/f" .. number
end

---Returns the size of a file in bytes.
---@param number integer from 1
---@return integer
function Set:size(number)
  if type(number) ~= "number" then
    error(no_number("set:size", number), 2)
  end
  return self.sizes[number] or error(no_file(self, number), 2)
end

---Returns the path of the directory of a file.
---@param number integer from 1
---@return string
function Set:directory(number)
  if type(number) ~= "number" then
    error(no_number("set:directory", number), 2)
  end
  if not self.sizes[number] then
    error(no_file(self, number), 2)
  end
  return self.prefix .. self.paths[directory_of(self, number)]
end

---Returns whether a file exists at first.
---@param number integer from 1
---@return boolean
function Set:exists_at_first(number)
  if type(number) ~= "number" then
    error(no_number("set:exists_at_first", number), 2)
  end
  if not self.sizes[number] then
    error(no_file(self, number), 2)
  end
  return not self.absent[number]
end

---Returns the same set below another directory, such as one of each client. That directory
---must exist before the set is created, and is not removed with it.
---@param prefix string
---@return bench.FileSet
function Set:under(prefix)
  if type(prefix) ~= "string" then
    error("set:under takes a directory: write set:under(directory), with a colon; the directory is " .. tostring(prefix), 2)
  end
  local other = self.others[prefix]
  if not other then
    local path = checks.value(prefix, { name = "set:under: the directory", type = "path" })
    other = setmetatable({
      count = self.count,
      root = path .. "/" .. self.root,
      prefix = path .. "/" .. self.prefix,
      paths = self.paths,
      per_directory = self.per_directory,
      placed = self.placed,
      names = self.names,
      sizes = self.sizes,
      absent = self.absent,
      parts = {},
      is_whole = false,
      others = {},
    }, Set)
    self.others[prefix] = other
  end
  return other
end

---Creates the root and the directories in it. In a setup, a directory that exists is no
---failure.
---@param c bench.Client
function Set:create_directories(c)
  if not is_set(self) then
    error("write set:create_directories(c), with a colon", 2)
  end
  if type(c) ~= CLIENT then
    error(no_client("set:create_directories", "c"), 2)
  end
  for _, path in ipairs(self.paths) do
    c:mkdir(self.prefix .. path)
  end
end

---Removes the directories, which must be empty, and the root.
---@param c bench.Client
function Set:remove_directories(c)
  if not is_set(self) then
    error("write set:remove_directories(c), with a colon", 2)
  end
  if type(c) ~= CLIENT then
    error(no_client("set:remove_directories", "c"), 2)
  end
  for position = #self.paths, 1, -1 do
    c:rmdir(self.prefix .. self.paths[position], MAY_BE_MISSING)
  end
end

---Returns the problem with a part of a set, if there is one.
---@param part any
---@param of any
---@return string?
local function no_part(part, of)
  if type(part) == "number" and type(of) == "number" and part >= 0 and part < of and part == math.floor(part) and of == math.floor(of) then
    return nil
  end
  local text = "part %s of %s of a file set: parts count from 0 to below their number (is --clients larger than the script expects?)"
  return text:format(tostring(part), tostring(of))
end

---Creates the directories, and the files that exist at first. With `part` and `of`, creates
---only that part of the files, and no directories.
---@param c bench.Client
---@param part? integer from 0, such as c.id
---@param of? integer number of parts, such as the number of clients
---@param options? bench.WriteOptions options of each write
function Set:create(c, part, of, options)
  if not is_set(self) then
    error("write set:create(c), with a colon", 2)
  end
  if type(c) ~= CLIENT then
    error(no_client("set:create", "c"), 2)
  end
  local problem = (part or of) and no_part(part, of)
  if problem then
    error(problem, 2)
  end
  if not part then
    self:create_directories(c)
  end
  local absent, sizes = self.absent, self.sizes
  for number = (part or 0) + 1, self.count, of or 1 do
    if not absent[number] then
      local handle = c:open(self:path(number), "w")
      access.write_all(c, handle, sizes[number], CREATE_BLOCK, options)
      c:close(handle)
    end
  end
end

---Deletes every file that the set can have had, and then the directories. With `part` and
---`of`, deletes that part of the files, and no directories.
---@param c bench.Client
---@param part? integer from 0, such as c.id
---@param of? integer number of parts, such as the number of clients
function Set:remove(c, part, of)
  if not is_set(self) then
    error("write set:remove(c), with a colon", 2)
  end
  if type(c) ~= CLIENT then
    error(no_client("set:remove", "c"), 2)
  end
  local problem = (part or of) and no_part(part, of)
  if problem then
    error(problem, 2)
  end
  for number = (part or 0) + 1, self.count, of or 1 do
    c:delete(self:path(number), MAY_BE_MISSING)
  end
  if not part then
    self:remove_directories(c)
  end
end

---Chooses a file of the set, whether it exists or not: each with the same probability, or
---as `popularity` does.
---@param rng bench.Rng
---@param popularity? bench.Popularity such as files.hot_cold { hot = 0.1, share = 0.9 }
---@return integer
function Set:pick(rng, popularity)
  if type(rng) ~= RNG then
    error(no_rng("set:pick", rng), 2)
  end
  if popularity then
    if type(popularity) ~= "function" then
      error("set:pick: the popularity must be a function such as files.zipf(), not " .. tostring(popularity), 2)
    end
    return popularity(rng, self.count)
  end
  return rng:int(1, self.count)
end

---Opens a file, replaces its content and closes it.
---@param c bench.Client
---@param number integer from 1
---@param block? bench.Size size of one write (default "64KiB")
---@param options? bench.WriteOptions options of each write
function Set:write_whole(c, number, block, options)
  if type(c) ~= CLIENT then
    error(no_client("set:write_whole", "c, number"), 2)
  end
  local size = self.sizes[number]
  if not size then
    error(no_file(self, number), 2)
  end
  local handle = c:open(self:path(number), "w")
  access.write_all(c, handle, size, block, options)
  c:close(handle)
end

---Opens a file, reads all of it and closes it.
---@param c bench.Client
---@param number integer from 1
---@param block? bench.Size size of one read (default "64KiB")
---@param options? bench.Options options of each read
function Set:read_whole(c, number, block, options)
  if type(c) ~= CLIENT then
    error(no_client("set:read_whole", "c, number"), 2)
  end
  local size = self.sizes[number]
  if not size then
    error(no_file(self, number), 2)
  end
  local handle = c:open(self:path(number), "r")
  access.read_all(c, handle, size, block, options)
  c:close(handle)
end

---Returns the client's own files of the set: the same object for each call of the same
---client. They are part c.id of the set. Without `clients`, the set must belong to this
---client alone.
---@param c bench.Client
---@param clients? integer number of clients that share the set (default: only this one)
---@return bench.FilePart
function Set:part_of(c, clients)
  if type(c) ~= CLIENT then
    error(no_client("set:part_of", "c, clients"), 2)
  end
  local user = c.user
  local part = self.parts[user]
  if part then
    return part
  end
  local index = clients and c.id or 0
  local problem = clients and no_part(index, clients)
  if problem then
    error(problem, 2)
  end
  if self.is_whole or not clients and next(self.parts) ~= nil then
    local text = "set:part_of: another client uses the file set '%s' as its own: write set:part_of(c, clients) with the number of clients, or give each client a set with set:under(directory)"
    error(text:format(self.root), 2)
  end
  self.is_whole = not clients
  clients = clients or 1
  local order, place = {}, {} ---@type integer[], integer[]
  local total = math.max(0, (self.count - index - 1) // clients + 1)
  local first_free, last_free = 1, total
  for position_in_part = 1, total do
    local number = index + 1 + (position_in_part - 1) * clients
    local position
    if self.absent[number] then
      position, last_free = last_free, last_free - 1
    else
      position, first_free = first_free, first_free + 1
    end
    order[position], place[position_in_part] = number, position
  end
  part = setmetatable({
    count = first_free - 1,
    total = total,
    set = self,
    index = index,
    of = clients,
    order = order,
    place = place,
    lengths = {},
  }, Part)
  self.parts[user] = part
  return part
end

---Returns one of the client's files that exist, or nil if there is none.
---@param rng bench.Rng
---@return integer?
function Part:existing(rng)
  if type(rng) ~= RNG then
    error(no_rng("part:existing", rng), 2)
  end
  if self.count == 0 then
    return nil
  end
  return self.order[rng:int(1, self.count)]
end

---Returns one of the client's files that do not exist, or nil if all exist.
---@param rng bench.Rng
---@return integer?
function Part:free(rng)
  if type(rng) ~= RNG then
    error(no_rng("part:free", rng), 2)
  end
  if self.count == self.total then
    return nil
  end
  return self.order[rng:int(self.count + 1, self.total)]
end

---Returns the position of a file in the order of its part, or nil if it is another
---client's.
---@param part bench.FilePart
---@param number integer
---@return integer?
local function position_of(part, number)
  return part.place[(number - 1 - part.index) / part.of + 1]
end

---Returns the error about a file that is not in a part.
---@param number any
---@return string
local function not_in_part(number)
  return ("file %s is not one of the client's files"):format(tostring(number))
end

---Returns the error about a value that is not a size.
---@param name string the function that was given it
---@param size any
---@return string
local function no_size(name, size)
  return ("%s: the size must be a whole number of bytes, not %s"):format(name, tostring(size))
end

---Exchanges the files at two positions.
---@param part bench.FilePart
---@param first integer
---@param second integer
local function swap(part, first, second)
  local order, place, index, of = part.order, part.place, part.index, part.of
  local one, other = order[first] or 0, order[second] or 0
  order[first], order[second] = other, one
  place[(other - 1 - index) / of + 1] = first
  place[(one - 1 - index) / of + 1] = second
end

---Returns whether a file of the client exists.
---@param number integer
---@return boolean
function Part:has(number)
  if type(number) ~= "number" then
    error(no_number("part:has", number), 2)
  end
  local position = position_of(self, number)
  return position ~= nil and position <= self.count
end

---Returns the size that a file has now, in bytes. For a file that does not exist, it is the
---size in the set.
---@param number integer
---@return integer
function Part:size(number)
  if type(number) ~= "number" then
    error(no_number("part:size", number), 2)
  end
  if not position_of(self, number) then
    error(not_in_part(number), 2)
  end
  return self.lengths[number] or self.set.sizes[number] or 0
end

---Records that a file exists now, and its size.
---@param number integer
---@param size? integer size in bytes (default: the size in the set)
function Part:created(number, size)
  if type(number) ~= "number" then
    error(no_number("part:created", number), 2)
  end
  local position = position_of(self, number)
  if not position then
    error(not_in_part(number), 2)
  end
  if size ~= nil and not is_size(size) then
    error(no_size("part:created", size), 2)
  end
  self.lengths[number] = size
  if position > self.count then
    self.count = self.count + 1
    swap(self, position, self.count)
  end
end

---Records that the size of a file changed.
---@param number integer
---@param size integer size in bytes
function Part:resized(number, size)
  if type(number) ~= "number" then
    error(no_number("part:resized", number), 2)
  end
  if not position_of(self, number) then
    error(not_in_part(number), 2)
  end
  if not is_size(size) then
    error(no_size("part:resized", size), 2)
  end
  self.lengths[number] = size
end

---Records that a file was deleted.
---@param number integer
function Part:deleted(number)
  if type(number) ~= "number" then
    error(no_number("part:deleted", number), 2)
  end
  local position = position_of(self, number)
  if not position then
    error(not_in_part(number), 2)
  end
  self.lengths[number] = nil
  if position <= self.count then
    swap(self, position, self.count)
    self.count = self.count - 1
  end
end

local check_hot_cold = checks.checker("files.hot_cold", {
  { name = "hot", type = "float", default = 0.1, min = 0, max = 1 },
  { name = "share", type = "float", default = 0.9, min = 0, max = 1 },
})

---@class (exact) bench.files.HotCold
---@field hot? number the share of the files that are hot (default 0.1). They are the first of the set
---@field share? number the share of the choices that fall on them (default 0.9)

---Returns a popularity of two classes: with the defaults, nine of ten choices fall on the
---first tenth of the files.
---@param options? bench.files.HotCold
---@return bench.Popularity
function M.hot_cold(options)
  local checked = check_hot_cold(options)
  local hot, share = checked.hot, checked.share
  return function(rng, count)
    local last = math.floor(count * hot + 0.5)
    if last >= count or last > 0 and rng:float() < share then
      return rng:int(1, last)
    end
    return rng:int(last + 1, count)
  end
end

---Returns a popularity that falls with the number of the file: the probability of file k
---is proportional to 1 / k^skew.
---@param skew? number 0 to 100 (default 1)
---@return bench.Popularity
function M.zipf(skew)
  local exponent = checks.value(skew, { name = "files.zipf: the skew", type = "float", default = 1, min = 0, max = 100 })
  return function(rng, count)
    return rng:zipf(count, exponent)
  end
end

return M
