-- Marks that an hour begins to leave the 24-hour window, after which no line of it is added there any more.
--
-- KEYS[1]  the root's head
-- ARGV     the hour
-- Returns  the position up to which that hour's lines are in the window, and the number of chunks taken out already; nothing without a head
--          or when another hour is next.
local head = redis.call('HMGET', KEYS[1], 'applied', 'left', 'leaving', 'leaving_applied', 'leaving_chunk')
if not head[1] then return false end
if head[3] then
    if head[3] ~= ARGV[1] then return false end
    return {tonumber(head[4]), tonumber(head[5])}
end
if tonumber(head[2]) + 1 ~= tonumber(ARGV[1]) then return false end
redis.call('HSET', KEYS[1], 'left', ARGV[1], 'leaving', ARGV[1], 'leaving_applied', head[1], 'leaving_chunk', 0)
return {tonumber(head[1]), 0}
