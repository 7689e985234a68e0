-- ARGV: agent, most, now, places. Answers how many wait in the mailbox now.
local agent, most, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function replay(seq)
  local delivery = find(agent, seq)
  if delivery and delivery.state < ACKNOWLEDGED then return true end
  local found = call('HMGET', messageKey(seq), 'u', 's', 'o', 'x')
  if not found[1] or waiting(agent) >= most then return false end
  if delivery and delivery.state == DEAD then removeDead(agent, seq, delivery) end
  delivery = delivery or { attempts = 0 }
  -- It lives as long as it would have lived when it was sent.
  delivery.expires = whole(tonumber(now) + tonumber(found[4]))
  delivery.lane, delivery.owner = found[1] .. found[2], found[3]
  delivery.base, delivery.at, delivery.replay, delivery.reason = delivery.attempts, now, '1', ''
  open(agent, seq, delivery)
  save(agent, seq, delivery)
  return true
end

local count = 0
for index = 4, #ARGV do
  if replay(ARGV[index]) then count = count + 1 end
end
finish()
return count
