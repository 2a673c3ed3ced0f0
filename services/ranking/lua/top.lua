-- Reads the first N of a category, with all that tie with the Nth, so that the caller can break the tie.
--
-- KEYS[1]  the root's head
-- ARGV     window, category, metric (orders, units, revenue-CUR), currency, N
-- Returns  applied, left, 1 while an hour is leaving, then four of each product: id, orders, units, revenue; nothing without a head
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left', 'leaving')
if not head[1] then return false end
local prefix, suffix, n = head[1] .. ':' .. ARGV[1] .. ':', ':' .. ARGV[2], tonumber(ARGV[5])
local answer = {head[2], head[3], head[4] and 1 or 0}
local board = prefix .. ARGV[3] .. suffix
local ranked = redis.call('ZREVRANGE', board, 0, n - 1, 'WITHSCORES')
local products = {}
for i = 1, #ranked, 2 do products[#products + 1] = ranked[i] end
if #products == n then
    local last = ranked[#ranked]
    while #products > 0 and ranked[2 * #products] == last do products[#products] = nil end
    for _, tied in ipairs(redis.call('ZRANGEBYSCORE', board, last, last)) do products[#products + 1] = tied end
end
for first = 1, #products, 1000 do
    local chunk = {}
    for i = first, math.min(first + 999, #products) do chunk[#chunk + 1] = products[i] end
    local orders = redis.call('ZMSCORE', prefix .. 'orders' .. suffix, unpack(chunk))
    local units = redis.call('ZMSCORE', prefix .. 'units' .. suffix, unpack(chunk))
    local revenue = redis.call('ZMSCORE', prefix .. 'revenue-' .. ARGV[4] .. suffix, unpack(chunk))
    for i, product in ipairs(chunk) do
        answer[#answer + 1] = product
        answer[#answer + 1] = orders[i] or '0'
        answer[#answer + 1] = units[i] or '0'
        answer[#answer + 1] = revenue[i] or '0'
    end
end
return answer
