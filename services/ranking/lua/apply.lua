-- Adds the lines that took the positions expected+1 .. last of a root to its boards.
--
-- KEYS[1]  the root's head: a hash of board, applied, and for each rolling window left; and torn, while a script writes: one that failed
--          halfway leaves it there
-- ARGV     expected, last, the cells as one JSON array, then each rolling window and its left that the cells were sorted by
-- Returns  1 when the lines were added, the position applied before the call, and each window's left; nothing without a head that is whole
local fields = {'board', 'torn', 'applied'}
for i = 4, #ARGV, 2 do fields[#fields + 1] = 'left:' .. ARGV[i] end
local head = redis.call('HMGET', KEYS[1], unpack(fields))
if not head[1] or head[2] then return false end
local is_in_step = head[3] == ARGV[1]
local answer = {0, tonumber(head[3])}
for i = 5, #ARGV, 2 do
    local left = head[(i + 3) / 2]
    if not left then return false end
    if left ~= ARGV[i] then is_in_step = false end
    answer[#answer + 1] = tonumber(left)
end
if not is_in_step then return answer end

redis.call('HSET', KEYS[1], 'torn', 1)
add(head[1], cjson.decode(ARGV[3]))
redis.call('HSET', KEYS[1], 'applied', ARGV[2])
redis.call('HDEL', KEYS[1], 'torn')
answer[1] = 1
return answer
