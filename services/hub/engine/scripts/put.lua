-- ARGV: kind, key, owner, time of change, expiry ('' for never), value, version that it must have ('' for any), whether hubs have to
-- hear of it ('1'). Answers: whether it was done, and the document as it is ('' when it is not there).
local kind, key, owner, now, expires, value, wanted, isShared = unpack(ARGV)
local documents = K .. ':e:' .. kind
local before = call('HGET', documents, key)
local version, isThere = 0, false
if before then
  local versionBefore, expiresBefore, ownerBefore = string.match(before, '^(%d+)\n%d+\n(%d*)\n([^\n]*)\n')
  version = tonumber(versionBefore)
  isThere = expiresBefore == '' or tonumber(expiresBefore) > tonumber(now)
  if isThere and (ownerBefore ~= owner or (wanted ~= '' and version ~= tonumber(wanted))) then return { 0, before } end
end
if not isThere and wanted ~= '' and wanted ~= '0' then return { 0, '' } end
local text = table.concat({ whole(version + 1), now, expires, owner, value }, '\n')
call('HSET', documents, key, text)
call('ZADD', K .. ':n:' .. kind, 0, key)
if expires == '' then call('ZREM', K .. ':ends', kind .. '\n' .. key)
else call('ZADD', K .. ':ends', expires, kind .. '\n' .. key) end
if isShared == '1' then changed(kind, key, text) end
return { 1, text }
