-- Finds where one product stands.
--
-- KEYS[1]  the root's head
-- ARGV     window, category, metric (orders, units, revenue-CUR), currency, product
-- Returns  applied, left, 1 while minutes are leaving, then rank from 1, orders, units, revenue; no more than three of a product that isn't
--          ranked; nothing without a head
local name, answer = open(ARGV[1])
if not name then return false end
local prefix, suffix, product = name .. ':' .. ARGV[1] .. ':', ':' .. ARGV[2], ARGV[5]
local board, units_board = prefix .. ARGV[3] .. suffix, prefix .. 'units' .. suffix
local score = redis.call('ZSCORE', board, product)
if not score or tonumber(score) <= 0 then return answer end
local units = redis.call('ZSCORE', units_board, product) or '0'
local rank = redis.call('ZCOUNT', board, '(' .. score, '+inf') + 1
-- Redis gives members of one score in byte order, so those that come before the product have smaller ids.
local tied, is_before = redis.call('ZRANGEBYSCORE', board, score, score), true
for first = 1, #tied, 1000 do
    local last = math.min(first + 999, #tied)
    for i, theirs in ipairs(redis.call('ZMSCORE', units_board, unpack(tied, first, last))) do
        local sold = tonumber(theirs or '0')
        if tied[first + i - 1] == product then is_before = false end
        if sold > tonumber(units) or (sold == tonumber(units) and is_before) then rank = rank + 1 end
    end
end
answer[4] = rank
answer[5] = redis.call('ZSCORE', prefix .. 'orders' .. suffix, product) or '0'
answer[6] = units
answer[7] = redis.call('ZSCORE', prefix .. 'revenue-' .. ARGV[4] .. suffix, product) or '0'
return answer
