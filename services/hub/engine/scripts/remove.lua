-- ARGV: kind, key, owner as JSON, whether hubs have to hear of it ('1'). Answers whether there was one of this owner, how many
-- messages and documents the owner keeps now, and their bytes.
local kind, key, owner, isShared = unpack(ARGV)
local text = call('HGET', keyOf('e', kind), key)
local before = text and documentOf(text)
if not before or before.owner ~= owner then return { 0 } end
local held = forget(kind, key, before)
if kind == 'agent' then call('HDEL', K .. ':seen', key) end
if isShared == '1' then changed(kind, key, '') end
finish()
return { 1, held.items, whole(held.bytes) }
