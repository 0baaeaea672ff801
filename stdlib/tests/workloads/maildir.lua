-- Mailboxes in maildir format.
local mail = require("@bench/mail")
local boxes = mail.maildir { directory = "mail", messages = 5 }

bench.setup(boxes.prepare)
bench.teardown(boxes.clean)

bench.workload {
  name = "mailboxes",
  clients = 3,
  setup = boxes.prepare_client,
  iteration = bench.choose { { 60, boxes.deliver }, { 30, boxes.read }, { 10, boxes.expunge } },
  teardown = boxes.clean_client,
}
