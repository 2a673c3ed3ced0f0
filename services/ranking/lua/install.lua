-- Makes a freshly filled board the root's own, unless a newer one is there that is whole.
--
-- KEYS[1]  the root's head
-- ARGV     the board's prefix, the position it was filled up to, then each rolling window's field and the last minute outside of it
-- Returns  the prefix of the board that lost: the one replaced, or this one; nothing when there was none
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'torn')
local is_whole = head[1] and not head[3]
for i = 3, #ARGV, 2 do is_whole = is_whole and redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 end
if is_whole and tonumber(head[2]) >= tonumber(ARGV[2]) then return ARGV[1] end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'board', ARGV[1], 'applied', ARGV[2], unpack(ARGV, 3))
return head[1]
