-- Marks that hours begin to leave the 24-hour window, after which no line of them is added there any more.
--
-- KEYS[1]  the root's head
-- ARGV     the last hour that is outside the window now
-- Returns  what is to be taken out: the board, the last hour that is out already, the last one that has to go, the position up to which
--          their lines are in the window, and the number of cells that are out; nothing without a head, or when no hour has to go.
--          What somebody else has begun comes first.
local head = redis.call('HMGET', KEYS[1], 'board', 'applied', 'left', 'leaving_after', 'leaving_applied', 'leaving_done', 'torn')
if not head[1] or head[7] then return false end
if head[4] then return {head[1], tonumber(head[4]), tonumber(head[3]), tonumber(head[5]), tonumber(head[6])} end
if tonumber(head[3]) >= tonumber(ARGV[1]) then return false end
redis.call('HSET', KEYS[1], 'left', ARGV[1], 'leaving_after', head[3], 'leaving_applied', head[2], 'leaving_done', 0)
return {head[1], tonumber(head[3]), tonumber(ARGV[1]), tonumber(head[2]), 0}
