-- Finds the board that shows a window; stands before the scripts that read.
--
-- Returns  the board's prefix, and the beginning of the answer: applied, the last minute outside of the window (−1 when none is), 1 while
--          minutes are leaving; nothing without a head that is whole
local function open(window)
    local head = redis.call('HMGET', KEYS[1], 'board', 'torn', 'applied', 'left:' .. window, 'after:' .. window)
    if not head[1] or head[2] or (window ~= 'all' and not head[4]) then return nil end
    return head[1], {head[3], head[4] or '-1', head[5] and 1 or 0}
end

