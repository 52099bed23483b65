-- release: gives back what reservations held. Call it only when a void in the ledger makes their landing impossible.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2… nonces
-- OUT    how many were released: only what this call itself removed from pending; 0 for another epoch
--
-- What a reservation held of a player or prize that the gate has lost meanwhile is given back by the next re-sync.

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end

local DRAW_SIZE = 7

local function with(list, number)
  local longer = {number}
  for n = 1, #list do longer[n + 1] = list[n] end
  return longer
end

local units, players, released = {}, {}, {}
for i = 2, #ARGV do
  local packed = redis.call('HGET', KEYS[3], ARGV[i])
  if packed then
    local reservation = cmsgpack.unpack(packed)
    local name, keyhash = reservation[4], reservation[5]
    local player = players[name]
    if not player then
      local kept = redis.call('HGET', KEYS[2], name)
      player = kept and load_player(kept) or nobody()
      if kept then players[name] = player end
    end
    for at = 7, #reservation, DRAW_SIZE do
      local chance, granted, on, number = reservation[at], reservation[at + 1], reservation[at + 2], reservation[at + 3]
      local unit, prize = reservation[at + 4], reservation[at + 6]
      player.free = with(player.free, chance)
      player.granted = player.granted - granted
      if number > 0 and on == player.day then player.day_free = with(player.day_free, number) end
      if prize ~= '' then
        player.wins = player.wins - 1
        if player.caps[prize] then player.caps[prize] = player.caps[prize] - 1 end
      end
      if unit > 0 then
        local kept = redis.call('HGET', KEYS[1], 'u:' .. prize)
        if not units[prize] and kept then units[prize] = cmsgpack.unpack(kept) end
        if units[prize] then table.insert(units[prize][2], unit) end
      end
    end
    local entry = keyhash .. ARGV[i]
    local at = string.find(player.seen, entry, 1, true)
    if at then player.seen = string.sub(player.seen, 1, at - 1) .. string.sub(player.seen, at + #entry) end
    released[#released + 1] = ARGV[i]
  end
end

-- Everything is decided; only now is anything written.
if #released > 0 then
  redis.call('HDEL', KEYS[3], unpack(released))
  for name, player in pairs(players) do
    redis.call('HSET', KEYS[2], name, dump_player(player))
  end
  for prize, unit in pairs(units) do
    redis.call('HSET', KEYS[1], 'u:' .. prize, cmsgpack.pack(unit))
  end
end
return #released
