local clients = require("@bench/clients")
local distributions = require("@bench/distributions")
local mail = require("@bench/mail")
local test = require("@bench/test")
local it, expect = test.it, test.expect

it("state is made once for each client, and is the client's own", function()
  local made = 0
  local state = clients.state(function(c)
    made = made + 1
    return { calls = 0, id = c.id }
  end)
  local operations = test.record(function(c)
    local own = state(c)
    own.calls = own.calls + 1
    c:stat(("id%d-call%d"):format(own.id, own.calls))
  end, { clients = 2, iterations = 3 })
  expect(made):to_be(2)
  expect(operations):to_contain({ path = "id0-call3" })
  expect(operations):to_contain({ path = "id1-call3" })
  expect(operations):never():to_contain({ path = "id0-call4" })
end)

it("a pause below a microsecond is left out, and a longer one is think time", function()
  local operations = test.record(function(c, rng)
    clients.pause(c, rng, distributions.constant(500))
    c:stat("a")
    clients.pause(c, rng, distributions.constant("2ms"))
    c:stat("b")
  end)
  expect(operations[1].after):never():to_be(500)
  expect(operations[2].after):to_be(2000000)
end)

it("a function that is called with a colon is refused with the right call", function()
  local boxes = mail.maildir({ directory = "mail" })
  for _, name in ipairs({ "prepare", "clean", "prepare_client", "clean_client", "deliver", "read", "expunge" }) do
    expect(function()
      test.record(function(c, rng)
        ---@diagnostic disable-next-line: redundant-parameter
        boxes[name](boxes --[[@as any]], c, rng)
      end)
    end):to_fail("@bench/mail: a function was called with a colon: write a dot, such as x.prepare(c, rng)")
  end
end)

it("a function that a module does not have is refused with those it has", function()
  local boxes = mail.maildir({ directory = "mail" })
  expect(function()
    return (boxes --[[@as any]]).delivr
  end):to_fail("@bench/mail has no function 'delivr'; it has clean, clean_client, deliver, expunge, prepare, prepare_client, read")
end)
