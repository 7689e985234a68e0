-- ARGV: correlation ('' for all), from, whether backwards ('1'), most, most bytes of bodies beside the first.
-- Answers for each: place, envelope and owner, encoding, size, body.
local correlation, from, isBack, most, mostBytes = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local answers, bytes = {}, 0

-- Whether there is room for more.
local function add(entry)
  local seq = placeOf(entry)
  local body = call('GET', keyOf('b', seq))
  answer(answers, seq, entry, body)
  bytes = bytes + #body
  most = most - 1
  return bytes <= mostBytes and most > 0
end

local function wholeLog()
  while true do
    local entries = isBack and call('XREVRANGE', LOG, '(' .. from .. '-0', '-', 'COUNT', math.min(most, 100))
      or call('XRANGE', LOG, '(' .. from .. '-0', '+', 'COUNT', math.min(most, 100))
    for _, entry in ipairs(entries) do
      if not add(entry) then return end
      from = placeOf(entry)
    end
    if #entries < 100 then return end
  end
end

local function thread()
  local key = keyOf('c', correlation)
  local seqs = isBack and call('ZREVRANGEBYSCORE', key, '(' .. from, '-inf', 'LIMIT', 0, most)
    or call('ZRANGEBYSCORE', key, '(' .. from, '+inf', 'LIMIT', 0, most)
  for _, seq in ipairs(seqs) do
    if not add(entryAt(seq)) then return end
  end
end

if most > 0 and not (isBack and from == '0') then
  if correlation == '' then wholeLog() else thread() end
end
return answers
