-- What epochs that begin in this life of Redis end with. Begins with log.lua.

return life()
