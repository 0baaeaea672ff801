-- Expectations: saying which answers are right.
--
--   smbench run examples/expectations.lua --iterations 100
--
-- An operation counts as failed when the server answers with another status
-- than the expected one. Without `expect` that is success (and the end of the
-- file, for a read). Name a status, several, or "any".

bench.workload {
  name = "careful",
  clients = 2,
  setup = function(c)
    c:mkdir("box" .. c.id)
  end,
  iteration = function(c)
    local path = ("box%d/file"):format(c.id)

    -- The file is not there yet, and a server that says otherwise is wrong.
    c:stat(path, { expect = "OBJECT_NAME_NOT_FOUND" })

    -- "rw" opens the file, or creates it. A folder cannot take its name then.
    local h = c:open(path, "rw")
    c:mkdir(path, { expect = "OBJECT_NAME_COLLISION" })

    -- Two ranges of one file, locked and unlocked again.
    c:lock(h, 0, 100)
    c:lock(h, 100, 100, { exclusive = false })
    c:unlock(h, 0, 100)
    c:unlock(h, 100, 100)

    -- Reading behind the end is no failure; the report counts short reads.
    c:write(h, 0, 1000)
    c:read(h, 500, 1000)
    c:read(h, 5000, 10)
    c:close(h)

    -- Of two answers either may be right.
    c:delete(path, { expect = { "SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
    c:think("10ms")
  end,
  teardown = function(c)
    c:delete(("box%d/file"):format(c.id), { expect = "any" })
    c:rmdir("box" .. c.id)
  end,
}
