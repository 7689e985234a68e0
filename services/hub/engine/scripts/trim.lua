-- ARGV: time, most. Lets go of settled messages from before this time. Answers: how many, and whether there may be more ('1').
local time, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local count, cost = 0, 0
local function isEnough() return count == most or cost > COST end
for _, field in ipairs(call('HKEYS', KEPT)) do
  if string.sub(field, 1, 1) == 'i' and not isEnough() then
    for _, seq in ipairs(call('ZRANGE', keyOf('free', string.sub(field, 2)), 0, most - count - 1)) do
      local message = messageAt(seq)
      if isEnough() or message.time >= time then break end
      cost = cost + removeMessage(seq, message)
      count = count + 1
    end
  end
end
finish()
-- Departures of which nothing is left that was settled before them: no delivery is older than its message.
local first = call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
local limit = first and math.min(time, tonumber(first[2][4])) or time
local names = call('ZRANGEBYSCORE', K .. ':departed', '-inf', '(' .. whole(limit), 'LIMIT', 0, 1000)
inParts('ZREM', K .. ':departed', names, 1)
return { count, isEnough() and '1' or '0' }
