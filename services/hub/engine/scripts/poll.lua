-- ARGV: the last change and the last wake-up that this hub knows, how many changes at once.
-- Answers: number of the last change, whether some are missing here; number, kind, key and document of each; number of the last
-- wake-up, agents that were woken; what tokens keep.
local lastChange, lastTick = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = call('HMGET', META, 'change', 'tick')
local change, tick = tonumber(found[1] or 0), tonumber(found[2] or 0)
local changes, agents = {}, {}
-- Redis may have been put back to an earlier state.
local isMissing = lastChange > change
if lastChange < change then
  local entries = call('XRANGE', K .. ':changes', whole(lastChange + 1) .. '-0', '+', 'COUNT', ARGV[3])
  isMissing = not entries[1] or tonumber(placeOf(entries[1])) ~= lastChange + 1
  for _, entry in ipairs(isMissing and {} or entries) do
    changes[#changes + 1] = placeOf(entry)
    for index = 2, 6, 2 do changes[#changes + 1] = entry[2][index] end
  end
end
if lastTick > tick then agents = call('ZRANGE', ARRIVED, 0, -1)
elseif lastTick < tick then agents = call('ZRANGEBYSCORE', ARRIVED, '(' .. whole(lastTick), '+inf') end
return { whole(change), isMissing and 1 or 0, changes, whole(tick), agents, call('HGETALL', KEPT) }
