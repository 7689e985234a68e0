-- ARGV: time, how many at once, kinds of which hubs have to hear. Removes documents that expired before. Answers how many.
local isShared = {}
for index = 3, #ARGV do isShared[ARGV[index]] = true end
local names = call('ZRANGEBYSCORE', K .. ':ends', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  local kind, key = string.match(name, '^([^\n]*)\n(.*)$')
  forget(kind, key, documentOf(call('HGET', keyOf('e', kind), key)))
  if isShared[kind] then changed(kind, key, '') end
end
finish()
return #names
