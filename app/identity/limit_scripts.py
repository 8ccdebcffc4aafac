"""The limits' arithmetic, inside Redis, where several gateways cannot interleave.

Per key there are a hash (`at`: second of the last request; `r`, `t`: requests and tokens inside the window;
`r<second>`, `t<second>`: the same per second) and a sorted set of running requests with their deadlines.

The window is the current second and the 60 before it. Sixty buckets would let through a request 59.2 seconds
after one it forgot; with 61 no stretch of 60 seconds, wherever it starts, holds more than the limit.
"""

from __future__ import annotations

from app.state.script import Script

# Seconds a bucket counts after its own.
WINDOW_SECONDS = 60

ADMITTED, REQUESTS, TOKENS, CONCURRENCY = 0, 1, 2, 3

# KEYS: window, live. ARGV: requests, tokens and slots allowed (-1: no limit), tokens wanted, lease, its
# length in ms, now in ms ('' asks the server's clock, which all gateways share).
# Returns {0, second} or {which limit, ms until there is room}.
ADMIT = Script("""
local window, live = KEYS[1], KEYS[2]
local max_r, max_t, slots, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now_ms = tonumber(ARGV[7])
if not now_ms then
  local clock = redis.call('TIME')
  now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
if slots >= 0 then
  redis.call('ZREMRANGEBYSCORE', live, '-inf', now_ms)
  if redis.call('ZCARD', live) >= slots then return {3, 1000} end
end
local now = math.floor(now_ms / 1000)
local state = redis.call('HMGET', window, 'at', 'r', 't')
local at, r, t = tonumber(state[1]) or now, tonumber(state[2]) or 0, tonumber(state[3]) or 0
if at > now and at - now <= 60 then now = at end
if at > now or now - at > 60 then
  redis.call('DEL', window)
  r, t = 0, 0
else
  for s = at - 60, now - 61 do
    local old = redis.call('HMGET', window, 'r' .. s, 't' .. s)
    if old[1] then
      r, t = r - old[1], t - old[2]
      redis.call('HDEL', window, 'r' .. s, 't' .. s)
    end
  end
end
redis.call('HSET', window, 'at', now, 'r', r, 't', t)
redis.call('EXPIRE', window, 130)
local which, wait = 0, 0
local function refuse(code, field, excess)
  for s = now - 60, now do
    if excess <= 0 then break end
    local held = tonumber(redis.call('HGET', window, field .. s) or 0)
    if held > 0 then
      excess = excess - held
      local free = (s + 61) * 1000 - now_ms
      if excess <= 0 and free >= wait then which, wait = code, free end
    end
  end
end
if max_r >= 0 and r + 1 > max_r then refuse(1, 'r', r + 1 - max_r) end
if max_t >= 0 and t + want > max_t then refuse(2, 't', t + want - max_t) end
if which > 0 then return {which, wait} end
redis.call('HINCRBY', window, 'r' .. now, 1)
redis.call('HINCRBY', window, 't' .. now, want)
redis.call('HSET', window, 'r', r + 1, 't', t + want)
redis.call('ZADD', live, now_ms + ARGV[6], ARGV[5])
redis.call('PEXPIRE', live, ARGV[6] * 2)
return {0, now}
""")

# KEYS: window, live. ARGV: lease, second of admission, tokens used minus tokens reserved.
# The lease proves that this was not settled before, so that a retry after a lost answer changes nothing.
SETTLE = Script("""
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then return 0 end
local field, delta = 't' .. ARGV[2], tonumber(ARGV[3])
local held = tonumber(redis.call('HGET', KEYS[1], field))
if delta ~= 0 and held then
  if delta < -held then delta = -held end
  redis.call('HINCRBY', KEYS[1], field, delta)
  redis.call('HINCRBY', KEYS[1], 't', delta)
end
return 1
""")

# KEYS: one live set per lease. ARGV: lease length in ms, then the leases.
RENEW = Script("""
local clock = redis.call('TIME')
local deadline = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
for i, live in ipairs(KEYS) do
  redis.call('ZADD', live, deadline, ARGV[i + 1])
  redis.call('PEXPIRE', live, ARGV[1] * 2)
end
return #KEYS
""")
