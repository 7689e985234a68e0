-- ARGV: kind, key, owner as JSON, time of change, expiry ('' for never), value, version that it must have ('' for any), whether hubs
-- have to hear of it ('1'). Answers: whether it was done, the document as it is ('' when it is not there), how many messages and
-- documents the owner keeps now, and their bytes.
local kind, key, owner, now, expires, value, wanted, isShared = unpack(ARGV)
local text = call('HGET', keyOf('e', kind), key)
local before = text and documentOf(text)
local isThere = before and (before.expires == '' or tonumber(before.expires) > tonumber(now))
if isThere and (before.owner ~= owner or (wanted ~= '' and before.version ~= tonumber(wanted))) then return { 0, text } end
-- Nobody takes over what one of the name before has left.
local function hasLeft(agent)
  return call('EXISTS', keyOf('x', agent), keyOf('y', agent), keyOf('q', agent), keyOf('w', agent), keyOf('ra', agent)) > 0
end
if kind == 'agent' and not before and hasLeft(key) then return { 0, '' } end
if not isThere and wanted ~= '' and wanted ~= '0' then return { 0, '' } end
if before then count(before, -1) end
local held = count({ owner = owner, value = value }, 1)
text = table.concat({ whole((before and before.version or 0) + 1), now, expires, owner, value }, '\n')
call('HSET', keyOf('e', kind), key, text)
call('ZADD', keyOf('n', kind), 0, key)
if expires == '' then call('ZREM', K .. ':ends', kind .. '\n' .. key)
else call('ZADD', K .. ':ends', expires, kind .. '\n' .. key) end
if isShared == '1' then changed(kind, key, text) end
finish()
return { 1, text, held.items, whole(held.bytes) }
