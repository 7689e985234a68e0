-- ARGV: agent, most, most bytes, until, now, whether in order ('1').
-- Answers for each: place, envelope and owner, encoding, size, body, attempt, whether it is a replay.
local agent, most, mostBytes, untilMs, now, isOrdered =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6] == '1'
local nowMs = tonumber(now)

-- The next of a lane that may be given out. What has expired is left for the sweep, and holds nothing up.
local function step(lane)
  while true do
    lane.index = lane.index + 1
    if lane.index > #lane.page then
      local last = lane.page[#lane.page]
      local from = last and '(' .. last or '-inf'
      lane.page = call('ZRANGEBYSCORE', laneKey('l', agent, lane.name), from, '+inf', 'LIMIT', 0, most)
      lane.index = 1
    end
    local seq = lane.page[lane.index]
    if not seq or (lane.limit and tonumber(seq) > lane.limit) then return false end
    local delivery = parse(call('HGET', messageKey(seq), ':' .. agent))
    if tonumber(delivery.expires) > nowMs then
      lane.seq, lane.delivery, lane.rank = seq, delivery, rank(lane.name, seq)
      return true
    end
  end
end

-- Lanes by what they would give next.
local lanes = {}
local function insert(lane)
  local position = #lanes + 1
  while position > 1 and lanes[position - 1].rank > lane.rank do position = position - 1 end
  table.insert(lanes, position, lane)
end

-- Where lanes come from, some at a time: no lane that is not loaded yet would give anything before `bound`.
local width = 16
local sources = { { key = boxKey('q', agent), from = 0, bound = -1 } }
if not isOrdered then sources[2] = { key = boxKey('w', agent), from = 0, bound = -1 } end

local function loadLanes(source)
  local flat = call('ZRANGE', source.key, source.from, source.from + width - 1, 'WITHSCORES')
  source.from = source.from + width
  source.bound = #flat < 2 * width and math.huge or tonumber(flat[#flat])
  for index = 1, #flat, 2 do
    local lane = { name = flat[index], page = {}, index = 0 }
    local flying = isOrdered and call('ZRANGE', laneKey('f', agent, lane.name), 0, 0)[1]
    if flying then lane.limit = tonumber(flying) end
    if step(lane) then insert(lane) end
  end
end

local function firstLane()
  for _, source in ipairs(sources) do
    while source.bound < (lanes[1] and lanes[1].rank or math.huge) do loadLanes(source) end
  end
  return lanes[1]
end

local answers, bytes, count = {}, 0, 0
local out, flying, leased, due = {}, {}, {}, {}
while count < most do
  local lane = firstLane()
  if not lane then break end
  local seq, delivery = lane.seq, lane.delivery
  local entry = call('XRANGE', LOG, seq .. '-0', seq .. '-0')[1]
  bytes = bytes + tonumber(entry[2][8])
  if bytes > mostBytes and count > 0 then break end
  count = count + 1
  delivery.state, delivery.attempts, delivery.due, delivery.at = LEASED, delivery.attempts + 1, untilMs, now
  save(agent, seq, delivery)
  answer(answers, seq, entry, call('GET', boxKey('b', seq)))
  answers[#answers + 1] = delivery.attempts
  answers[#answers + 1] = delivery.replay
  out[lane.name] = out[lane.name] or {}
  table.insert(out[lane.name], seq)
  leased[#leased + 1] = untilMs
  leased[#leased + 1] = seq
  due[#due + 1] = untilMs
  due[#due + 1] = seq .. ':' .. agent
  table.remove(lanes, 1)
  if step(lane) then insert(lane) end
end

for name, seqs in pairs(out) do
  local scored = {}
  for _, seq in ipairs(seqs) do
    scored[#scored + 1] = seq
    scored[#scored + 1] = seq
  end
  inParts('ZREM', laneKey('l', agent, name), seqs, 1)
  inParts('ZADD', laneKey('f', agent, name), scored, 2)
  touch(agent, name)
end
inParts('ZADD', boxKey('x', agent), leased, 2)
inParts('ZADD', DUE, due, 2)
finish()
return answers
