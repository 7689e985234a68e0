-- ARGV: owner; time, place and agent before which; most, agents. Answers the names of the newest dead letters of this token and in
-- these mailboxes, the newest first.
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
for index = #names, most + 1, -1 do names[index] = nil end
return names
