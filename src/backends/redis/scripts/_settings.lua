-- '<g and for how many ms a lease of before the server's start may count, or -> <1 when the client hears pushes just now> <1 on
-- a cluster> <how many keys of what owners left there are> <client> <what the channel of every client starts with>'
local mark_key = KEYS[1]
local hears, on_cluster, results, client, channels = string.match(ARGV[1], '^%S+ (%d) (%d) (%d+) (%S*) (.*)$')
local count = (#KEYS - 1 - results) / 3
-- @limit GRANT_MS
-- @limit ALIVE_MS
-- @limit LONG_STEPS
local idle_ms, grant_ms, alive_ms = tonumber(IDLE_MS), tonumber(GRANT_MS), tonumber(ALIVE_MS)
local long_at_most = tonumber(LONG_STEPS)
