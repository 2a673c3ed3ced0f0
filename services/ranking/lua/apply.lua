-- Adds the lines that took the positions expected+1 .. last of a root to its boards.
--
-- KEYS[1]  the root's head: a hash of board, applied, left
-- ARGV     expected, last, then seven of each cell: category, product, currency, hour, orders, units, revenue
-- Returns  the position applied before the call; the caller was in step when that is `expected`. Nothing without a head.
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left')
if not head[1] then return false end
local applied = tonumber(head[2])
if applied ~= tonumber(ARGV[1]) then return applied end
local left = tonumber(head[3])

local function add(window, category, product, currency, orders, units, revenue)
    local prefix = head[1] .. ':' .. window .. ':'
    local count = redis.call('ZINCRBY', prefix .. 'orders:' .. category, orders, product)
    local sold = redis.call('ZINCRBY', prefix .. 'units:' .. category, units, product)
    local earned = redis.call('ZINCRBY', prefix .. 'revenue-' .. currency .. ':' .. category, revenue, product)
    if tonumber(earned) == 0 then redis.call('ZREM', prefix .. 'revenue-' .. currency .. ':' .. category, product) end
    if tonumber(count) == 0 and tonumber(sold) == 0 then
        redis.call('ZREM', prefix .. 'orders:' .. category, product)
        redis.call('ZREM', prefix .. 'units:' .. category, product)
    end
end

for i = 3, #ARGV, 7 do
    local category, product, currency, hour = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
    add('all', category, product, currency, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    if hour > left then add('24h', category, product, currency, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]) end
end
redis.call('HSET', KEYS[1], 'applied', ARGV[2])
return applied
