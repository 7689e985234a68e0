-- ARGV: now, items and bytes that a token may keep, how many messages; of each: source, id, digest, owner, lane, expiry, correlation,
-- envelope and owner, encoding, size, what counts in the quota, what is kept as m:SEQ, body, why it is dead ('' when it is not), how
-- many mailboxes; of each mailbox: agent, most, whenFull.
-- Answers 'crowded', agent and most of each, where much has to go first from mailboxes whose agents have lowered what may wait there;
-- nothing was changed then. Or for each: outcome, place, how many mailboxes; of each mailbox: outcome, how many were dropped.
local now, mostItems, mostBytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- How many of a token's oldest messages go at once when it keeps too much: it does not pay for each.
local trimmedAtOnce = 200
local lastSeq = tonumber(call('HGET', META, 'seq') or 0)
local answers, ids, texts = {}, {}, {}

-- Mailboxes that hold more than they may, when all that has to go from them is more than one script drops.
local function crowdedOnes()
  local agents, mostOf, at = {}, {}, 4
  for _ = 1, tonumber(ARGV[4]) do
    local last = at + 15 + tonumber(ARGV[at + 15]) * 3
    for box = at + 16, last, 3 do
      if ARGV[box + 2] == 'drop_oldest' then
        if not mostOf[ARGV[box]] then agents[#agents + 1] = ARGV[box] end
        mostOf[ARGV[box]] = tonumber(ARGV[box + 1])
      end
    end
    at = last
  end
  fetchLoads(agents)
  local crowded, above = { 'crowded' }, 0
  for _, agent in ipairs(agents) do
    local excess = waiting(agent) - mostOf[agent]
    -- What is at work cannot be dropped.
    if excess > 0 then excess = math.min(excess, waiting(agent) - call('ZCARD', keyOf('x', agent))) end
    if excess > 0 then
      above = above + excess
      crowded[#crowded + 1] = agent
      crowded[#crowded + 1] = whole(mostOf[agent])
    end
  end
  return above > DROPPED and crowded
end

local crowded = crowdedOnes()
if crowded then return crowded end

local at = 4

local function isOver(owner)
  local held = keeps(owner)
  return held.items > mostItems or held.bytes > mostBytes
end

local function makeRoom(owner)
  while isOver(owner) do
    flush()
    local count, cost = 0, 0
    for _, seq in ipairs(call('ZRANGE', keyOf('free', owner), 0, trimmedAtOnce - 1)) do
      cost = cost + removeMessage(seq, messageAt(seq))
      count = count + 1
      if cost > COST then break end
    end
    if count == 0 then return false end
    call('HINCRBY', META, 'trimmed', count)
  end
  return true
end

-- What was sent before under this name and id, or in this script.
local function linesOf(source, id)
  if not ids[source] then ids[source] = {} end
  return ids[source][id] or call('HGET', keyOf('i', source), id)
end

-- The place and digest of what this token has sent of it.
local function sentBefore(lines, owner)
  for line in string.gmatch(lines or '', '[^\n]+') do
    local seq, digest, sender = string.match(line, '^(%d+):([^:]*):?(.*)$')
    if sender == owner then return seq, digest end
  end
end

local function isFull(agent, most) return waiting(agent) >= tonumber(most) end

local function areAllFull(first, last)
  local agents = {}
  for box = first, last, 3 do agents[#agents + 1] = ARGV[box] end
  fetchLoads(agents)
  for box = first, last, 3 do
    if ARGV[box + 2] ~= 'reject' or not isFull(ARGV[box], ARGV[box + 1]) then return false end
  end
  return first <= last
end

for _ = 1, tonumber(ARGV[at]) do
  local source, id, digest, owner, lane, expires, correlation, envelope, encoding, size, counts, text, body, why =
    unpack(ARGV, at + 1, at + 14)
  local boxes = tonumber(ARGV[at + 15])
  local first = at + 16
  at = at + 15 + boxes * 3
  local function say(outcome, seq, placed)
    answers[#answers + 1] = outcome
    answers[#answers + 1] = seq
    answers[#answers + 1] = placed and boxes or 0
    for index = 1, placed and boxes * 2 or 0 do answers[#answers + 1] = placed[index] end
  end

  local lines = linesOf(source, id)
  local before, digestBefore = sentBefore(lines, owner)
  if before then
    say(digestBefore == digest and 'duplicate' or 'conflict', before)
  elseif not makeRoom(owner) then
    say('over_quota', 0)
  elseif areAllFull(first, at) then
    local full = {}
    for _ = 1, boxes do
      full[#full + 1] = 'full'
      full[#full + 1] = 0
    end
    say('full', 0, full)
  else
    lastSeq = lastSeq + 1
    local seq = whole(lastSeq)
    local alone = boxes == 1 and '1' or '0'
    local function delivery(state, reason)
      return {
        state = state, attempts = 0, base = 0, at = now, expires = expires, replay = '0', due = '0', alone = alone, size = size,
        lane = lane, owner = owner, reason = reason,
      }
    end
    local function bury(agent, reason)
      local dead = delivery(DEAD, reason)
      addDead(agent, seq, dead)
      save(agent, seq, dead)
    end
    local placed, open = {}, 0
    for box = first, at, 3 do
      local agent, most, whenFull = ARGV[box], tonumber(ARGV[box + 1]), ARGV[box + 2]
      local excess = waiting(agent) - most + 1
      local dropped = 0
      if excess > 0 and whenFull == 'drop_oldest' then dropped = dropOldest(agent, excess, now) end
      -- What is at work cannot be dropped.
      local outcome = 'queued'
      if excess > 0 and dropped == 0 then outcome = whenFull == 'reject' and 'full' or 'dead_letter' end
      placed[#placed + 1] = outcome
      placed[#placed + 1] = dropped
      if outcome == 'queued' then
        enqueue(agent, seq, delivery(PENDING, ''))
        open = open + 1
      elseif outcome == 'dead_letter' then
        bury(agent, 'its mailbox was full')
      end
    end
    if why ~= '' then bury('', why) end
    call('XADD', LOG, seq .. '-0', 'e', envelope, 't', now, 'n', encoding, 'z', size)
    texts[#texts + 1] = keyOf('b', seq)
    texts[#texts + 1] = body
    texts[#texts + 1] = keyOf('m', seq)
    texts[#texts + 1] = text
    put(keyOf('c', correlation), seq, seq)
    if open == 0 then put(keyOf('free', owner), seq, seq)
    elseif alone == '0' then call('HSET', OPEN, seq, open) end
    ids[source][id] = seq .. ':' .. digest .. ':' .. owner .. (lines and '\n' .. lines or '')
    local held = keeps(owner)
    held.items = held.items + 1
    held.bytes = held.bytes + tonumber(counts)
    say('stored', seq, placed)
  end
end

if #texts > 0 then
  call('HSET', META, 'seq', whole(lastSeq))
  for from = 1, #texts, 2000 do call('MSET', unpack(texts, from, math.min(from + 1999, #texts))) end
  for source, known in pairs(ids) do
    local fields = {}
    for id, text in pairs(known) do
      fields[#fields + 1] = id
      fields[#fields + 1] = text
    end
    inParts('HSET', keyOf('i', source), fields, 2)
  end
end
finish()
return answers
