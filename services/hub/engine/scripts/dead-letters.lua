-- ARGV: names of dead letters. Answers for each that is still there: place, envelope and owner, encoding, size, nothing for the body,
-- agent, attempts, when it died, why.
local answers = {}
for _, name in ipairs(ARGV) do
  local seq = whole(tonumber(string.sub(name, 17, 32)))
  local agent = string.sub(name, 33)
  local entry, delivery = entryAt(seq), find(agent, seq)
  if entry and delivery and delivery.state == DEAD then
    answer(answers, seq, entry, '')
    answers[#answers + 1] = agent
    answers[#answers + 1] = delivery.attempts
    answers[#answers + 1] = delivery.at
    answers[#answers + 1] = delivery.reason
  end
end
return answers
