-- ARGV: correlation ('' for all), from, whether backwards ('1'), most, most bytes of bodies beside the first; and of all messages: text
-- that has to be in what the log says of a message ('' for any), at how many it looks at most
-- (0 for all).
-- Answers where to go on from ('' at the end), then for each: place, envelope and owner, encoding, size, body.
local correlation, from, isBack, most, mostBytes = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local words, looks = ARGV[6], tonumber(ARGV[7])
local answers, bytes = { '' }, 0

-- Whether there is room for more.
local function add(entry)
  local seq = placeOf(entry)
  local body = call('GET', keyOf('b', seq))
  answer(answers, seq, entry, body)
  bytes = bytes + #body
  most = most - 1
  return bytes <= mostBytes and most > 0
end

local function fits(entry) return words == '' or string.find(entry[2][2], words, 1, true) end

local function wholeLog()
  local count = words == '' and math.min(most, 100) or 100
  while true do
    local entries = isBack and call('XREVRANGE', LOG, '(' .. from .. '-0', '-', 'COUNT', count)
      or call('XRANGE', LOG, '(' .. from .. '-0', '+', 'COUNT', count)
    for _, entry in ipairs(entries) do
      from, looks = placeOf(entry), looks - 1
      if (fits(entry) and not add(entry)) or looks == 0 then
        answers[1] = from
        return
      end
    end
    if #entries < count then return end
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
