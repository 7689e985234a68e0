-- ARGV: kind, key, owner, whether hubs have to hear of it ('1'). Answers whether there was one of this owner.
local kind, key, owner, isShared = unpack(ARGV)
local before = call('HGET', K .. ':e:' .. kind, key)
if not before or string.match(before, '^%d+\n%d+\n%d*\n([^\n]*)\n') ~= owner then return 0 end
forget(kind, key)
if isShared == '1' then changed(kind, key, '') end
return 1
