-- Adds amounts to a board's sorted sets; stands before the scripts that write.
--
-- cells    groups: category, currency, windows, number of rows, then four of each row: product, orders, units, revenue; no product twice in a
--          group
-- seconds  after which the sets end by themselves; never when nil
local CHUNK = 1000

-- Redis keeps small sets as lists that it searches from the front, and from Lua each call costs more than its work. So where a good part
-- of a set changes, all of it goes into a set of differences, which Redis adds to each window's by itself.
local function add_to_each(keys, delta, amounts, shrinks, seconds)
    local members, has_delta = #amounts / 2, false
    for _, key in ipairs(keys) do
        if redis.call('ZCARD', key) <= 4 * members then
            if not has_delta then
                for first = 1, #amounts, CHUNK do
                    redis.call('ZADD', delta, unpack(amounts, first, math.min(first + CHUNK - 1, #amounts)))
                end
                has_delta = true
            end
            redis.call('ZUNIONSTORE', key, 2, key, delta)
        else
            for i = 1, #amounts, 2 do redis.call('ZINCRBY', key, amounts[i], amounts[i + 1]) end
        end
        if shrinks then redis.call('ZREMRANGEBYSCORE', key, 0, 0) end
        if seconds then redis.call('EXPIRE', key, seconds) end
    end
    if has_delta then redis.call('DEL', delta) end
end

local function add(board, cells, seconds)
    local i, last = 1, #cells
    while i < last do
        local category, currency, windows, rows = cells[i], cells[i + 1], cells[i + 2], cells[i + 3]
        i = i + 4
        for place, metric in ipairs({'orders', 'units', 'revenue-' .. currency}) do
            local amounts, keys, shrinks = {}, {}, false
            for row = i, i + 4 * rows - 1, 4 do
                local amount = cells[row + place]
                if amount ~= 0 then
                    amounts[#amounts + 1] = amount
                    amounts[#amounts + 1] = cells[row]
                    shrinks = shrinks or amount < 0
                end
            end
            for n, window in ipairs(windows) do keys[n] = board .. ':' .. window .. ':' .. metric .. ':' .. category end
            if #amounts > 0 then add_to_each(keys, board .. ':delta', amounts, shrinks, seconds) end
        end
        i = i + 4 * rows
    end
end

