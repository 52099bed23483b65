#!lua
-- reserve: decides a batch of requests of one run, each atomically: all draws of a request, or none.
--
-- KEYS   1 run (hash: epoch, server, seq, fresh, u:<prize>)   2 players (hash)   3 pending (hash)
-- ARGV   1 terms, msgpack: {epoch, deadline, day, total, per_day, win_limit, prizes, open, stock, cap}
--            deadline  the moment, in ms since 1970, after which the reservations may be voided
--            day       the local day as yyyymmdd; total, per_day, win_limit: -1 where there is no limit
--            prizes    keys of the stocked or capped prizes that the batch may award, and for each of them:
--            open      units released by now (at most the stock); stock: -1 without limit; cap: per player, or -1
--        2 requests, msgpack: {nonce, player, keyhash, new, picks, memo} each
--            picks     a position in prizes per draw, 0 for the fallback
--            memo      what the ledger needs besides; kept with the reservation, never read here
-- OUT    msgpack: {trust, epoch, replies}
--            trust     1 trusted, 0 the gate holds no such epoch or was moved to another server
--            replies   a table per request:
--              {0, seq, left, {chance, granted, day, day_number, unit, reason} each}   reserved
--              {1}                                     this key was decided before: the ledger has it
--              {2, reservation}                        this key is reserved and not decided yet
--              {3, left, waiting}                      not enough chances; so many reservations of the player are undecided
--              {4}                                     the player is not known in this epoch
--            left      chances left, -1 where there is no limit; day, day_number, unit: 0 where there is none
--            reason    0 none, 1 sold_out, 2 not_released, 3 capped, 4 win_limit
--
-- A player is {high, free, granted, day, day_high, day_free, wins, caps, grants, seen}: chance numbers 1..high are
-- taken but the free ones; likewise the day's; seen holds keyhash and nonce of the latest requests, newest first.

local SEEN_ENTRY, SEEN_MAX = 20, 32 * 20

local terms = cmsgpack.unpack(ARGV[1])
local epoch, deadline, day, total, per_day, win_limit = terms[1], terms[2], terms[3], terms[4], terms[5], terms[6]
local prizes, open, stock, cap = terms[7], terms[8], terms[9], terms[10]
local requests = cmsgpack.unpack(ARGV[2])

local run_fields = {'epoch', 'server', 'seq', 'fresh'}
for i = 1, #prizes do
  run_fields[4 + i] = 'u:' .. prizes[i]
end
local run = redis.call('HMGET', KEYS[1], unpack(run_fields))
local here = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if tonumber(run[1]) ~= epoch or run[2] ~= here then
  return cmsgpack.pack({0, tonumber(run[1]) or 0, {}})
end
local seq, fresh = tonumber(run[3]), run[4] == '1'

local names = {}
for i = 1, #requests do
  names[i] = requests[i][2]
end
local found = redis.call('HMGET', KEYS[2], unpack(names))

local function take_lowest(free, bound)
  local at
  for i = 1, #free do
    if free[i] <= bound and (not at or free[i] < free[at]) then at = i end
  end
  return at and table.remove(free, at)
end

local units, units_changed = {}, {}
local function take_unit(i)
  local unit = units[i]
  if not unit then
    unit = run[4 + i] and cmsgpack.unpack(run[4 + i]) or {0, {}}
    units[i] = unit
  end
  local taken = take_lowest(unit[2], open[i])
  if not taken and unit[1] < open[i] then
    taken = unit[1] + 1
    unit[1] = taken
  end
  if taken then units_changed[i] = true end
  return taken
end

local players, changed, reserved = {}, {}, {}

local function known_key(player, keyhash)
  local seen, from = player[10], 1
  while true do
    local at = string.find(seen, keyhash, from, true)
    if not at then return nil end
    if (at - 1) % SEEN_ENTRY == 0 then return string.sub(seen, at + 8, at + 19) end
    from = at + 1
  end
end

local function waiting(player)
  local count, seen = 0, player[10]
  for at = 9, #seen, SEEN_ENTRY do
    local nonce = string.sub(seen, at, at + 11)
    if reserved[nonce] or redis.call('HEXISTS', KEYS[3], nonce) == 1 then count = count + 1 end
  end
  return count
end

local function decide(request, player)
  local nonce, keyhash, picks = request[1], request[3], request[5]
  local known = known_key(player, keyhash)
  if known then
    local reservation = reserved[known] or redis.call('HGET', KEYS[3], known)
    return reservation and {2, reservation} or {1}
  end

  if player[4] < day then
    player[4], player[5], player[6] = day, 0, {}
  end
  local base = math.huge
  if total >= 0 then base = total - (player[1] - #player[2] - player[3]) end
  if per_day >= 0 then base = math.min(base, per_day - (player[5] - #player[6])) end
  base = math.max(base, 0)
  local left = base + player[9] - player[3]
  if left < #picks then return {3, left, waiting(player)} end

  local reply, kept = {0, seq + 1, left == math.huge and -1 or left - #picks}, {}
  for n = 1, #picks do
    seq = seq + 1
    local chance = take_lowest(player[2], math.huge)
    if not chance then
      chance = player[1] + 1
      player[1] = chance
    end
    local granted, on, number = 0, 0, 0
    if base < 1 then
      granted = 1
      player[3] = player[3] + 1
    else
      base = base - 1
      if per_day >= 0 then
        on, number = player[4], take_lowest(player[6], math.huge)
        if not number then
          number = player[5] + 1
          player[5] = number
        end
      end
    end
    local i, unit, reason, prize = picks[n], 0, 0, ''
    if i > 0 then
      prize = prizes[i]
      local won = player[8][prize] or 0
      if win_limit >= 0 and player[7] >= win_limit then
        reason = 4
      elseif cap[i] >= 0 and won >= cap[i] then
        reason = 3
      elseif stock[i] >= 0 then
        unit = take_unit(i)
        if not unit then
          unit, reason = 0, open[i] >= stock[i] and 1 or 2
        end
      end
      if reason == 0 then
        player[7] = player[7] + 1
        player[8][prize] = won + 1
      else
        prize = ''
      end
    end
    reply[3 + n] = {chance, granted, on, number, unit, reason}
    kept[n] = {chance, granted, on, number, unit, reason, prize}
  end
  player[10] = string.sub(keyhash .. nonce .. player[10], 1, SEEN_MAX)
  reserved[nonce] = cmsgpack.pack({nonce, deadline, reply[2], request[2], keyhash, request[6], kept})
  return reply
end

local replies = {}
for n = 1, #requests do
  local request = requests[n]
  local name = request[2]
  local player = players[name]
  if not player then
    if found[n] then
      player = cmsgpack.unpack(found[n])
    elseif fresh or request[4] then
      player = {0, {}, 0, 0, 0, {}, 0, {}, 0, ''}
    end
    players[name] = player
  end
  if player then
    replies[n] = decide(request, player)
    if replies[n][1] == 0 then changed[name] = true end
  else
    replies[n] = {4}
  end
end

-- Everything is decided; only now is anything written.
local writes = {}
for nonce, reservation in pairs(reserved) do
  writes[#writes + 1] = nonce
  writes[#writes + 1] = reservation
end
if #writes > 0 then
  redis.call('HSET', KEYS[3], unpack(writes))
  writes = {}
  for name in pairs(changed) do
    writes[#writes + 1] = name
    writes[#writes + 1] = cmsgpack.pack(players[name])
  end
  redis.call('HSET', KEYS[2], unpack(writes))
  writes = {'seq', string.format('%.0f', seq)}
  for i in pairs(units_changed) do
    writes[#writes + 1] = 'u:' .. prizes[i]
    writes[#writes + 1] = cmsgpack.pack(units[i])
  end
  redis.call('HSET', KEYS[1], unpack(writes))
end
return cmsgpack.pack({1, epoch, replies})
