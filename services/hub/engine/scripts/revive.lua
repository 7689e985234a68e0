-- ARGV: agent and place of the dead letter, agent that gets it, most, expiry, now.
local deadAgent, seq, agent, most, expires, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local dead = find(deadAgent, seq)
if not dead or dead.state ~= DEAD then return 'unknown' end
if waiting(agent) >= most then return 'full' end
removeDead(deadAgent, seq, dead)
if deadAgent ~= agent then call('HDEL', messageKey(seq), ':' .. deadAgent) end
local delivery = deadAgent == agent and dead or find(agent, seq)
-- It may wait there already.
if not delivery or delivery.state >= ACKNOWLEDGED then
  if delivery and deadAgent ~= agent and delivery.state == DEAD then removeDead(agent, seq, delivery) end
  delivery = delivery or { attempts = 0, replay = '0', lane = dead.lane, owner = dead.owner }
  delivery.base, delivery.at, delivery.expires, delivery.reason = delivery.attempts, now, expires, ''
  open(agent, seq, delivery)
  save(agent, seq, delivery)
end
finish()
return 'queued'
