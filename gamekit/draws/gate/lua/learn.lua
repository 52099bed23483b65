#!lua
-- learn: tells the gate what the ledger knows of players. A player already known only has the granted total raised.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2… player, msgpack of the player (see reserve), and so on
-- OUT    how many were new to the gate; -1 for another epoch

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return -1 end
local added = 0
for i = 2, #ARGV, 2 do
  local packed = redis.call('HGET', KEYS[2], ARGV[i])
  if packed then
    local player, truth = cmsgpack.unpack(packed), cmsgpack.unpack(ARGV[i + 1])
    if truth[9] > player[9] then
      player[9] = truth[9]
      redis.call('HSET', KEYS[2], ARGV[i], cmsgpack.pack(player))
    end
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    added = added + 1
  end
end
return added
