-- Takes one chunk of the leaving hours out of the 24-hour window, once.
--
-- KEYS[1]  the root's head
-- ARGV     the board, the last hour that leaves, the number of cells taken out before and after this chunk, 1 if it is the last one, and
--          the cells as apply.lua takes them, with negative amounts
-- Returns  1 when it was taken out, 0 when somebody else has done it
local head = redis.call('HMGET', KEYS[1], 'board', 'left', 'leaving_done', 'torn')
if head[4] or head[1] ~= ARGV[1] or head[2] ~= ARGV[2] or head[3] ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'torn', 1)

local function add(key, amount, product)
    if amount ~= 0 and redis.call('ZINCRBY', key, amount, product) == '0' then redis.call('ZREM', key, product) end
end

local today = head[1] .. ':24h:'
local cells = cjson.decode(ARGV[6])
local i, last = 1, #cells
while i < last do
    local category, currency, rows = cells[i], cells[i + 1], cells[i + 2]
    i = i + 3
    for row = i, i + 5 * rows - 1, 5 do
        add(today .. 'orders:' .. category, cells[row + 2], cells[row])
        add(today .. 'units:' .. category, cells[row + 3], cells[row])
        add(today .. 'revenue-' .. currency .. ':' .. category, cells[row + 4], cells[row])
    end
    i = i + 5 * rows
end
if ARGV[5] == '1' then
    redis.call('HDEL', KEYS[1], 'leaving_after', 'leaving_applied', 'leaving_done', 'torn')
else
    redis.call('HSET', KEYS[1], 'leaving_done', ARGV[4])
    redis.call('HDEL', KEYS[1], 'torn')
end
return 1
