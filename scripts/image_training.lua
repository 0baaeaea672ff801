-- Image training: record files that trainers read repeatedly.
--
--   smbench run @scripts/image_training --target smb://ada@nas/data -p jobs=4
--
-- A job is 17 clients: 4 read small files (100 operations a second each), 2 write
-- record files (2/s), 10 read them (3/s), and 1 writes checkpoints (1/s). The report
-- shows each kind of operation as a step.
--
-- Published figures, seen in the configuration of SPECstorage Solution 2020
-- (storage2020.yml in mchad1/SPECSFS): clients, rates, mixes, transfer sizes, flushes,
-- number and size of the files, lengths of warm-up and run (300 s each). This is not a
-- SPEC benchmark, and its results are not SPEC results.
--
-- Thresholds: at least 75 % of the rate of each workload (published: of each client), and
-- 95 % of the rate of all clients together, published.
--
-- Not modelled: payloads that compress or repeat by 2 %.
--
-- Guesses: access is an open for reading, because SMB checks access in the open. All
-- jobs share the small files and the record files. A read or a write is one transfer;
-- a client goes through one file after the other, and begins at a random one.
--
-- By default there are 3 directories of 10 images (published: 200), and 2 directories
-- of 4 record files of 8 MiB (published: 10 of 140 MiB), so that setup takes seconds.
-- At the published size: -p images=200 -p records=10 -p record_size=140MiB
-- -p warmup=300s --duration 300s

local distributions = require("@bench/distributions")
local files = require("@bench/files")

local P = bench.params {
  jobs = { type = "int", default = 1, min = 1, max = 1000, help = "training jobs, of 17 clients each" },
  rate = { type = "float", default = 1, min = 0.01, max = 100, help = "factor of the published rates" },
  images = { type = "int", default = 10, min = 1, max = 100000, help = "images in each of 3 directories (published: 200)" },
  image_size = { type = "size", default = "1MiB", min = "256KiB", max = "1GiB", help = "size of an image (published: 1MiB)" },
  records = { type = "int", default = 4, min = 1, max = 10000, help = "record files in each of 2 directories (published: 10)" },
  record_size = { type = "size", default = "8MiB", min = "2560KiB", max = "100GiB", help = "size of a record file (published: 140MiB)" },
  warmup = { type = "duration", default = "5s", min = "10ms", max = "24h", help = "length of the warm-up (published: 300s)" },
}

local ROOT = "smbench-image-training"
local CHECKPOINT_SIZE = 30 * 1024 * 1024

local image_read_size = distributions.empirical { { 5, 1, 65535 }, { 95, "256KiB" } }
local record_write_size = distributions.empirical {
  { 20, "10KiB", "24KiB" }, { 20, "32KiB" }, { 20, "64KiB" }, { 5, "128KiB" }, { 20, "196KiB" },
  { 5, "256KiB" }, { 5, "1MiB" }, { 5, "2MiB", "2560KiB" },
}
local training_read_size = distributions.constant("2MiB")
local checkpoint_write_size = distributions.empirical { { 80, 1, 511 }, { 20, "2MiB" } }

bench.phases {
  { name = "warmup", duration = P.warmup, record = false },
  { name = "steady", duration = "30s" },
}

local images = files.set { root = ROOT .. "/images", directories = 3, per_directory = P.images, size = P.image_size }
local records = files.set { root = ROOT .. "/records", directories = 2, per_directory = P.records, size = P.record_size }

bench.setup(function(c)
  c:mkdir(ROOT)
  images:create(c)
  records:create(c)
end)

bench.teardown(function(c)
  images:remove(c)
  records:remove(c)
  c:rmdir(ROOT, files.MAY_BE_MISSING)
end)

local function step(name, operation)
  return function(c, rng)
    c:step(name, function()
      operation(c, rng)
    end)
  end
end

-- Returns an operation that makes one transfer after the other through the files of a
-- set. `transfer` appends it, and is given the handle, the offset and the length.
local function sequential(set, mode, draw, transfer)
  local places = {} -- file, offset and handle by client
  return function(c, rng)
    local at = places[c.id] or { file = set:pick(rng) }
    places[c.id] = at
    if not at.handle then
      at.file, at.offset = at.file % set.count + 1, 0
      at.handle = c:open(set:path(at.file), mode, { reopen = true })
    end
    local length = draw(rng)
    transfer(c, rng, at.handle, at.offset, length)
    at.offset = at.offset + length
    if at.offset >= set:size(at.file) then
      c:close(at.handle)
      at.handle = nil
    end
  end
end

local function read(c, _, h, offset, length)
  c:read(h, offset, length)
end

local function write(c, rng, h, offset, length)
  c:write(h, offset, length)
  if rng:bool(0.3) then
    c:flush(h)
  end
end

-- Declares a workload of each job, with its threshold. `rate` is that of a client.
local thresholds = {}
local rate_of_all = 0 ---@type number
local function workload(name, clients, rate, iteration, more)
  local total = rate * P.rate * clients * P.jobs
  rate_of_all = rate_of_all + total
  thresholds[#thresholds + 1] = { ("iterations.rate >= %g"):format(0.75 * total), workload = name }
  bench.workload {
    name = name,
    clients = (clients * P.jobs) --[[@as integer]],
    pace = bench.open_loop { rate = total },
    setup = more and more.setup,
    iteration = iteration,
    teardown = more and more.teardown,
  }
end

workload("images", 4, 100, bench.choose {
  { 56, step("stat", function(c, rng)
    c:stat(images:path(images:pick(rng)))
  end) },
  { 37, step("read", sequential(images, "r", image_read_size, read)) },
  { 7, step("access", function(c, rng)
    c:close(c:open(images:path(images:pick(rng)), "r"))
  end) },
})

workload("records", 2, 2, step("write", sequential(records, "rw", record_write_size, write)))

workload("training", 10, 3, bench.choose {
  { 95, step("read", sequential(records, "r", training_read_size, read)) },
  { 5, step("stat", function(c, rng)
    c:stat(records:path(records:pick(rng)))
  end) },
})

local function checkpoint(c)
  return ("%s/checkpoint%d"):format(ROOT, c.id)
end

local checkpoints = {} -- handle and offset by client

workload("checkpoints", 1, 1, step("write", function(c, rng)
  local at, length = checkpoints[c.id], checkpoint_write_size(rng)
  if at.offset + length > CHECKPOINT_SIZE then
    at.offset = 0
  end
  write(c, rng, at.handle, at.offset, length)
  at.offset = at.offset + length
end), {
  setup = function(c)
    checkpoints[c.id] = { handle = c:open(checkpoint(c), "w", { reopen = true }), offset = 0 }
  end,
  teardown = function(c)
    c:delete(checkpoint(c), files.MAY_BE_MISSING)
  end,
})

thresholds[#thresholds + 1] = ("iterations.rate >= %g"):format(0.95 * rate_of_all)
bench.thresholds(thresholds)
