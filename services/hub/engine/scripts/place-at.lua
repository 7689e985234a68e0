-- ARGV: time. By halving: times hardly ever go back, and where a clock was set back, a place nearby is as good.
local time = tonumber(ARGV[1])
local first, last = call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1], call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
if not first then return tonumber(call('HGET', META, 'seq') or 0) + 1 end
local low, high = tonumber(placeOf(first)), tonumber(placeOf(last)) + 1
while low < high do
  local middle = math.floor((low + high) / 2)
  local entry = call('XRANGE', LOG, whole(middle) .. '-0', '+', 'COUNT', 1)[1]
  if not entry or tonumber(entry[2][4]) >= time then high = middle else low = tonumber(placeOf(entry)) + 1 end
end
return low
