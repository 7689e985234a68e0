-- ARGV: now, items and bytes that a token may keep, how many messages; of each: source, id, digest, owner, correlation, urgency, time to
-- live, expiry, envelope and owner, encoding, size, what counts in the quota, body, why it is dead ('' when it is not), how many
-- mailboxes; of each mailbox: agent, most, whenFull.
-- Answers for each: outcome, place, how many mailboxes; of each mailbox: outcome, how many were dropped.
local now, mostItems, mostBytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- How many of a token's oldest messages go at once when it keeps too much: it does not pay for each.
local trimmedAtOnce = 200
local at = 4
local answers = {}

local function isOver(owner)
  local held = keeps(owner)
  return held.items > mostItems or held.bytes > mostBytes
end

local function makeRoom(owner)
  while isOver(owner) do
    local seqs = call('ZRANGE', boxKey('free', owner), 0, trimmedAtOnce - 1)
    if #seqs == 0 then return false end
    local count, cost = 0, 0
    for _, seq in ipairs(seqs) do
      cost = cost + removeMessage(seq)
      count = count + 1
      if cost > COST then break end
    end
    call('HINCRBY', META, 'trimmed', count)
  end
  return true
end

-- The oldest of the least urgent that waits: the first of a lane, or one that waits for another attempt.
local function oldestWaiting(agent)
  -- What this script placed is in no lane's place yet.
  for _, place in pairs(touched) do if place[1] == agent then refresh(place[1], place[2]) end end
  local best, bestRank
  local function consider(seq, urgency)
    local order = urgency * STEP + tonumber(seq)
    if not bestRank or order < bestRank then best, bestRank = seq, order end
  end
  for _, kind in ipairs({ 'q', 'w' }) do
    for urgency = 0, 3 do
      local from = (3 - urgency) * STEP
      local lane = call('ZRANGEBYSCORE', boxKey(kind, agent), from, '(' .. whole(from + STEP), 'LIMIT', 0, 1)[1]
      if lane then
        consider(call('ZRANGE', laneKey('l', agent, lane), 0, 0)[1], urgency)
        break
      end
    end
  end
  for _, seq in ipairs(call('ZRANGE', boxKey('y', agent), 0, -1)) do
    consider(seq, tonumber(call('HGET', messageKey(seq), 'u')))
  end
  return best
end

-- How many had to go.
local function dropOldest(agent, count)
  for dropped = 0, count - 1 do
    local seq = oldestWaiting(agent)
    if not seq then return dropped end
    die(agent, seq, find(agent, seq), 'dropped to make room', now)
  end
  return count
end

for _ = 1, tonumber(ARGV[at]) do
  local source, id, digest, owner, correlation, urgency, life, expires, envelope, encoding, size, counts, body, why =
    unpack(ARGV, at + 1, at + 14)
  local boxes = tonumber(ARGV[at + 15])
  local first = at + 16
  at = at + 15 + boxes * 3
  local ids = boxKey('i', source)
  local before = call('HGET', ids, id)
  local function say(outcome, seq, placed)
    answers[#answers + 1] = outcome
    answers[#answers + 1] = seq
    answers[#answers + 1] = placed and boxes or 0
    for index = 1, placed and boxes * 2 or 0 do answers[#answers + 1] = placed[index] end
  end

  local isAllFull = boxes > 0
  for box = first, at, 3 do
    if ARGV[box + 2] ~= 'reject' or waiting(ARGV[box]) < tonumber(ARGV[box + 1]) then
      isAllFull = false
      break
    end
  end

  if before then
    local seq, digestBefore = string.match(before, '^(%d+):(.*)$')
    say(digestBefore == digest and 'duplicate' or 'conflict', seq)
  elseif not makeRoom(owner) then
    say('over_quota', 0)
  elseif isAllFull then
    local full = {}
    for _ = 1, boxes do
      full[#full + 1] = 'full'
      full[#full + 1] = 0
    end
    say('full', 0, full)
  else
    local seq = whole(call('HINCRBY', META, 'seq', 1))
    local lane = urgency .. source
    local fields = {}
    local function record(agent, state, reason)
      fields[#fields + 1] = ':' .. agent
      fields[#fields + 1] = textOf({
        state = state, attempts = 0, base = 0, at = now, expires = expires, replay = '0', due = '0', reason = reason,
      })
    end
    local placed, open = {}, 0
    local died = {}
    for box = first, at, 3 do
      local agent, most, whenFull = ARGV[box], tonumber(ARGV[box + 1]), ARGV[box + 2]
      local excess = waiting(agent) - most + 1
      local dropped = 0
      if excess > 0 and whenFull == 'drop_oldest' then dropped = dropOldest(agent, excess) end
      -- What is at work cannot be dropped.
      local outcome = 'queued'
      if excess > 0 and dropped == 0 then outcome = whenFull == 'reject' and 'full' or 'dead_letter' end
      placed[#placed + 1] = outcome
      placed[#placed + 1] = dropped
      if outcome == 'queued' then
        local l = laneKey('l', agent, lane)
        call('ZADD', l, seq, seq)
        -- Its place is the highest: it changes where the lane stands only when it is alone there.
        if call('ZCARD', l) == 1 then touch(agent, lane) end
        call('ZADD', DUE, expires, seq .. ':' .. agent)
        addLoad(agent, 1)
        woken[agent] = true
        open = open + 1
        record(agent, PENDING, '')
      elseif outcome == 'dead_letter' then
        record(agent, DEAD, 'its mailbox was full')
        died[#died + 1] = agent
      end
    end
    if why ~= '' then
      record('', DEAD, why)
      died[#died + 1] = ''
    end
    for _, agent in ipairs(died) do addDead(agent, seq, { at = now, owner = owner }) end
    call('XADD', LOG, seq .. '-0', 'e', envelope, 't', now, 'n', encoding, 'z', size)
    call('SET', boxKey('b', seq), body)
    call('HSET', messageKey(seq), 's', source, 'u', urgency, 'o', owner, 'i', id, 'c', correlation, 't', now, 'x', life,
      'z', counts, 'n', open)
    inParts('HSET', messageKey(seq), fields, 2)
    call('HSET', ids, id, seq .. ':' .. digest)
    call('ZADD', boxKey('c', correlation), seq, seq)
    if open == 0 then call('ZADD', boxKey('free', owner), seq, seq) end
    local held = keeps(owner)
    held.items = held.items + 1
    held.bytes = held.bytes + tonumber(counts)
    say('stored', seq, placed)
  end
end
finish()
return answers
