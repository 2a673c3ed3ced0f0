-- Reads the first N of a category. Those that tie with the Nth are told apart here, so that it matters to nobody else how many they are.
--
-- KEYS[1]  the root's head
-- ARGV     window, category, metric (orders, units, revenue-CUR), currency, N
-- Returns  applied, left, 1 while minutes are leaving, then four of each product, in no order: id, orders, units, revenue; nothing without
--          a head
local name, answer = open(ARGV[1])
if not name then return false end
local prefix, suffix, n = name .. ':' .. ARGV[1] .. ':', ':' .. ARGV[2], tonumber(ARGV[5])
local board = prefix .. ARGV[3] .. suffix

local function each_chunk(products, work)
    for first = 1, #products, 1000 do
        local chunk = {}
        for i = first, math.min(first + 999, #products) do chunk[#chunk + 1] = products[i] end
        work(chunk)
    end
end

-- The best of those that tie: more units first. They come in byte order, and the first of equals stays first.
local function most_units(tied, wanted)
    local best, sold = {}, {}
    each_chunk(tied, function(chunk)
        for i, units in ipairs(redis.call('ZMSCORE', prefix .. 'units' .. suffix, unpack(chunk))) do
            local count, place = tonumber(units or '0'), #best
            while place > 0 and sold[place] < count do place = place - 1 end
            if place < wanted then
                table.insert(best, place + 1, chunk[i])
                table.insert(sold, place + 1, count)
                best[wanted + 1], sold[wanted + 1] = nil, nil
            end
        end
    end)
    return best
end

local ranked = redis.call('ZREVRANGEBYSCORE', board, '+inf', '(0', 'WITHSCORES', 'LIMIT', 0, n)
local products = {}
for i = 1, #ranked, 2 do products[#products + 1] = ranked[i] end
if #products == n then
    local last = ranked[#ranked]
    while #products > 0 and ranked[2 * #products] == last do products[#products] = nil end
    local tied = redis.call('ZRANGEBYSCORE', board, last, last)
    for _, product in ipairs(most_units(tied, n - #products)) do products[#products + 1] = product end
end

each_chunk(products, function(chunk)
    local orders = redis.call('ZMSCORE', prefix .. 'orders' .. suffix, unpack(chunk))
    local units = redis.call('ZMSCORE', prefix .. 'units' .. suffix, unpack(chunk))
    local revenue = redis.call('ZMSCORE', prefix .. 'revenue-' .. ARGV[4] .. suffix, unpack(chunk))
    for i, product in ipairs(chunk) do
        answer[#answer + 1] = product
        answer[#answer + 1] = orders[i] or '0'
        answer[#answer + 1] = units[i] or '0'
        answer[#answer + 1] = revenue[i] or '0'
    end
end)
return answer
