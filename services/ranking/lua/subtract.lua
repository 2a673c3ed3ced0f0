-- Takes one chunk of what leaves a window out of it, once.
--
-- KEYS[1]  the root's head
-- ARGV     the window, the board, the last minute that leaves, the number of cells taken out before and after this chunk, 1 if it is the
--          last one, and the cells with negative amounts
-- Returns  1 when it was taken out, 0 when somebody else has done it
local left, after, at, done = 'left:' .. ARGV[1], 'after:' .. ARGV[1], 'at:' .. ARGV[1], 'done:' .. ARGV[1]
local head = redis.call('HMGET', KEYS[1], 'board', 'torn', left, done)
if head[2] or head[1] ~= ARGV[2] or head[3] ~= ARGV[3] or head[4] ~= ARGV[4] then return 0 end

redis.call('HSET', KEYS[1], 'torn', 1)
add(head[1], cjson.decode(ARGV[7]))
if ARGV[6] == '1' then
    redis.call('HDEL', KEYS[1], after, at, done, 'torn')
else
    redis.call('HSET', KEYS[1], done, ARGV[5])
    redis.call('HDEL', KEYS[1], 'torn')
end
return 1
