-- ARGV: now; of each: name, agent, whether shared ('1'), end, rest, what lies below it ('' for nothing), how many names cover it;
-- those names. Answers: 'held', and name with agent and text of each in the way; or 'made' and the fence of each.
local now = ARGV[1]
for _, member in ipairs(call('ZRANGEBYSCORE', K .. ':rx', '-inf', now, 'LIMIT', 0, 1000)) do
  unreserve(string.match(member, '^(.*)%z(.*)$'))
end

local held, known, wanted = { 'held' }, {}, {}
local function look(one, from, to)
  for _, member in ipairs(call('ZRANGEBYLEX', K .. ':rn', from, to)) do
    local text = call('HGET', K .. ':r', member)
    local ends, shared = string.match(text, '^%d+\n(%d+)\n(%d)\n')
    local isOwn = string.match(member, '%z(.*)$') == one.agent
    if not isOwn and tonumber(ends) > tonumber(now) and not (shared == '1' and one.shared == '1') and not known[member] then
      known[member] = true
      held[#held + 1] = member
      held[#held + 1] = text
    end
  end
end

local at = 2
while at <= #ARGV do
  local one = { name = ARGV[at], agent = ARGV[at + 1], shared = ARGV[at + 2], ends = ARGV[at + 3], rest = ARGV[at + 4] }
  local below, count = ARGV[at + 5], tonumber(ARGV[at + 6])
  for index = at + 7, at + 6 + count do look(one, '[' .. ARGV[index] .. '\0', '(' .. ARGV[index] .. '\1') end
  -- '0' is what comes after '/'.
  if below ~= '' then look(one, '[' .. below .. '/', '(' .. below .. '0') end
  wanted[#wanted + 1] = one
  at = at + 7 + count
end
if #held > 1 then return held end

local made = { 'made' }
for _, one in ipairs(wanted) do
  local fence = whole(call('HINCRBY', META, 'fence', 1))
  local member = one.name .. '\0' .. one.agent
  call('HSET', K .. ':r', member, table.concat({ fence, one.ends, one.shared, one.rest }, '\n'))
  call('ZADD', K .. ':rn', 0, member)
  call('ZADD', K .. ':rx', one.ends, member)
  call('SADD', K .. ':ra:' .. one.agent, one.name)
  made[#made + 1] = fence
end
return made
