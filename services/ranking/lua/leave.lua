-- Marks that lines begin to leave a window, after which none of their minutes is added there any more.
--
-- KEYS[1]  the root's head
-- ARGV     the window, the last minute that is outside of it now
-- Returns  what is to be taken out: the board, the last minute that is out already, the last one that has to go, the position up to which
--          their lines are in the window, and the number of cells that are out; nothing without a head, or when no minute has to go.
--          What somebody else has begun comes first.
local left, after, at, done = 'left:' .. ARGV[1], 'after:' .. ARGV[1], 'at:' .. ARGV[1], 'done:' .. ARGV[1]
local head = redis.call('HMGET', KEYS[1], 'board', 'torn', 'applied', left, after, at, done)
if not head[1] or head[2] or not head[4] then return false end
if head[5] then return {head[1], tonumber(head[5]), tonumber(head[4]), tonumber(head[6]), tonumber(head[7])} end
if tonumber(head[4]) >= tonumber(ARGV[2]) then return false end
redis.call('HSET', KEYS[1], left, ARGV[2], after, head[4], at, head[3], done, 0)
return {head[1], tonumber(head[4]), tonumber(ARGV[2]), tonumber(head[3]), 0}
