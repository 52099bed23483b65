#!lua
-- lease: takes a block of permits out of what a window still has.
--
-- KEYS   1 the window's counter
-- ARGV   1 limit of the window  2 permits wanted  3 milliseconds to keep the counter
-- OUT    permits given: as many as wanted, or what was left; 0 when the window is used up

local taken = tonumber(redis.call('GET', KEYS[1]) or '0')
local given = math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - taken)
if given <= 0 then return 0 end
redis.call('SET', KEYS[1], taken + given, 'PX', ARGV[3])
return given
