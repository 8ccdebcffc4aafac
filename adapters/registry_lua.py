"""The registry's Lua scripts. Each runs atomically in the server; KEYS[1] is always the key prefix.

They build key names from the prefix, so they need one Redis server (or a replicated one), not Redis Cluster.
"""

_COMMON = """
local p = KEYS[1]
local function key(version) return p .. 'adapter:' .. version end
local function now()
  local t = redis.call('TIME')
  return string.format('%d.%06d', t[1], t[2])
end
local function bump()
  local g = redis.call('INCR', p .. 'generation')
  redis.call('PUBLISH', p .. 'changed', g)
  return g
end
local function put_state(version, to, reason, g)
  redis.call('HSET', key(version), 'state', to, 'reason', reason, 'since', now(), 'generation', g)
end
local function aliases_of(version, but)
  local found, all = {}, redis.call('HGETALL', p .. 'aliases')
  for i = 1, #all, 2 do
    if all[i + 1] == version and all[i] ~= but then table.insert(found, all[i]) end
  end
  return found
end
-- The version an alias has just left is `ready` again unless another alias still names it.
local function release(version, reason, g)
  if redis.call('HGET', key(version), 'state') == 'stable' and #aliases_of(version) == 0 then
    put_state(version, 'ready', reason, g)
    return 1
  end
  return 0
end
"""

# ARGV: version, name, digest, record
REGISTER = (
    _COMMON
    + """
local version, name, digest, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('HMGET', key(version), 'state', 'digest', 'sweep')
local state = held[1]
if state then
  local ended = state == 'collected' or state == 'rejected'
  -- Bytes of the earlier life may be going away right now; the new bytes must not go with them.
  local sweeping = held[3] and held[3] ~= 'done'
  if sweeping or state == 'draining' or state == 'retired' then return {'busy', state} end
  if not ended and held[2] ~= digest then return {'conflict', held[2]} end
  if not ended then return {'existing', state} end
end
redis.call('DEL', key(version))
redis.call('HSET', key(version), 'name', name, 'digest', digest, 'record', record)
redis.call('SADD', p .. 'versions', version)
redis.call('SADD', p .. 'live', version)
put_state(version, 'received', '', bump())
return {'created', state or ''}
"""
)

# ARGV: version, to, reason, allowed source states as ",a,b,"
TRANSITION = (
    _COMMON
    + """
local version, to, reason, allowed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('HMGET', key(version), 'state', 'name')
local from, name = held[1], held[2]
if not from then return {'unknown'} end
if to == 'draining' then
  local names = aliases_of(version)
  if #names > 0 then return {'aliased', table.concat(names, ', ')} end
end
if not string.find(allowed, ',' .. from .. ',', 1, true) then return {'unchanged', from} end
local g = bump()
put_state(version, to, reason, g)
if to == 'ready' and from == 'probed' and redis.call('HSETNX', p .. 'aliases', name, version) == 1 then
  put_state(version, 'stable', 'first version of ' .. name, g)
  return {'changed', from, name}
end
return {'changed', from, ''}
"""
)

# ARGV: alias, version
SET_ALIAS = (
    _COMMON
    + """
local alias, version = ARGV[1], ARGV[2]
local state = redis.call('HGET', key(version), 'state')
if not state then return {'unknown'} end
if state ~= 'ready' and state ~= 'candidate' and state ~= 'stable' then return {'state', state} end
local old = redis.call('HGET', p .. 'aliases', alias)
if old == version then return {'unchanged', old, '0', state} end
local g = bump()
redis.call('HSET', p .. 'aliases', alias, version)
if state ~= 'stable' then put_state(version, 'stable', 'target of ' .. alias, g) end
local freed = old and release(old, alias .. ' moved to ' .. version, g) or 0
return {'changed', old or '', tostring(freed), state}
"""
)

# ARGV: alias
DROP_ALIAS = (
    _COMMON
    + """
local alias = ARGV[1]
local old = redis.call('HGET', p .. 'aliases', alias)
if not old then return {'unknown'} end
redis.call('HDEL', p .. 'aliases', alias)
return {'changed', old, tostring(release(old, alias .. ' dropped', bump()))}
"""
)

# ARGV: version, behaviour
SET_BEHAVIOUR = (
    _COMMON
    + """
if redis.call('EXISTS', key(ARGV[1])) == 0 then return {'unknown'} end
if redis.call('HSETNX', key(ARGV[1]), 'behaviour', ARGV[2]) == 1 then bump() end
return {'ok', redis.call('HGET', key(ARGV[1]), 'behaviour')}
"""
)

# The bytes of an ended life are deleted between BEGIN_SWEEP and END_SWEEP; REGISTER is refused meanwhile.
# ARGV: version, token, grace seconds, seconds after which another sweeper's unfinished sweep is taken over
BEGIN_SWEEP = (
    _COMMON
    + """
local version, token = ARGV[1], ARGV[2]
local held = redis.call('HMGET', key(version), 'state', 'since', 'sweep', 'sweep_since')
local state, t = held[1], tonumber(now())
if held[3] == 'done' then return {'no'} end
if held[3] then
  if t - tonumber(held[4]) < tonumber(ARGV[4]) then return {'no'} end
elseif (state ~= 'retired' and state ~= 'rejected') or t - tonumber(held[2]) < tonumber(ARGV[3]) then
  return {'no'}
end
if state == 'retired' then put_state(version, 'collected', '', bump()) end
redis.call('HSET', key(version), 'sweep', token, 'sweep_since', now())
return {'yes', state}
"""
)

# ARGV: version, token
END_SWEEP = (
    _COMMON
    + """
if redis.call('HGET', key(ARGV[1]), 'sweep') ~= ARGV[2] then return {'no'} end
redis.call('HSET', key(ARGV[1]), 'sweep', 'done')
redis.call('SREM', p .. 'live', ARGV[1])
bump()
return {'yes'}
"""
)

# ARGV: engine id, JSON object without its heartbeat, '1' to hurry the readers
PUT_ENGINE = (
    _COMMON
    + """
redis.call('SET', p .. 'engine:' .. ARGV[1], '{"heartbeat":' .. now() .. ',' .. string.sub(ARGV[2], 2))
redis.call('SADD', p .. 'engines', ARGV[1])
if ARGV[3] == '1' then redis.call('PUBLISH', p .. 'changed', 'engine ' .. ARGV[1]) end
return 1
"""
)

# ARGV: the generation the reader has (its adapters and aliases are sent only if that is not the current one)
SNAPSHOT = (
    _COMMON
    + """
local g = redis.call('GET', p .. 'generation') or '0'
local engines = {}
for _, id in ipairs(redis.call('SMEMBERS', p .. 'engines')) do
  table.insert(engines, redis.call('GET', p .. 'engine:' .. id) or '')
end
if g == ARGV[1] then return {g, now(), engines} end
local adapters = {}
for _, version in ipairs(redis.call('SMEMBERS', p .. 'live')) do
  table.insert(adapters, {version, redis.call('HGETALL', key(version))})
end
return {g, now(), engines, adapters, redis.call('HGETALL', p .. 'aliases')}
"""
)
