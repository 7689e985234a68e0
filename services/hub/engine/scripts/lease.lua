-- ARGV: agent, most, most bytes, until, now, whether in order ('1').
-- Answers for each: place, envelope and owner, encoding, size, body, attempt, whether it is a replay.
local agent, most, mostBytes, untilMs, now, isOrdered =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6] == '1'
local nowMs = tonumber(now)

-- Those whose delay is over are ready, though no sweep has been here. They stay in flight: what comes after them in their lane waits.
local delayed = call('ZRANGEBYSCORE', keyOf('y', agent), '-inf', now, 'LIMIT', 0, 1000)
if #delayed > 0 then
  fetch(agent, delayed)
  for _, seq in ipairs(delayed) do
    local lane = find(agent, seq).lane
    put(laneKey('l', agent, lane), seq, seq)
    touch(agent, lane)
  end
  flush()
  refresh(agent)
  flush()
end

-- The next of a lane that may be given out. What has expired is left for the sweep, and holds nothing up.
local function step(lane)
  while true do
    lane.index = lane.index + 1
    if lane.index > #lane.page then
      local last = lane.page[#lane.page]
      local from = last and '(' .. last or '-inf'
      lane.page = call('ZRANGEBYSCORE', laneKey('l', agent, lane.name), from, '+inf', 'LIMIT', 0, most)
      lane.index = 1
      fetch(agent, lane.page)
    end
    local seq = lane.page[lane.index]
    if not seq or (lane.limit and tonumber(seq) > lane.limit) then return false end
    local delivery = find(agent, seq)
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
local sources = { { key = keyOf('q', agent), from = 0, bound = -1 } }
if not isOrdered then sources[2] = { key = keyOf('w', agent), from = 0, bound = -1 } end

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

local taken, bytes = {}, 0
while #taken < most do
  local lane = firstLane()
  if not lane then break end
  local seq, delivery = lane.seq, lane.delivery
  bytes = bytes + tonumber(delivery.size)
  if bytes > mostBytes and #taken > 0 then break end
  taken[#taken + 1] = seq
  put(laneKey('l', agent, lane.name), seq, false)
  if delivery.due ~= '0' then put(keyOf('y', agent), seq, false) end
  delivery.attempts, delivery.at = delivery.attempts + 1, now
  give(agent, seq, delivery, untilMs)
  table.remove(lanes, 1)
  if step(lane) then insert(lane) end
end
for _, seq in ipairs(delayed) do
  local delivery = find(agent, seq)
  if delivery.state == PENDING then put(laneKey('l', agent, delivery.lane), seq, false) end
end

-- Places that lie close together are read at once.
local answers, entries, bodies = {}, {}, {}
if #taken > 0 then
  local low, high = math.huge, 0
  for _, seq in ipairs(taken) do
    low, high = math.min(low, tonumber(seq)), math.max(high, tonumber(seq))
    bodies[#bodies + 1] = keyOf('b', seq)
  end
  if high - low < 2 * #taken then
    for _, entry in ipairs(call('XRANGE', LOG, whole(low) .. '-0', whole(high) .. '-0')) do entries[placeOf(entry)] = entry end
  end
  local texts = call('MGET', unpack(bodies))
  for index, seq in ipairs(taken) do
    answer(answers, seq, entries[seq] or entryAt(seq), texts[index])
    local delivery = find(agent, seq)
    answers[#answers + 1] = delivery.attempts
    answers[#answers + 1] = delivery.replay
  end
end
finish()
return answers
