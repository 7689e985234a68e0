-- ARGV: owner, time and place before which, most, agents. Newest first.
-- Answers for each: place, envelope and owner, encoding, size, body, agent, how the delivery stands.
local most = tonumber(ARGV[4])
-- Longer ones with the same beginning come after it.
local before = '(' .. deadName(ARGV[2], ARGV[3], '')
local names, known = {}, {}
local function add(key)
  for _, name in ipairs(call('ZREVRANGEBYLEX', key, before, '-', 'LIMIT', 0, most)) do
    if not known[name] then
      known[name] = true
      names[#names + 1] = name
    end
  end
end
add(boxKey('do', ARGV[1]))
for index = 5, #ARGV do add(boxKey('da', ARGV[index])) end
table.sort(names, function(one, other) return one > other end)
local answers = {}
for index = 1, math.min(most, #names) do
  local seq = whole(tonumber(string.sub(names[index], 17, 32)))
  local agent = string.sub(names[index], 33)
  local entry = call('XRANGE', LOG, seq .. '-0', seq .. '-0')[1]
  answer(answers, seq, entry, call('GET', boxKey('b', seq)))
  answers[#answers + 1] = agent
  answers[#answers + 1] = call('HGET', messageKey(seq), ':' .. agent)
end
return answers
