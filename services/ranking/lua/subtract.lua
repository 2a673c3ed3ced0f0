-- Takes one chunk of a leaving hour out of the 24-hour window, once.
--
-- KEYS[1]  the root's head
-- ARGV     the hour, the chunk's number from 0, 1 if it is the last one, then six of each cell: category, product, currency and what
--          is added to orders, units, revenue (negative amounts)
-- Returns  1 when it was taken out, 0 when somebody else has done it
local head = redis.call('HMGET', KEYS[1], 'board', 'leaving', 'leaving_chunk')
if not head[1] or head[2] ~= ARGV[1] or head[3] ~= ARGV[2] then return 0 end
local prefix = head[1] .. ':24h:'
for i = 4, #ARGV, 6 do
    local category, product, currency = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local revenue_key = prefix .. 'revenue-' .. currency .. ':' .. category
    local count = redis.call('ZINCRBY', prefix .. 'orders:' .. category, ARGV[i + 3], product)
    local sold = redis.call('ZINCRBY', prefix .. 'units:' .. category, ARGV[i + 4], product)
    if tonumber(redis.call('ZINCRBY', revenue_key, ARGV[i + 5], product)) == 0 then redis.call('ZREM', revenue_key, product) end
    if tonumber(count) == 0 and tonumber(sold) == 0 then
        redis.call('ZREM', prefix .. 'orders:' .. category, product)
        redis.call('ZREM', prefix .. 'units:' .. category, product)
    end
end
if ARGV[3] == '1' then
    redis.call('HDEL', KEYS[1], 'leaving', 'leaving_applied', 'leaving_chunk')
else
    redis.call('HINCRBY', KEYS[1], 'leaving_chunk', 1)
end
return 1
