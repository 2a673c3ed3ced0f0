-- Runs a command on each of many keys of one slot: a call from Redis's client costs many times its work.
--
-- KEYS[1]  one of them
-- ARGV     the command, the keys as one JSON array
for _, key in ipairs(cjson.decode(ARGV[2])) do redis.call(ARGV[1], key) end
