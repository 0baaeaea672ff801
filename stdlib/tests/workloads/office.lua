-- People who edit documents, each in a directory of their own.
local office = require("@bench/office")

local function documents_of(c)
  return { directory = "team-" .. c.user, documents = 3, size = "100KiB", think = "1ms" }
end

local function with_documents(activity)
  return function(c, rng)
    activity(c, rng, documents_of(c))
  end
end

bench.workload {
  name = "people",
  clients = 2,
  setup = with_documents(office.prepare),
  iteration = bench.choose {
    { 40, with_documents(office.edit) },
    { 30, with_documents(office.view) },
    { 30, with_documents(office.browse) },
  },
  teardown = with_documents(office.clean),
}
