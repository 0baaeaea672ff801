local mail = require("@bench/mail")
local test = require("@bench/test")
local describe, it, expect = test.describe, test.it, test.expect

describe("a maildir", function()
  it("receives a message in tmp, flushes it, and moves it to new", function()
    local boxes = mail.maildir({ directory = "mail", size = 100 })
    local operations = test.record(boxes.deliver)
    local list = {}
    for position, operation in ipairs(operations) do
      list[position] = operation.kind .. " " .. operation.path
    end
    expect(list):to_equal({
      "open mail/test-0/tmp/0.mail",
      "write mail/test-0/tmp/0.mail",
      "flush mail/test-0/tmp/0.mail",
      "close mail/test-0/tmp/0.mail",
      "rename mail/test-0/tmp/0.mail",
    })
    expect(operations[5].dest):to_be("mail/test-0/new/0.mail")
  end)

  it("moves what is read to cur, and deletes it when it is expunged", function()
    local boxes = mail.maildir({ directory = "mail", size = 100 })
    test.record(boxes.deliver, { iterations = 2 })
    local read = test.record(boxes.read)
    expect(read):to_contain({ kind = "rename", path = "mail/test-0/new/1.mail", dest = "mail/test-0/cur/1.mail;2,S" })
    expect(read):to_contain({ kind = "read", path = "mail/test-0/cur/1.mail;2,S", length = 100 })
    expect(#test.record(boxes.read)):to_be(1)
    expect(test.record(boxes.expunge)):to_contain({ kind = "delete", path = "mail/test-0/cur/0.mail;2,S" })
    expect(#test.record(boxes.expunge)):to_be(1)
  end)

  it("never uses a message that is not there, however many arrive", function()
    local boxes = mail.maildir({ directory = "mail", size = 10, messages = 3 })
    local act = bench.choose({ { 60, boxes.deliver }, { 30, boxes.read }, { 10, boxes.expunge } })
    local there, most, present = {}, 0, 0
    for _, operation in ipairs(test.record(act, { iterations = 500 })) do
      local kind, path = operation.kind, operation.path
      if kind == "open" and operation.mode == "w" then
        expect(there[path]):to_be(nil)
        there[path], present = true, present + 1
      elseif kind == "rename" then
        expect(there[path]):to_be(true)
        expect(there[operation.dest]):to_be(nil)
        there[path], there[operation.dest] = nil, true
      elseif kind == "delete" then
        expect(there[path]):to_be(true)
        there[path], present = nil, present - 1
      elseif kind == "open" then
        expect(there[path]):to_be(true)
      end
      most = math.max(most, present)
    end
    expect(most):to_be(3)
  end)
end)

describe("an mbox", function()
  it("is appended to under a lock, and flushed before the lock is released", function()
    local boxes = mail.mbox({ directory = "mail", size = 100 })
    local operations = test.record(boxes.deliver, { iterations = 2 })
    local list = {}
    for position, operation in ipairs(operations) do
      list[position] = operation.kind
    end
    local delivery = "open lock write flush unlock close"
    expect(table.concat(list, " ")):to_be(delivery .. " " .. delivery)
    expect(operations[9].offset):to_be(100)
    expect(operations):to_be_balanced()
  end)

  it("is read whole, and begins anew when it is full or expunged", function()
    local boxes = mail.mbox({ directory = "mail", size = 100, messages = 2 })
    expect(#test.record(boxes.read)):to_be(1)
    local delivered = test.record(boxes.deliver, { iterations = 3 })
    expect(delivered):to_contain({ kind = "truncate", size = 0 })
    expect(test.record(boxes.read)):to_contain({ kind = "read", offset = 0, length = 100 })
    test.record(boxes.expunge)
    expect(#test.record(boxes.read)):to_be(1)
  end)

  it("refuses options that it does not have", function()
    local _, message = pcall(function()
      mail.mbox({ directory = "mail", message = 5 })
    end)
    expect(message):to_match("mail_test%.lua:%d+: mail%.mbox has no option 'message'; its options are directory, size, messages, block")
  end)
end)

describe("mailboxes", function()
  it("are made at the top of the script only, by mail.maildir", function()
    expect(function()
      test.record(function()
        mail.maildir({ directory = "late" })
      end)
    end):to_fail("mail.maildir must be called at the top level of the script, outside of all functions")
  end)

  it("are made at the top of the script only, by mail.mbox", function()
    expect(function()
      test.record(function()
        mail.mbox({ directory = "late" })
      end)
    end):to_fail("mail.mbox must be called at the top level of the script, outside of all functions")
  end)
end)
