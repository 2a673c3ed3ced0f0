-- Reads a whole board, for whoever compares it with the truth.
--
-- KEYS[1]  the root's head
-- ARGV     window, category, metric (orders, units, revenue-CUR)
-- Returns  applied, left, 1 while minutes are leaving, then product and amount in turn; nothing without a head
local name, head = open(ARGV[1])
if not name then return false end
local answer = redis.call('ZRANGE', name .. ':' .. ARGV[1] .. ':' .. ARGV[3] .. ':' .. ARGV[2], 0, -1, 'WITHSCORES')
for place, value in ipairs(head) do table.insert(answer, place, value) end
return answer
