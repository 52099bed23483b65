#!lua
-- release: gives back what reservations held. Call it only when a void in the ledger makes their landing impossible.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2… nonces
-- OUT    how many were released: only what this call itself removed from pending; 0 for another epoch

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end

local units, players, released = {}, {}, {}
for i = 2, #ARGV do
  local packed = redis.call('HGET', KEYS[3], ARGV[i])
  if packed then
    local reservation = cmsgpack.unpack(packed)
    local name, keyhash, draws = reservation[4], reservation[5], reservation[7]
    local player = players[name]
    if not player then
      player = cmsgpack.unpack(redis.call('HGET', KEYS[2], name))
      players[name] = player
    end
    for n = 1, #draws do
      local chance, granted, on, number, unit, prize = draws[n][1], draws[n][2], draws[n][3], draws[n][4], draws[n][5], draws[n][7]
      table.insert(player[2], chance)
      player[3] = player[3] - granted
      if number > 0 and on == player[4] then table.insert(player[6], number) end
      if prize ~= '' then
        player[7] = player[7] - 1
        player[8][prize] = player[8][prize] - 1
      end
      if unit > 0 then
        if not units[prize] then units[prize] = cmsgpack.unpack(redis.call('HGET', KEYS[1], 'u:' .. prize)) end
        table.insert(units[prize][2], unit)
      end
    end
    local entry = keyhash .. ARGV[i]
    local at = string.find(player[10], entry, 1, true)
    if at then player[10] = string.sub(player[10], 1, at - 1) .. string.sub(player[10], at + #entry) end
    released[#released + 1] = ARGV[i]
  end
end

-- Everything is decided; only now is anything written.
if #released > 0 then
  redis.call('HDEL', KEYS[3], unpack(released))
  for name, player in pairs(players) do
    redis.call('HSET', KEYS[2], name, cmsgpack.pack(player))
  end
  for prize, unit in pairs(units) do
    redis.call('HSET', KEYS[1], 'u:' .. prize, cmsgpack.pack(unit))
  end
end
return #released
