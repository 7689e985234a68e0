-- ARGV: agent, place after which, how many. Answers the places of what waits there and is not at work, in order.
local agent, after, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local seqs = {}
local function add(list)
  for _, seq in ipairs(list) do
    if tonumber(seq) > after then seqs[#seqs + 1] = tonumber(seq) end
  end
end
add(call('ZRANGE', keyOf('y', agent), 0, -1))
for _, kind in ipairs({ 'q', 'w' }) do
  for _, lane in ipairs(call('ZRANGE', keyOf(kind, agent), 0, -1)) do
    add(call('ZRANGE', laneKey('l', agent, lane), '(' .. whole(after), '+inf', 'BYSCORE', 'LIMIT', 0, most))
  end
end
table.sort(seqs)
local answers = {}
for index = 1, math.min(most, #seqs) do answers[index] = whole(seqs[index]) end
return answers
