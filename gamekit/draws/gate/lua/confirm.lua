-- confirm: forgets reservations whose draws are in the ledger.
--
-- KEYS   1 run   2 players   3 pending
-- ARGV   1 epoch   2… nonces
-- OUT    how many were still pending; 0 for another epoch

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[3], unpack(ARGV, 2))
