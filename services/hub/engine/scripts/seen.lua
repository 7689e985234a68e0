-- ARGV: agent and time of each. A time never goes back. One may have left meanwhile.
for index = 1, #ARGV, 2 do
  local before = call('HGET', K .. ':seen', ARGV[index])
  if isTaken(ARGV[index]) and (not before or tonumber(before) < tonumber(ARGV[index + 1])) then
    call('HSET', K .. ':seen', ARGV[index], ARGV[index + 1])
  end
end
return 1
