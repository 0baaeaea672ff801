-- Expectations: which results of an operation are right.
--
--   smbench run examples/expectations.lua --iterations 100
--
-- An operation counts as failed if the server answers with a status that is not
-- expected. Without `expect`, the expected status is success (for a read also
-- the end of the file). Name one status, a list of them, or "any".

bench.workload {
  name = "careful",
  clients = 2,
  setup = function(c)
    c:mkdir("box" .. c.id)
  end,
  iteration = function(c)
    local path = ("box%d/file"):format(c.id)

    -- The file does not exist yet, and a server that says otherwise is wrong.
    c:stat(path, { expect = "OBJECT_NAME_NOT_FOUND" })

    -- "rw" opens the file, or creates it. A directory cannot take its name
    -- then.
    local h = c:open(path, "rw")
    c:mkdir(path, { expect = "OBJECT_NAME_COLLISION" })

    -- Two ranges of one file, locked and unlocked again.
    c:lock(h, 0, 100)
    c:lock(h, 100, 100, { exclusive = false })
    c:unlock(h, 0, 100)
    c:unlock(h, 100, 100)

    -- Reading beyond the end is no failure. The report counts short reads.
    c:write(h, 0, 1000)
    c:read(h, 500, 1000)
    c:read(h, 5000, 10)
    c:close(h)

    -- Either of two statuses may be right.
    c:delete(path, { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
    c:think("10ms")
  end,
  teardown = function(c)
    c:delete(("box%d/file"):format(c.id), { expect = "any" })
    c:rmdir("box" .. c.id)
  end,
}
