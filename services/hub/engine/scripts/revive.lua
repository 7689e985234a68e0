-- ARGV: agent and place of the dead letter, agent that gets it, most, expiry, now.
local deadAgent, seq, agent, most, expires, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local dead = find(deadAgent, seq)
if not dead or dead.state ~= DEAD then return 'unknown' end
if waiting(agent) >= most then return 'full' end
removeDead(deadAgent, seq, dead)
local before = find(agent, seq)
-- It may wait there already.
if not before or before.state >= ACKNOWLEDGED then
  if before and deadAgent ~= agent and before.state == DEAD then removeDead(agent, seq, before) end
  open(agent, seq, messageAt(seq), before, expires, now, before and before.replay or '0')
end
if deadAgent ~= agent then forgetRecord(deadAgent, seq) end
finish()
return 'queued'
