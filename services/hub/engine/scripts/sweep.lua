-- ARGV: now, most attempts, how many at once. Answers: how many there were, agents that are woken, what is told of those that are dead.
local now, mostAttempts = ARGV[1], tonumber(ARGV[2])
local nowMs = tonumber(now)
local names = call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, ARGV[3])
local died, agents = {}, {}
for _, name in ipairs(names) do
  local seq, agent = string.match(name, '^(%d+):(.*)$')
  local delivery = find(agent, seq)
  woken[agent] = true
  if delivery.state == LEASED then
    endLease(died, agent, seq, delivery, now, mostAttempts, 'its lease ended')
    agents[agent] = true
  elseif delivery.due ~= '0' and tonumber(delivery.due) <= nowMs then
    leave(agent, seq, delivery)
    await(agent, seq, delivery, '0')
    agents[agent] = true
  end
  if delivery.state == PENDING and tonumber(delivery.expires) <= nowMs then
    die(agent, seq, delivery, 'expired', now)
    told(died, agent, seq, delivery)
  end
end
finish()
local list = {}
for agent in pairs(agents) do list[#list + 1] = agent end
return { #names, list, died }
