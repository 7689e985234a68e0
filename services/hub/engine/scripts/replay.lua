-- ARGV: agent, most, now, places. Answers how many of them wait in the mailbox now.
local agent, most, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function replay(seq)
  local before = find(agent, seq)
  if before and before.state < ACKNOWLEDGED then return true end
  local message = messageAt(seq)
  if not message or waiting(agent) >= most then return false end
  if before and before.state == DEAD then removeDead(agent, seq, before) end
  -- It lives as long as it would have lived when it was sent.
  open(agent, seq, message, before, whole(tonumber(now) + message.life), now, '1')
  return true
end

local count = 0
for index = 4, #ARGV do
  if replay(ARGV[index]) then count = count + 1 end
end
finish()
return count
