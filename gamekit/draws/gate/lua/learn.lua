-- learn: tells the gate what the ledger knows of players. A player already known only has the granted total raised.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2… player id, the player as player.lua says, and so on
-- OUT    how many were new to the gate; -1 for another epoch

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return -1 end
local added = 0
for i = 2, #ARGV, 2 do
  local packed = redis.call('HGET', KEYS[2], ARGV[i])
  if packed then
    local player, truth = load_player(packed), load_player(ARGV[i + 1])
    if truth.grants > player.grants then
      player.grants = truth.grants
      redis.call('HSET', KEYS[2], ARGV[i], dump_player(player))
    end
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    added = added + 1
  end
end
return added
