-- Writes cells to a board that isn't anybody's yet.
--
-- KEYS[1]  the root's head, which is left alone
-- ARGV     the board, how many seconds it lasts unless it is finished, the cells as one JSON array
add(ARGV[1], cjson.decode(ARGV[3]), ARGV[2])
