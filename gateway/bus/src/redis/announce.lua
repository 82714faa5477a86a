-- Keeps a value and tells everybody connected that it was stored anew.
--
-- KEYS: the hash of values. ARGV: field, value, channel, PUBLISH or SPUBLISH, message.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call(ARGV[4], ARGV[3], ARGV[5])
return 1
