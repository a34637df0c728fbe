-- Takes out of a log what is too old, before it is read. Begins with log.lua.
--
-- KEYS  1 log   2 stubs of the log     ARGV  1 oldest time kept, Unix ms

expire(KEYS[1], KEYS[2], tonumber(ARGV[1]))
return 0
