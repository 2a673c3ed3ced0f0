-- Reads a whole board, for whoever compares it with the truth.
--
-- KEYS[1]  the root's head
-- ARGV     window, category, metric (orders, units, revenue-CUR)
-- Returns  applied, left, 1 while hours are leaving, then product and amount in turn; nothing without a head
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left', 'leaving_after', 'torn')
if not head[1] or head[5] then return false end
local answer = redis.call('ZRANGE', head[1] .. ':' .. ARGV[1] .. ':' .. ARGV[3] .. ':' .. ARGV[2], 0, -1, 'WITHSCORES')
table.insert(answer, 1, head[4] and 1 or 0)
table.insert(answer, 1, head[3])
table.insert(answer, 1, head[2])
return answer
