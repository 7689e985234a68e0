-- ARGV: owner; time, place and agent before which; most, agents. Newest first.
-- Answers for each: place, envelope and owner, encoding, size, nothing for the body, agent, attempts, when it died, why.
local most = tonumber(ARGV[5])
-- Longer ones with the same beginning come after it.
local before = '(' .. deadName(ARGV[2], ARGV[3], ARGV[4])
local names, known = {}, {}
local function add(key)
  for _, name in ipairs(call('ZREVRANGEBYLEX', key, before, '-', 'LIMIT', 0, most)) do
    if not known[name] then
      known[name] = true
      names[#names + 1] = name
    end
  end
end
add(keyOf('do', ARGV[1]))
for index = 6, #ARGV do add(keyOf('da', ARGV[index])) end
table.sort(names, function(one, other) return one > other end)
local answers = {}
for index = 1, math.min(most, #names) do
  local seq = whole(tonumber(string.sub(names[index], 17, 32)))
  local agent = string.sub(names[index], 33)
  local entry = entryAt(seq)
  answer(answers, seq, entry, '')
  local delivery = find(agent, seq)
  answers[#answers + 1] = agent
  answers[#answers + 1] = delivery.attempts
  answers[#answers + 1] = delivery.at
  answers[#answers + 1] = delivery.reason
end
return answers
