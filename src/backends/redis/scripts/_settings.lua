-- '<g and for how many ms a lease of before the server's start may count, and a blank; or nothing> <1 when the client hears pushes just now> <1 on a cluster> <ms a pushed grant stands unconfirmed> <ms a client counts
-- as alive after it was heard of> <how many long steps a call may do> <how many keys of what owners left there are>'
local mark_key, channels, client, idle_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local hears, on_cluster, grant_ms, alive_ms, long_at_most, results =
  string.match(ARGV[4], '(%d) (%d) (%d+) (%d+) (%d+) (%d+)$')
grant_ms, alive_ms, long_at_most = tonumber(grant_ms), tonumber(alive_ms), tonumber(long_at_most)
local count = (#KEYS - 1 - results) / 3
