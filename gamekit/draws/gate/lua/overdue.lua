-- overdue: lists reservations whose deadline has passed. Changes nothing.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2 now, in ms since 1970   3 at most so many
-- OUT    {how many are pending, reservation, …}; {-1} for another epoch

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {-1} end
local pending = redis.call('HVALS', KEYS[3])
local found = {#pending}
for i = 1, #pending do
  if #found > tonumber(ARGV[3]) then break end
  -- What is no reservation was not written by this gate, and there is nothing to decide about it.
  local readable, reservation = pcall(cmsgpack.unpack, pending[i])
  if readable and type(reservation) == 'table' and reservation[2] < tonumber(ARGV[2]) then
    found[#found + 1] = pending[i]
  end
end
return found
