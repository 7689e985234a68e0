-- ARGV: agent, now, most attempts, how many at once. Answers: how many there were, and what is told of those that are dead.
local agent, now, mostAttempts = ARGV[1], ARGV[2], tonumber(ARGV[3])
local seqs = call('ZRANGE', keyOf('x', agent), 0, tonumber(ARGV[4]) - 1)
local died = {}
fetch(agent, seqs)
for _, seq in ipairs(seqs) do
  endLease(died, agent, seq, find(agent, seq), now, mostAttempts, 'its receiver was gone')
end
woken[agent] = true
finish()
return { #seqs, died }
