-- ARGV: agent, reason, now, how many at once, keys of its subscriptions. Lets go of what one of this name has left behind, while nobody
-- has the name: a hub of the mesh may have registered it meanwhile. Answers how many messages are dead now, how many names were
-- reserved, how many subscriptions have ended.
local agent, reason, now, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if isTaken(agent) then return { 0, 0, 0 } end
local ended = 0
for index = 5, #ARGV do
  local key = ARGV[index]
  local text = call('HGET', keyOf('e', 'subscription'), key)
  if text then
    forget('subscription', key, documentOf(text))
    changed('subscription', key, '')
    ended = ended + 1
  end
end
local released = 0
for _, name in ipairs(call('SMEMBERS', keyOf('ra', agent))) do
  if unreserve(name, agent) then released = released + 1 end
end
local seqs = {}
local function add(list)
  for _, seq in ipairs(list) do
    if #seqs < most then seqs[#seqs + 1] = seq end
  end
end
add(call('ZRANGE', keyOf('x', agent), 0, most - 1))
add(call('ZRANGE', keyOf('y', agent), 0, most - 1))
for _, kind in ipairs({ 'q', 'w' }) do
  for _, lane in ipairs(call('ZRANGE', keyOf(kind, agent), 0, most - 1)) do
    if #seqs < most then add(call('ZRANGE', laneKey('l', agent, lane), 0, most - 1)) end
  end
end
fetch(agent, seqs)
for _, seq in ipairs(seqs) do die(agent, seq, find(agent, seq), reason, now) end
call('ZADD', K .. ':departed', now, agent)
finish()
if #seqs < most then call('ZREM', ARRIVED, agent) end
return { #seqs, released, ended }
