-- ARGV: agent, reason, now, how many at once. Answers how many there were.
local agent, reason, now, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
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
call('HSET', K .. ':left', agent, now)
finish()
if #seqs < most then call('ZREM', ARRIVED, agent) end
return #seqs
