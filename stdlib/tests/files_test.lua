local distributions = require("@bench/distributions")
local files = require("@bench/files")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

---Returns how often each kind of operation occurs.
local function counts(operations)
  local list = {}
  for _, operation in ipairs(operations) do
    list[operation.kind] = (list[operation.kind] or 0) + 1
  end
  return list
end

---Returns a set of paths of the operations of one kind.
local function paths(operations, kind)
  local list, seen = {}, {}
  for _, operation in ipairs(operations) do
    if operation.kind == kind and not seen[operation.path] then
      seen[operation.path] = true
      list[#list + 1] = operation.path
    end
  end
  table.sort(list)
  return list
end

describe("a set", function()
  it("knows its paths, directories and sizes", function()
    local set = files.set({ root = "fs", files = 50, per_directory = 20, size = "4KiB" })
    expect(set.count):to_be(50)
    expect(set:path(1)):to_be("fs/d1/f1")
    expect(set:path(20)):to_be("fs/d1/f20")
    expect(set:path(21)):to_be("fs/d2/f21")
    expect(set:path(50)):to_be("fs/d3/f50")
    expect(set:directory(50)):to_be("fs/d3")
    expect(set:size(50)):to_be(4096)
    for _, number in ipairs({ 0, 51, 1.5, -1 }) do
      expect(function()
        ---@diagnostic disable-next-line: param-type-mismatch
        set:path(number)
      end):to_fail("the file set 'fs' has files 1 to 50, and no file " .. tostring(number))
    end
  end)

  it("is given by two of files, directories and files in each", function()
    expect(files.set({ root = "a", directories = 5, per_directory = 7 }).count):to_be(35)
    expect(files.set({ root = "a", files = 100, directories = 5 }):directory(100)):to_be("a/d5")
    expect(files.set({ root = "a", files = 30 }):directory(30)):to_be("a/d2")
    expect(files.set({ root = "a", files = 5, directories = 1 }):path(3)):to_be("a/f3")
    expect(function()
      files.set({ root = "a", files = 10, directories = 2, per_directory = 5 })
    end):to_fail("files.set: give two of files, directories and per_directory; the third follows from them")
    expect(function()
      files.set({ root = "a" })
    end):to_fail("files.set needs the number of files, such as { files = 1000 }, or of directories")
    expect(function()
      files.set({ root = "a", directories = 2000, per_directory = 1001 })
    end):to_fail("files.set: 2002000 files; a set has at most 2000000")
  end)

  it("draws its sizes from its distribution, the same ones whenever it is made", function()
    local given = { root = "fs", files = 10000, size = distributions.gamma("128KiB", 1.5) }
    local set, again = files.set(given), files.set(given)
    local sum = 0
    for number = 1, set.count do
      sum = sum + set:size(number)
      if set:size(number) ~= again:size(number) then
        expect(again:size(number)):to_be(set:size(number))
      end
    end
    expect(sum / set.count / 131072):to_be_near(1, 0.04)
    local other = files.set({ root = "other", files = 10, size = given.size })
    expect(other:size(1)):never():to_be(set:size(1))
  end)

  it("has exactly the share of files that exist at first", function()
    local set = files.set({ root = "fs", files = 1000, exists = 0.8 })
    local count, in_first_half = 0, 0
    for number = 1, set.count do
      if set:exists_at_first(number) then
        count = count + 1
        in_first_half = in_first_half + (number <= 500 and 1 or 0)
      end
    end
    expect(count):to_be(800)
    expect(in_first_half):to_be_near(400, 30)
  end)

  it("has the share of files that exist at first in each part, however many there are", function()
    for parts = 1, 200 do
      local set = files.set({ root = "shares", files = 5 * parts + parts // 3, size = 0, exists = 0.8, parts = parts })
      for first = 1, parts do
        local there, absent = 0, 0
        for number = first, set.count, parts do
          if set:exists_at_first(number) then
            there = there + 1
          else
            absent = absent + 1
          end
        end
        if there < 4 or absent ~= 1 then
          expect(("part %d of %d: %d, %d"):format(first, parts, there, absent)):to_be("at least 4, and 1")
        end
      end
    end
    expect(files.set({ root = "few", files = 2, size = 0, exists = 0.5, parts = 5 }).count):to_be(2)
  end)

  it("refuses sizes that are none, and names the line of the script", function()
    for _, size in ipairs({ -1, 0.5, 0 / 0, math.huge, "4KiB", false }) do
      expect(function()
        files.set({
          root = "none",
          files = 3,
          size = function()
            return size --[[@as any]]
          end,
        })
      end):to_fail(("files.set: the size of file 1 is %s: the distribution must return a whole number of bytes"):format(tostring(size)))
    end
    local _, message = pcall(function()
      files.set({
        root = "none",
        files = 3,
        size = function()
          return nil --[[@as any]]
        end,
      })
    end)
    expect(message):to_match("files_test%.lua:%d+: files%.set: the size of file 1 is nil")
  end)

  it("creates what exists, and removes every name it can have had", function()
    local set = files.set({ root = "fs", files = 30, per_directory = 10, size = "3MiB", exists = 0.5 })
    local created = test.record(function(c)
      set:create(c)
    end, { section = "setup" })
    expect(created):to_be_balanced()
    expect(counts(created)):to_equal({ mkdir = 4, open = 15, write = 45, close = 15 })
    local removed = test.record(function(c)
      set:remove(c)
    end, { section = "teardown" })
    expect(counts(removed)):to_equal({ delete = 30, rmdir = 4 })
    expect(removed[34].path):to_be("fs")
    for _, operation in ipairs(removed) do
      expect(#operation.expect):to_be(3)
    end
  end)

  it("is created and removed in parts, each file in one of them", function()
    local set = files.set({ root = "fs", files = 25, per_directory = 10, size = 0 })
    local created = test.record(function(c)
      set:create(c, c.id, 4)
    end, { section = "setup", clients = 4 })
    expect(counts(created)):to_equal({ open = 25, close = 25 })
    expect(#paths(created, "open")):to_be(25)
    local removed = test.record(function(c)
      set:remove(c, c.id, 4)
    end, { section = "teardown", clients = 4 })
    expect(paths(removed, "delete")):to_equal(paths(created, "open"))
    expect(function()
      test.record(function(c)
        set:create(c, 4, 4)
      end)
    end):to_fail("part 4 of 4 of a file set: parts count from 0 to below their number")
  end)

  it("below another directory has the same files there, and is the same object again", function()
    local set = files.set({ root = "fs", files = 50, size = distributions.uniform(1, 1e6) })
    local mine = set:under("home/ann/")
    expect(mine:path(21)):to_be("home/ann/fs/d2/f21")
    expect(mine.root):to_be("home/ann/fs")
    expect(mine:size(21)):to_be(set:size(21))
    expect(set:under("home/ann/")):to_be(mine)
    expect(mine:under("x"):path(1)):to_be("x/home/ann/fs/d1/f1")
    local made = test.record(function(c)
      mine:create_directories(c)
      mine:remove_directories(c)
    end)
    expect(made[1].path):to_be("home/ann/fs")
    expect(made[#made].path):to_be("home/ann/fs")
  end)

  it("reads and writes whole files in blocks", function()
    local set = files.set({ root = "fs", files = 3, size = 100000 })
    local operations = test.record(function(c)
      set:write_whole(c, 2)
      set:read_whole(c, 2, "32KiB")
    end)
    expect(operations):to_be_balanced()
    expect(counts(operations)):to_equal({ open = 2, write = 2, read = 4, close = 2 })
    expect(operations[5].path):to_be("fs/f2")
    expect(operations[1].mode):to_be("w")
    expect(operations[5].mode):to_be("r")
  end)

  it("of 100,000 files is made within the limits of a script", function()
    local set = files.set({ root = "big", files = 100000, size = distributions.gamma("16KiB", 1.5), exists = 0.8 })
    expect(set:path(100000)):to_be("big/d5000/f100000")
  end)

  it("is made at the top of the script only", function()
    expect(function()
      test.record(function()
        files.set({ root = "late", files = 5 })
      end)
    end):to_fail("files.set must be called at the top level of the script, outside of all functions")
  end)
end)

describe("popularity", function()
  ---Returns the share of the choices that fall on the first `last` of 1000 files.
  local function share(popularity, last)
    local set = files.set({ root = "fs", files = 1000, size = 0 })
    local rng, count = bench.rng("popularity"), 0
    for _ = 1, 20000 do
      if set:pick(rng, popularity) <= last then
        count = count + 1
      end
    end
    return count / 20000
  end

  it("is uniform unless another is given", function()
    expect(share(nil, 100)):to_be_near(0.1, 0.01)
  end)

  it("of hot and cold files follows both shares", function()
    expect(share(files.hot_cold({ hot = 0.1, share = 0.9 }), 100)):to_be_near(0.9, 0.01)
    expect(share(files.hot_cold({ hot = 0.2, share = 0.8 }), 200)):to_be_near(0.8, 0.01)
    expect(share(files.hot_cold({ hot = 1 }), 500)):to_be_near(0.5, 0.02)
    expect(share(files.hot_cold({ hot = 0 }), 500)):to_be_near(0.5, 0.02)
  end)

  it("of zipf falls with the number", function()
    -- The first of 1000 has 1 / (1 + 1/2 + … + 1/1000).
    expect(share(files.zipf(1), 1)):to_be_near(0.1336, 0.01)
    expect(share(files.zipf(0), 500)):to_be_near(0.5, 0.02)
  end)
end)

describe("a wrong call", function()
  local set = files.set({ root = "calls", files = 4, size = 0 })

  it("of pick is refused with the right one", function()
    expect(function()
      set:pick(0 --[[@as any]])
    end):to_fail("files_test.lua:248: set:pick takes the client's random numbers: write set:pick(rng), not 0")
  end)

  it("of any method is refused in the words of the script", function()
    test.record(function(c, rng)
      local part = set:part_of(c) ---@type any
      local any = set ---@type any
      for _, name in ipairs({ "create_directories", "remove_directories", "create", "remove", "write_whole", "read_whole", "part_of" }) do
        for _, wrong in ipairs({ 1, "c", false }) do
          expect(function()
            any[name](any, wrong)
          end):to_fail(("files_test.lua:259: set:%s takes the client: write set:%s(c"):format(name, name))
        end
      end
      for _, name in ipairs({ "write_whole", "read_whole", "part_of" }) do
        expect(function()
          any[name](c)
        end):to_fail(("set:%s takes the client: write set:%s(c"):format(name, name))
      end
      for _, name in ipairs({ "path", "size", "directory", "exists_at_first" }) do
        expect(function()
          any[name](1)
        end):to_fail(("set:%s takes a file's number: write set:%s(number), with a colon; the number is nil"):format(name, name))
      end
      for _, name in ipairs({ "has", "size", "created", "resized", "deleted" }) do
        expect(function()
          part[name](part, nil)
        end):to_fail(("part:%s takes a file's number: write part:%s(number), with a colon; the number is nil"):format(name, name))
      end
      for _, name in ipairs({ "existing", "free" }) do
        expect(function()
          part[name](rng)
        end):to_fail(("part:%s takes the client's random numbers: write part:%s(rng), not nil"):format(name, name))
      end
      expect(function()
        any.under("home")
      end):to_fail("set:under takes a directory: write set:under(directory), with a colon; the directory is nil")
      expect(function()
        any:pick(rng, 0.5)
      end):to_fail("set:pick: the popularity must be a function such as files.zipf(), not 0.5")
    end)
  end)

  it("with a dot is refused with the right one", function()
    test.record(function(c)
      for _, name in ipairs({ "create_directories", "remove_directories", "create", "remove" }) do
        expect(function()
          ---@diagnostic disable-next-line: missing-parameter
          set[name](c)
        end):to_fail(("write set:%s(c), with a colon"):format(name))
      end
    end)
  end)
end)

describe("parts", function()
  local set = files.set({ root = "fs", files = 40, size = 10, exists = 0.5 })

  it("divide a set among clients, and know what exists", function()
    local seen, existing = {}, 0
    test.record(function(c)
      local part = set:part_of(c, 3)
      existing = existing + part.count
      for number = 1, set.count do
        if part:has(number) then
          expect(seen[number]):to_be(nil)
          seen[number] = true
          expect(set:exists_at_first(number)):to_be(true)
        end
      end
    end, { clients = 3 })
    expect(existing):to_be(20)
  end)

  it("return files that exist and files that do not, through every change", function()
    local own = files.set({ root = "own", files = 40, size = 10, exists = 0.5 })
    test.record(function(c, rng)
      local part = own:part_of(c, 2)
      local exists = {}
      for number = 1 + c.id, own.count, 2 do
        exists[number] = own:exists_at_first(number)
      end
      for _ = 1, 300 do
        local new, old = part:free(rng), part:existing(rng)
        if new and (rng:bool() or not old) then
          expect(exists[new]):to_be(false)
          part:created(new)
          part:created(new)
          exists[new] = true
        elseif old then
          expect(exists[old]):to_be(true)
          part:deleted(old)
          part:deleted(old)
          exists[old] = false
        end
        local count = 0
        for number, there in pairs(exists) do
          expect(part:has(number)):to_be(there)
          count = count + (there and 1 or 0)
        end
        expect(part.count):to_be(count)
      end
    end, { clients = 2 })
  end)

  it("return nothing if all files exist, or none does", function()
    local full = files.set({ root = "full", files = 4, size = 0 })
    local empty = files.set({ root = "empty", files = 4, size = 0, exists = 0 })
    test.record(function(c, rng)
      expect(full:part_of(c):free(rng)):to_be(nil)
      expect(empty:part_of(c):existing(rng)):to_be(nil)
      expect(full:part_of(c).total):to_be(4)
    end)
  end)

  it("are the same object for each call of a client, and refuse other clients' files", function()
    local own = files.set({ root = "again", files = 4, size = 0 })
    test.record(function(c)
      local part = own:part_of(c, 2)
      expect(own:part_of(c, 2)):to_be(part)
      expect(function()
        part:created(2)
      end):to_fail("file 2 is not one of the client's files")
      expect(function()
        part:deleted(5)
      end):to_fail("file 5 is not one of the client's files")
    end)
    expect(function()
      test.record(function(c)
        own:part_of(c, 2)
      end, { id = 2 })
    end):to_fail("part 2 of 2 of a file set")
  end)

  it("know how large their files are now", function()
    local own = files.set({ root = "sizes", files = 4, size = 10, exists = 0.5 })
    test.record(function(c, rng)
      local part = own:part_of(c, 2)
      local there, free = part:existing(rng) or 0, part:free(rng) or 0
      expect(part:size(there)):to_be(10)
      part:resized(there, 30)
      expect(part:size(there)):to_be(30)
      part:created(free, 20)
      expect(part:size(free)):to_be(20)
      part:deleted(free)
      part:created(free)
      expect(part:size(free)):to_be(10)
      expect(own:size(there)):to_be(10)
      expect(function()
        part:resized(there, -1)
      end):to_fail("part:resized: the size must be a whole number of bytes, not -1")
      expect(function()
        ---@diagnostic disable-next-line: param-type-mismatch
        part:created(there, 1.5)
      end):to_fail("part:created: the size must be a whole number of bytes, not 1.5")
      expect(function()
        part:size(4 - c.id)
      end):to_fail("is not one of the client's files")
    end, { clients = 2 })
  end)

  it("are all of a set only for its only client", function()
    local shared = files.set({ root = "shared", files = 4, size = 0 })
    local text = "set:part_of: another client uses the file set 'shared' as its own: write set:part_of(c, clients) with the number of clients, or give each client a set with set:under(directory)"
    expect(function()
      test.record(function(c)
        shared:part_of(c)
      end, { clients = 2 })
    end):to_fail(text)
    local divided = files.set({ root = "divided", files = 4, size = 0 })
    expect(function()
      test.record(function(c)
        divided:part_of(c, c.id == 0 and 2 or nil)
      end, { clients = 2 })
    end):to_fail("set:part_of: another client uses the file set 'divided'")
    test.record(function(c)
      expect(shared:under(c.user):part_of(c).total):to_be(4)
    end, { clients = 2 })
  end)
end)

describe("a set from a scan", function()
  local tree = {
    directories = {
      { files = { 5, 6, 7 }, names = { "a.txt", "A.TXT", "x:y" } },
      { parent = 1, name = "sub", files = { 1 }, names = { "inner" } },
      { parent = 2, files = { 3 } },
      { parent = 1, name = "SUB", files = {} },
    },
  }

  it("has the tree's directories, names and sizes, and other names where SMB allows none", function()
    local set = files.from_scan(tree, { root = "copy" })
    local list = {}
    for number = 1, set.count do
      list[number] = ("%s %d"):format(set:path(number), set:size(number))
    end
    expect(list):to_equal({
      "copy/a.txt 5",
      "copy/A.TXT~2 6",
      "copy/f3 7",
      "copy/sub/inner 1",
      "copy/sub/d3/f5 3",
    })
    local made = test.record(function(c)
      set:create(c)
      set:remove(c)
    end)
    expect(paths(made, "mkdir")):to_equal({ "copy", "copy/SUB~2", "copy/sub", "copy/sub/d3" })
    expect(paths(made, "delete")):to_equal(paths(made, "open"))
    expect(made[#made].path):to_be("copy")
  end)

  it("refuses what is no tree", function()
    expect(function()
      ---@diagnostic disable-next-line: missing-fields
      files.from_scan({} --[[@as any]], { root = "copy" })
    end):to_fail('files.from_scan takes a tree, such as bench.tree("tree.json")')
    expect(function()
      files.from_scan({ directories = { { files = {} } } }, { root = "copy" })
    end):to_fail("files.from_scan: the tree has no files")
    expect(function()
      files.from_scan({ directories = { { files = {} }, { parent = 3, files = {} } } }, { root = "copy" })
    end):to_fail("files.from_scan: the parent of directory 2 does not stand before it in the tree")
    expect(function()
      files.from_scan({ directories = { { files = { -1 } } } }, { root = "copy" })
    end):to_fail("files.from_scan: the size of a file in directory 1 is -1")
  end)
end)
