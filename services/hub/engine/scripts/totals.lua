-- Answers: messages, first and last place, bytes, dead letters, trimmed.
local first, last = call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1], call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
local bytes, flat = 0, call('HGETALL', KEPT)
for index = 1, #flat, 2 do
  if string.sub(flat[index], 1, 1) == 'b' then bytes = bytes + tonumber(flat[index + 1]) end
end
local found = call('HMGET', META, 'seq', 'dead', 'trimmed')
return {
  call('XLEN', LOG), first and placeOf(first) or '0', last and placeOf(last) or found[1] or '0', whole(bytes),
  found[2] or '0', found[3] or '0',
}
