-- reserve: decides a batch of requests of one run, each atomically: all draws of a request, or none.
--
-- KEYS   1 run (hash: epoch, server, seq, fresh, u:<prize>)   2 players (hash)   3 pending (hash)
-- ARGV   1 terms, msgpack: {epoch, deadline, day, total, per_day, win_limit, prizes, open, stock, cap}
--            deadline  the moment, in ms since 1970, after which the reservations may be voided
--            day       the local day as yyyymmdd; total, per_day, win_limit: -1 where there is no limit
--            prizes    keys of the prizes, but the fallback, that the batch may award, and for each of them:
--            open      units released by now (at most the stock); stock: -1 without limit; cap: per player, or -1
--        2 requests, msgpack, flat: per request nonce, player, keyhash, new, memo, how many draws, and for each draw
--            a position in prizes, or 0 for the fallback
--            memo      what the ledger needs besides; kept with the reservation, never read here
-- OUT    msgpack, flat: 1 trusted, or 0 where the gate holds no such epoch or was moved to another server; the epoch it
--        holds, 0 for none; then per request:
--              0, seq, left, and for each draw: chance, granted, day, day_number, unit, reason   reserved
--              1                  this key was decided before: the ledger has it
--              2, reservation     this key is reserved and not decided yet
--              3, waiting         not enough chances; so many reservations of the player are undecided
--              4                  the player is not known in this epoch
--            left      chances left, -1 where there is no limit; day, day_number, unit: 0 where there is none
--            reason    0 none, 1 sold_out, 2 not_released, 3 capped, 4 win_limit
--
-- A player is what player.lua says. A reservation is msgpack, flat: nonce, deadline, seq, player, keyhash, memo, and for
-- each draw: chance, granted, day, day_number, unit, reason, prize ('' for the fallback).

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
  return cmsgpack.pack({0, tonumber(run[1]) or 0})
end
local seq, fresh = tonumber(run[3]), run[4] == '1'

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

local function known_key(seen, keyhash)
  local from = 1
  while true do
    local at = string.find(seen, keyhash, from, true)
    if not at then return nil end
    if (at - 1) % SEEN_ENTRY == 0 then return string.sub(seen, at + 8, at + 19) end
    from = at + 1
  end
end

local reserved = {}

local function waiting(seen)
  local count = 0
  for at = 9, #seen, SEEN_ENTRY do
    local nonce = string.sub(seen, at, at + 11)
    if reserved[nonce] or redis.call('HEXISTS', KEYS[3], nonce) == 1 then count = count + 1 end
  end
  return count
end

local out, size = {1, epoch}, 2
local function say(status, detail)
  out[size + 1], out[size + 2] = status, detail
  size = size + (detail and 2 or 1)
end

-- One request: `first` is where its fields begin. True where the player changed.
local function decide(first, count, player)
  local nonce, keyhash = requests[first], requests[first + 2]
  local known = known_key(player.seen, keyhash)
  if known then
    local reservation = reserved[known] or redis.call('HGET', KEYS[3], known)
    if reservation then say(2, reservation) else say(1) end
    return false
  end

  if player.day < day then
    player.day, player.day_high, player.day_free = day, 0, NONE
  end
  local base = math.huge
  if total >= 0 then base = total - (player.high - #player.free - player.granted) end
  if per_day >= 0 then base = math.min(base, per_day - (player.day_high - #player.day_free)) end
  base = math.max(base, 0)
  local left = base + player.grants - player.granted
  if left < count then
    say(3, waiting(player.seen))
    return false
  end

  local kept = {nonce, deadline, seq + 1, requests[first + 1], keyhash, requests[first + 4]}
  out[size + 1], out[size + 2], out[size + 3] = 0, seq + 1, left == math.huge and -1 or left - count
  size = size + 3
  for n = 1, count do
    seq = seq + 1
    local chance = take_lowest(player.free, math.huge)
    if not chance then
      chance = player.high + 1
      player.high = chance
    end
    local granted, on, number = 0, 0, 0
    if base < 1 then
      granted = 1
      player.granted = player.granted + 1
    else
      base = base - 1
      if per_day >= 0 then
        on, number = player.day, take_lowest(player.day_free, math.huge)
        if not number then
          number = player.day_high + 1
          player.day_high = number
        end
      end
    end
    local i, unit, reason, prize = requests[first + 5 + n], 0, 0, ''
    if i > 0 then
      prize = prizes[i]
      if win_limit >= 0 and player.wins >= win_limit then
        reason = 4
      elseif cap[i] >= 0 and (player.caps[prize] or 0) >= cap[i] then
        reason = 3
      elseif stock[i] >= 0 then
        unit = take_unit(i)
        if not unit then
          unit, reason = 0, open[i] >= stock[i] and 1 or 2
        end
      end
      if reason > 0 then
        prize = ''
      else
        player.wins = player.wins + 1
        if cap[i] >= 0 then
          if player.caps == NONE then player.caps = {} end
          player.caps[prize] = (player.caps[prize] or 0) + 1
        end
      end
    end
    out[size + 1], out[size + 2], out[size + 3], out[size + 4] = chance, granted, on, number
    out[size + 5], out[size + 6] = unit, reason
    size = size + 6
    local at = 7 * n - 1
    kept[at + 1], kept[at + 2], kept[at + 3], kept[at + 4] = chance, granted, on, number
    kept[at + 5], kept[at + 6], kept[at + 7] = unit, reason, prize
  end
  player.seen = string.sub(keyhash .. nonce .. player.seen, 1, SEEN_MAX)
  reserved[nonce] = cmsgpack.pack(kept)
  return true
end

local names, starts, first = {}, {}, 1
while first <= #requests do
  names[#names + 1], starts[#starts + 1] = requests[first + 1], first
  first = first + 6 + requests[first + 5]
end
local found = redis.call('HMGET', KEYS[2], unpack(names))

local players, changed = {}, {}
for n = 1, #names do
  local name, start = names[n], starts[n]
  local player = players[name]
  if not player then
    if found[n] then
      player = load_player(found[n])
    elseif fresh or requests[start + 3] then
      player = nobody()
    end
    players[name] = player
  end
  if not player then
    say(4)
  elseif decide(start, requests[start + 5], player) then
    changed[name] = player
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
  for name, player in pairs(changed) do
    writes[#writes + 1] = name
    writes[#writes + 1] = dump_player(player)
  end
  redis.call('HSET', KEYS[2], unpack(writes))
  writes = {'seq', string.format('%.0f', seq)}
  for i in pairs(units_changed) do
    writes[#writes + 1] = 'u:' .. prizes[i]
    writes[#writes + 1] = cmsgpack.pack(units[i])
  end
  redis.call('HSET', KEYS[1], unpack(writes))
end
return cmsgpack.pack(out)
