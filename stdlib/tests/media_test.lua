local media = require("@bench/media")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

-- A megabyte a second, so that a block of 1000 bytes lasts a millisecond.
local function library(options)
  options.directory = "films"
  options.bit_rate = 8e6
  options.block = 1000
  return media.new(options)
end

---Returns the offset of each read or write and the time at which it is due, in
---milliseconds from the first operation with a time.
local function timetable(operations, kind)
  local list, first = {}, nil
  for _, operation in ipairs(operations) do
    first = first or operation.at
    if operation.kind == kind then
      local at = operation.at and math.floor((operation.at - first) / 1e6 + 0.5)
      list[#list + 1] = ("%d at %s"):format(operation.offset, tostring(at))
    end
  end
  return table.concat(list, ", ")
end

describe("a player", function()
  it("reads ahead at once, and then each block when its turn comes", function()
    local films = library({ titles = 1, size = 6000, ahead = "2ms" })
    local played = test.record(films.play)
    expect(played):to_be_balanced()
    expect(timetable(played, "read")):to_be("0 at nil, 1000 at nil, 2000 at nil, 3000 at 1, 4000 at 2, 5000 at 3")
  end)

  it("begins its next title when the last one has been watched", function()
    local films = library({ titles = 3, size = 6000, ahead = "2ms" })
    local played = test.record(films.play, { iterations = 3 })
    local starts = {}
    for _, operation in ipairs(played) do
      if operation.kind == "open" then
        starts[#starts + 1] = operation.at
      end
    end
    expect(starts[2] - starts[1]):to_be_near(6e6, 2)
    expect(starts[3] - starts[2]):to_be_near(6e6, 2)
    expect(starts[1]):to_be_at_most(1e6 + 1000)
  end)

  it("does not begin in turns with the others", function()
    local films = library({ titles = 1, size = 1000 })
    local starts = {}
    for _, operation in ipairs(test.record(films.play, { clients = 5 })) do
      if operation.kind == "open" then
        starts[operation.at] = true
      end
    end
    local count = 0
    for _ in pairs(starts) do
      count = count + 1
    end
    expect(count):to_be(5)
  end)

  it("plays an empty title without a read", function()
    local films = library({ titles = 1, size = 0 })
    local played = test.record(films.play, { iterations = 2 })
    expect(#played):to_be(4)
    expect(played):to_be_balanced()
  end)
end)

describe("a camera", function()
  it("writes each block when it has been recorded", function()
    local films = library({ titles = 1, size = 2500 })
    local recorded = test.record(films.record)
    expect(timetable(recorded, "write")):to_be("0 at 1, 1000 at 2, 2000 at 3")
    expect(recorded[1].path):to_be("films/recording-test-0")
    expect(test.record(films.clean_client)):to_contain({ kind = "delete", path = "films/recording-test-0" })
  end)
end)

describe("the options", function()
  it("are checked once, with the line of the script", function()
    local _, message = pcall(function()
      media.new({ directory = "films", bitrate = 5 })
    end)
    expect(message):to_match("media_test%.lua:%d+: @bench/media has no option 'bitrate'")
    expect(function()
      media.new({ directory = "films", bit_rate = 0 })
    end):to_fail("@bench/media: bit_rate must be at least 1000, not 0")
  end)

  it("refuse to be given while a client runs", function()
    expect(function()
      test.record(function()
        media.new({ directory = "films" })
      end)
    end):to_fail("files.set must be called at the top level of the script, outside of all functions")
  end)
end)
