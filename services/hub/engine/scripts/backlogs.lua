-- ARGV: most; an agent, for its mailbox alone. Answers for each mailbox, the fullest first: agent, how much waits, how much of it is at work, when the oldest was sent.
local answers = {}
local flat = ARGV[2] and { ARGV[2], call('ZSCORE', LOAD, ARGV[2]) or '0' }
  or call('ZREVRANGE', LOAD, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for index = 1, #flat, 2 do
  local agent = flat[index]
  local oldest
  local function consider(seqs)
    for _, seq in ipairs(seqs) do
      if not oldest or tonumber(seq) < oldest then oldest = tonumber(seq) end
    end
  end
  for _, kind in ipairs({ 'q', 'w' }) do
    for urgency = 0, 3 do
      local from = (3 - urgency) * STEP
      local lane = call('ZRANGEBYSCORE', keyOf(kind, agent), from, '(' .. whole(from + STEP), 'LIMIT', 0, 1)[1]
      if lane then consider(call('ZRANGE', laneKey('l', agent, lane), 0, 0)) end
    end
  end
  consider(call('ZRANGE', keyOf('x', agent), 0, -1))
  consider(call('ZRANGE', keyOf('y', agent), 0, -1))
  answers[#answers + 1] = agent
  answers[#answers + 1] = flat[index + 1]
  answers[#answers + 1] = call('ZCARD', keyOf('x', agent))
  answers[#answers + 1] = oldest and whole(messageAt(whole(oldest)).time) or ''
end
return answers
