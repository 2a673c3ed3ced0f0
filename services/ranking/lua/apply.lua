-- Adds the lines that took the positions expected+1 .. last of a root to its boards.
--
-- KEYS[1]  the root's head: a hash of board, applied, left; and torn, while a script writes: one that failed halfway leaves it there
-- ARGV     expected, last, and the cells as one JSON array: category, currency, number of rows, then five of each row: product, hour,
--          orders, units, revenue; the next category and currency, and so on
-- Returns  the position applied before the call; the caller was in step when that is `expected`. Nothing without a head that is whole.
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left', 'torn')
if not head[1] or head[4] then return false end
local applied, left = tonumber(head[2]), tonumber(head[3])
if applied ~= tonumber(ARGV[1]) then return applied end
redis.call('HSET', KEYS[1], 'torn', 1)

local function add(key, amount, product)
    if amount ~= 0 and redis.call('ZINCRBY', key, amount, product) == '0' then redis.call('ZREM', key, product) end
end

local all, today = head[1] .. ':all:', head[1] .. ':24h:'
local cells = cjson.decode(ARGV[3])
local i, last = 1, #cells
while i < last do
    local orders, units, revenue = 'orders:' .. cells[i], 'units:' .. cells[i], 'revenue-' .. cells[i + 1] .. ':' .. cells[i]
    local all_orders, all_units, all_revenue = all .. orders, all .. units, all .. revenue
    local today_orders, today_units, today_revenue = today .. orders, today .. units, today .. revenue
    local rows = cells[i + 2]
    i = i + 3
    for row = i, i + 5 * rows - 1, 5 do
        local product = cells[row]
        add(all_orders, cells[row + 2], product)
        add(all_units, cells[row + 3], product)
        add(all_revenue, cells[row + 4], product)
        if cells[row + 1] > left then
            add(today_orders, cells[row + 2], product)
            add(today_units, cells[row + 3], product)
            add(today_revenue, cells[row + 4], product)
        end
    end
    i = i + 5 * rows
end
redis.call('HSET', KEYS[1], 'applied', ARGV[2])
redis.call('HDEL', KEYS[1], 'torn')
return applied
