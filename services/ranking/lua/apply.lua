-- Adds the lines that took the positions expected+1 .. last of a root to its boards.
--
-- KEYS[1]  the root's head: a hash of board, applied, left; and torn, while a script writes: one that failed halfway leaves it there
-- ARGV     expected, last, then seven of each cell: category, product, currency, hour, orders, units, revenue
-- Returns  the position applied before the call; the caller was in step when that is `expected`. Nothing without a head that is whole.
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left', 'torn')
if not head[1] or head[4] then return false end
local applied, left = tonumber(head[2]), tonumber(head[3])
if applied ~= tonumber(ARGV[1]) then return applied end
redis.call('HSET', KEYS[1], 'torn', 1)

local function add(key, amount, product)
    if amount ~= '0' and tonumber(redis.call('ZINCRBY', key, amount, product)) == 0 then redis.call('ZREM', key, product) end
end

local function add_to(window, category, product, currency, orders, units, revenue)
    local prefix = head[1] .. ':' .. window
    add(prefix .. ':orders:' .. category, orders, product)
    add(prefix .. ':units:' .. category, units, product)
    add(prefix .. ':revenue-' .. currency .. ':' .. category, revenue, product)
end

for i = 3, #ARGV, 7 do
    add_to('all', ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    if tonumber(ARGV[i + 3]) > left then add_to('24h', ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]) end
end
redis.call('HSET', KEYS[1], 'applied', ARGV[2])
redis.call('HDEL', KEYS[1], 'torn')
return applied
