-- @bench/mail: mailboxes on a share, in the two usual formats.
--
-- A maildir has a file for each message (D. J. Bernstein, "Using maildir format"):
-- a delivery writes the message into tmp, flushes it, and renames it into new; a
-- reader lists new and moves messages to cur. An mbox is one file for all messages:
-- a delivery appends to it under a byte-range lock, and a reader reads the whole
-- of it. Each client has a mailbox of its own. Its messages are numbered around in
-- a circle, so that every name is known and can be removed. Sizes are those of
-- filebench's varmail (gamma, mean 16 KiB, shape 1.5); the other numbers are a
-- guess.
--
--   local mail = require("@bench/mail")
--   local boxes = mail.maildir { directory = "mail" }
--   bench.setup(boxes.prepare)
--   bench.teardown(boxes.clean)
--   bench.workload {
--     name = "mailboxes", clients = 20,
--     setup = boxes.prepare_client, teardown = boxes.clean_client,
--     iteration = bench.choose { { 50, boxes.deliver }, { 40, boxes.read }, { 10, boxes.expunge } },
--   }

local access = require("@bench/access")
local clients = require("@bench/clients")
local distributions = require("@bench/distributions")
local files = require("@bench/files")
local checks = require("@bench/options")

local M = {}

---@class (exact) bench.mail.Options
---@field directory string the directory of the mailboxes; the directory above it must exist
---@field size? bench.Size|bench.Distribution size of a message (default: gamma, mean 16 KiB, shape 1.5)
---@field messages? integer number of messages that a mailbox holds at most; then the oldest is deleted, or an mbox begins anew (default 100)
---@field block? bench.Size size of one read or write (default "64KiB")

---@class bench.mail.Mailboxes
---@field prepare bench.Section creates the directory; once per run
---@field clean bench.Section removes it; once per run
---@field prepare_client bench.Section creates the client's mailbox; once per client
---@field clean_client bench.Section removes the client's mailbox; once per client
---@field deliver bench.Section delivers a message
---@field read bench.Section reads what has arrived
---@field expunge bench.Section deletes what has been read

---@type bench.options.Option[]
local OPTIONS = {
  { name = "directory", type = "path", needed = "a directory", example = '"mail"' },
  { name = "size", type = "sizes", default = distributions.gamma("16KiB", 1.5) },
  { name = "messages", type = "int", default = 100, min = 1, max = 100000 },
  { name = "block", type = "size", default = "64KiB", min = 1, max = 64 * 1024 * 1024 },
}

local check_maildir = checks.checker("mail.maildir", OPTIONS)
local check_mbox = checks.checker("mail.mbox", OPTIONS)

---The state of a maildir: messages are numbered from 0 on. Those before `first` are
---deleted, those before `unread` are in cur, those before `next` in new.
---@class bench.mail.Maildir
---@field first integer
---@field unread integer
---@field next integer
---@field sizes table<integer, integer> by place in the circle

---Makes mailboxes in maildir format.
---@param options bench.mail.Options
---@return bench.mail.Mailboxes
function M.maildir(options)
  local checked = check_maildir(options)
  checks.require_top_level("mail.maildir")
  local root, block = checked.directory, checked.block
  local most = checked.messages ---@type integer

  ---@param c bench.Client
  local function box_of(c)
    return root .. "/" .. c.user
  end

  ---Returns the path of a message. In cur it has the flag S, seen, which follows a
  ---semicolon, because SMB does not allow the colon of the format.
  ---@param box string
  ---@param directory "tmp"|"new"|"cur"
  ---@param number integer
  local function message(box, directory, number)
    local flags = directory == "cur" and ";2,S" or ""
    return ("%s/%s/%d.mail%s"):format(box, directory, number % most, flags)
  end

  ---@type fun(c: bench.Client): bench.mail.Maildir
  local state = clients.state(function()
    return { first = 0, unread = 0, next = 0, sizes = {} }
  end)

  ---@param c bench.Client
  ---@param own bench.mail.Maildir
  local function delete_oldest(c, own)
    local directory = own.first < own.unread and "cur" or "new"
    c:delete(message(box_of(c), directory, own.first))
    own.first = own.first + 1
    own.unread = math.max(own.unread, own.first)
  end

  ---@type bench.mail.Mailboxes
  local mailboxes = {
    prepare = function(c)
      c:mkdir(root)
    end,

    clean = function(c)
      c:rmdir(root, files.MAY_BE_MISSING)
    end,

    prepare_client = function(c)
      local box = box_of(c)
      c:mkdir(box)
      for _, directory in ipairs({ "/tmp", "/new", "/cur" }) do
        c:mkdir(box .. directory)
      end
    end,

    clean_client = function(c)
      local box = box_of(c)
      for number = 0, most - 1 do
        c:delete(message(box, "tmp", number), files.MAY_BE_MISSING)
        c:delete(message(box, "new", number), files.MAY_BE_MISSING)
        c:delete(message(box, "cur", number), files.MAY_BE_MISSING)
      end
      for _, directory in ipairs({ "/tmp", "/new", "/cur" }) do
        c:rmdir(box .. directory, files.MAY_BE_MISSING)
      end
      c:rmdir(box, files.MAY_BE_MISSING)
    end,

    deliver = function(c, rng)
      local own, box = state(c), box_of(c)
      if own.next - own.first >= most then
        delete_oldest(c, own)
      end
      local number, size = own.next, checked.size(rng)
      local arriving = message(box, "tmp", number)
      local handle = c:open(arriving, "w")
      access.write_all(c, handle, size, block, { payload = "text" })
      c:flush(handle)
      c:close(handle)
      c:rename(arriving, message(box, "new", number))
      own.sizes[number % most] = size
      own.next = number + 1
    end,

    read = function(c)
      local own, box = state(c), box_of(c)
      c:list(box .. "/new")
      while own.unread < own.next do
        local number = own.unread
        local seen = message(box, "cur", number)
        c:rename(message(box, "new", number), seen)
        own.unread = number + 1
        local handle = c:open(seen, "r")
        access.read_all(c, handle, own.sizes[number % most] or 0, block)
        c:close(handle)
      end
    end,

    expunge = function(c)
      local own = state(c)
      c:list(box_of(c) .. "/cur")
      while own.first < own.unread do
        delete_oldest(c, own)
      end
    end,
  }
  return clients.sections("@bench/mail", mailboxes)
end

---Makes mailboxes in mbox format.
---@param options bench.mail.Options
---@return bench.mail.Mailboxes
function M.mbox(options)
  local checked = check_mbox(options)
  checks.require_top_level("mail.mbox")
  local root, most, block = checked.directory, checked.messages, checked.block

  ---@param c bench.Client
  local function path_of(c)
    return ("%s/%s.mbox"):format(root, c.user)
  end

  ---@type fun(c: bench.Client): { size: integer, messages: integer }
  local state = clients.state(function()
    return { size = 0, messages = 0 }
  end)

  -- Programs lock a mailbox from its start to beyond any end.
  local whole = 2 ^ 40
  local shared = { exclusive = false }

  ---@param c bench.Client
  local function empty(c)
    local own = state(c)
    local handle = c:open(path_of(c), "rw")
    c:lock(handle, 0, whole)
    c:truncate(handle, 0)
    c:flush(handle)
    c:unlock(handle, 0, whole)
    c:close(handle)
    own.size, own.messages = 0, 0
  end

  ---@type bench.mail.Mailboxes
  local mailboxes = {
    prepare = function(c)
      c:mkdir(root)
    end,

    clean = function(c)
      c:rmdir(root, files.MAY_BE_MISSING)
    end,

    prepare_client = function(c)
      c:close(c:open(path_of(c), "w"))
    end,

    clean_client = function(c)
      c:delete(path_of(c), files.MAY_BE_MISSING)
    end,

    deliver = function(c, rng)
      local own = state(c)
      if own.messages >= most then
        empty(c)
      end
      local size = checked.size(rng)
      local handle = c:open(path_of(c), "rw")
      c:lock(handle, 0, whole)
      access.append(c, handle, own.size, size, block, { payload = "text" })
      c:flush(handle)
      c:unlock(handle, 0, whole)
      c:close(handle)
      own.size = own.size + size
      own.messages = own.messages + 1
    end,

    read = function(c)
      local own = state(c)
      c:stat(path_of(c))
      if own.size == 0 then
        return
      end
      local handle = c:open(path_of(c), "r")
      c:lock(handle, 0, whole, shared)
      access.read_all(c, handle, own.size, block)
      c:unlock(handle, 0, whole)
      c:close(handle)
    end,

    expunge = empty,
  }
  return clients.sections("@bench/mail", mailboxes)
end

return M
