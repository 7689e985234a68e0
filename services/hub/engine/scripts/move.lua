-- ARGV: agent and place of what waits, agent that gets it, most, now, whether only while nobody has the name ('1').
local from, seq, agent, most, now, hasLeft = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local one = find(from, seq)
if hasLeft and isTaken(from) then return 'unknown' end
if not one or one.state ~= PENDING or from == agent then return 'unknown' end
if waiting(agent) >= most then return 'full' end
local before = find(agent, seq)
-- It may wait there already.
if not before or before.state >= ACKNOWLEDGED then
  if before and before.state == DEAD then removeDead(agent, seq, before) end
  open(agent, seq, messageAt(seq), before, one.expires, now, one.replay)
end
close(from, seq, one, ACKNOWLEDGED, now)
forgetRecord(from, seq)
finish()
return 'queued'
