-- player: how a player is kept; comes before the script in reserve, release and learn.
--
-- A player is struct PLAYER (high, granted, day, day_high, wins, grants, and how many of each list), then the lists: free
-- chance numbers, the day's free numbers (I4 each), wins of prizes with a cap (I4, I1-prefixed key); then seen: keyhash
-- (8 bytes) and nonce (12) of the latest requests, newest first. Chance numbers 1..high are taken but the free ones;
-- likewise the numbers of the day.

local PLAYER = '<I4I4I4I4I4I4I2I2I2'

local NONE = {}

local function nobody()
  return {
    high = 0, granted = 0, day = 0, day_high = 0, wins = 0, grants = 0,
    free = NONE, day_free = NONE, caps = NONE, seen = '',
  }
end

local function load_player(packed)
  local player = {}
  local high, granted, on, day_high, wins, grants, free, day_free, caps, at = struct.unpack(PLAYER, packed)
  player.high, player.granted, player.day, player.day_high, player.wins, player.grants =
    high, granted, on, day_high, wins, grants
  player.free, player.day_free, player.caps = NONE, NONE, NONE
  if free > 0 then
    player.free = {}
    for n = 1, free do player.free[n], at = struct.unpack('<I4', packed, at) end
  end
  if day_free > 0 then
    player.day_free = {}
    for n = 1, day_free do player.day_free[n], at = struct.unpack('<I4', packed, at) end
  end
  if caps > 0 then
    player.caps = {}
    for _ = 1, caps do
      local won, prize
      won, prize, at = struct.unpack('<I4I1c0', packed, at)
      player.caps[prize] = won
    end
  end
  player.seen = string.sub(packed, at)
  return player
end

local function dump_player(player)
  local parts, caps = {''}, 0
  for _, number in ipairs(player.free) do parts[#parts + 1] = struct.pack('<I4', number) end
  for _, number in ipairs(player.day_free) do parts[#parts + 1] = struct.pack('<I4', number) end
  for prize, won in pairs(player.caps) do
    caps = caps + 1
    parts[#parts + 1] = struct.pack('<I4I1c0', won, #prize, prize)
  end
  parts[1] = struct.pack(PLAYER, player.high, player.granted, player.day, player.day_high, player.wins, player.grants,
    #player.free, #player.day_free, caps)
  parts[#parts + 1] = player.seen
  return table.concat(parts)
end
