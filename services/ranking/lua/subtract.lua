-- Takes one chunk of the leaving hours out of the 24-hour window, once.
--
-- KEYS[1]  the root's head
-- ARGV     the board, the last hour that leaves, the number of cells taken out before, 1 if this chunk is the last one, then six of each
--          cell: category, product, currency and what is added to orders, units, revenue (negative amounts)
-- Returns  1 when it was taken out, 0 when somebody else has done it
local head = redis.call('HMGET', KEYS[1], 'board', 'left', 'leaving_done', 'torn')
if head[4] or head[1] ~= ARGV[1] or head[2] ~= ARGV[2] or head[3] ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'torn', 1)

local function add(key, amount, product)
    if amount ~= '0' and tonumber(redis.call('ZINCRBY', key, amount, product)) == 0 then redis.call('ZREM', key, product) end
end

local prefix = head[1] .. ':24h'
for i = 5, #ARGV, 6 do
    local category, product = ARGV[i], ARGV[i + 1]
    add(prefix .. ':orders:' .. category, ARGV[i + 3], product)
    add(prefix .. ':units:' .. category, ARGV[i + 4], product)
    add(prefix .. ':revenue-' .. ARGV[i + 2] .. ':' .. category, ARGV[i + 5], product)
end
if ARGV[4] == '1' then
    redis.call('HDEL', KEYS[1], 'leaving_after', 'leaving_applied', 'leaving_done', 'torn')
else
    redis.call('HINCRBY', KEYS[1], 'leaving_done', (#ARGV - 4) / 6)
    redis.call('HDEL', KEYS[1], 'torn')
end
return 1
