-- install: makes the gate hold a new epoch of a run, from a snapshot of the ledger, and forget all it knew.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2 fresh: '1' where the ledger is empty, so that an unseen player is new
--        3… prize, msgpack {highest unit issued, {units below it that are free}}, and so on
-- OUT    1 installed, 0 the gate holds this epoch or a later one, on this server

local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
-- A key of another type, or an epoch that is no number, is nothing that this gate wrote: it is replaced.
local held = redis.pcall('HMGET', KEYS[1], 'epoch', 'server')
local epoch = not held.err and tonumber(held[1])
if epoch and held[2] == server and epoch >= tonumber(ARGV[1]) then return 0 end

redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
local fields = {'epoch', ARGV[1], 'server', server, 'seq', '0', 'fresh', ARGV[2]}
for i = 3, #ARGV, 2 do
  fields[#fields + 1] = 'u:' .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1]
end
redis.call('HSET', KEYS[1], unpack(fields))
return 1
