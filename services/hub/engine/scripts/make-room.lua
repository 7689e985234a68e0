-- ARGV: agent, most, now. Drops what is above that, the oldest of the least urgent. Answers whether there may be more ('1').
local agent, most, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local dropped = dropOldest(agent, math.min(waiting(agent) - most, DROPPED), now)
finish()
return dropped == DROPPED and '1' or '0'
