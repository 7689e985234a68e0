-- ARGV: agent, whether all of its names ('1'), names. Answers those that it held.
local agent = ARGV[1]
local names = ARGV[2] == '1' and call('SMEMBERS', K .. ':ra:' .. agent) or { unpack(ARGV, 3) }
local answers = {}
for _, name in ipairs(names) do
  if unreserve(name, agent) then answers[#answers + 1] = name end
end
return answers
