-- Finds where one product stands.
--
-- KEYS[1]  the root's head
-- ARGV     window, category, metric (orders, units, revenue-CUR), currency, product
-- Returns  applied, left, 1 while an hour is leaving, then rank from 1, orders, units, revenue; nothing of a product that isn't there
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left', 'leaving')
if not head[1] then return false end
local prefix, suffix, product = head[1] .. ':' .. ARGV[1] .. ':', ':' .. ARGV[2], ARGV[5]
local answer = {head[2], head[3], head[4] and 1 or 0}
local board = prefix .. ARGV[3] .. suffix
local score = redis.call('ZSCORE', board, product)
if not score then return answer end
local units = redis.call('ZSCORE', prefix .. 'units' .. suffix, product) or '0'
local rank = redis.call('ZCOUNT', board, '(' .. score, '+inf') + 1
-- Redis gives members of one score in byte order, so those that come before the product have smaller ids.
local is_before = true
for _, tied in ipairs(redis.call('ZRANGEBYSCORE', board, score, score)) do
    if tied == product then
        is_before = false
    else
        local theirs = tonumber(redis.call('ZSCORE', prefix .. 'units' .. suffix, tied) or '0')
        if theirs > tonumber(units) or (theirs == tonumber(units) and is_before) then rank = rank + 1 end
    end
end
answer[4] = rank
answer[5] = redis.call('ZSCORE', prefix .. 'orders' .. suffix, product) or '0'
answer[6] = units
answer[7] = redis.call('ZSCORE', prefix .. 'revenue-' .. ARGV[4] .. suffix, product) or '0'
return answer
