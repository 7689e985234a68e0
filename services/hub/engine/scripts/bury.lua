-- ARGV: agent and place of each. Answers how many there were.
local count = 0
for index = 1, #ARGV, 2 do
  local agent, seq = ARGV[index], ARGV[index + 1]
  local delivery = find(agent, seq)
  if delivery and delivery.state == DEAD then
    removeDead(agent, seq, delivery)
    forgetRecord(agent, seq)
    count = count + 1
  end
end
finish()
return count
