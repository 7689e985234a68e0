-- ARGV: kind, key after which, most, now. Answers key and document of each, by key.
local kind, after, most, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local answers = {}
while most > 0 do
  local keys = call('ZRANGEBYLEX', K .. ':n:' .. kind, '(' .. after, '+', 'LIMIT', 0, 100)
  for _, key in ipairs(keys) do
    local text = call('HGET', K .. ':e:' .. kind, key)
    local expires = string.match(text, '^%d+\n%d+\n(%d*)\n')
    if most > 0 and (expires == '' or tonumber(expires) > now) then
      answers[#answers + 1] = key
      answers[#answers + 1] = text
      most = most - 1
    end
    after = key
  end
  if #keys < 100 then break end
end
return answers
