-- What comes before every script of the hub. All keys of a mesh begin with KEYS[1], which is in braces: they lie in one slot, so
-- that a script is one change, all of it or nothing, also in a Cluster. Numbers stay below 1e14: Lua would write larger ones in short.
--
--   log            stream of messages: id SEQ-0; e envelope and owner, t time, n encoding, z size of the body
--   b:SEQ          body
--   m:SEQ          JSON list: source, urgency, owner, id, correlation, time to live, what it counts for in the quota, time, size,
--                  list of the agents that it went to ('' for a dead letter that had nowhere to go)
--   open           hash: SEQ -> how many deliveries are open, of messages that did not go to one mailbox alone
--   i:SOURCE       hash: id -> SEQ:DIGEST:OWNER, on a line for each token that has sent it under this name
--   c:CORRELATION  sorted set of places
--   free:OWNER     sorted set of places of which nothing is open
--   kept           hash: iOWNER and bOWNER, messages and bytes of each token
--   due            sorted set of SEQ:AGENT: when a lease or a delay ends, or the message expires
--   load           sorted set of agents: how much waits there, at work included
--   arrived        sorted set of agents: the number of the last wake-up of each
--   da:AGENT do:OWNER   sorted sets (by words) of dead letters: time, place, agent
--   meta           hash: counters
--
-- A mailbox has lanes: what one source sent with one urgency. A lane's name is its urgency and its source.
--   d:AGENT        hash: SEQ -> how this delivery stands
--   l:AGENT:LANE   sorted set: places that are ready
--   f:AGENT:LANE   sorted set: places at work or waiting for another attempt ("in flight")
--   q:AGENT        sorted set of lanes: the place of the first that is ready, where nothing before it is in flight
--   w:AGENT        sorted set of lanes: the same where something before it is in flight
--   departed       sorted set of agents: when one of this name left last
--   x:AGENT        sorted set: places at work; y:AGENT those that wait for another attempt
local K = KEYS[1]
local call = redis.call
local LOG, META, DUE, LOAD, KEPT, ARRIVED, OPEN =
  K .. ':log', K .. ':meta', K .. ':due', K .. ':load', K .. ':kept', K .. ':arrived', K .. ':open'
local PENDING, LEASED, ACKNOWLEDGED, DEAD = 0, 1, 2, 3
-- One urgency lies this far from the next in the order of a mailbox.
local STEP = 1e13
-- One script removes some thousand deliveries at most: others are served between two of them.
local COST = 10000
-- So many have to go from full mailboxes in one script, beside one for each message that comes: some milliseconds of work.
local DROPPED = 100

local function whole(number) return string.format('%.0f', number) end
local function keyOf(kind, name) return K .. ':' .. kind .. ':' .. name end
local function laneKey(kind, agent, lane) return K .. ':' .. kind .. ':' .. #agent .. ':' .. agent .. ':' .. lane end
local function rank(lane, seq) return (3 - tonumber(string.sub(lane, 1, 1))) * STEP + tonumber(seq) end

-- Runs a command with as many arguments as there are: Lua takes some thousand at once.
local function inParts(command, key, list, width)
  local part = width * 1000
  for from = 1, #list, part do
    call(command, key, unpack(list, from, math.min(from + part - 1, #list)))
  end
end

-- Changes are gathered, and written by `flush`: a command costs more than what it does. What a script reads of a sorted set after it
-- has changed it, it flushes first.
local sets, records, changedRecords = {}, {}, {}
local touched, loads, kept, woken = {}, {}, {}, {}
-- Of those that are woken: who has something ready without a further look.
local surely = {}

-- A score, or `false` for a member that is to go.
local function put(key, member, score)
  local set = sets[key]
  if not set then
    set = {}
    sets[key] = set
  end
  set[member] = score
end

-- How a delivery stands. Times are kept as text. `alone`: '1' where the message went to this mailbox and no other.
local function parse(text)
  local state, attempts, base, at, expires, replay, due, alone, size, lane, owner, from =
    string.match(text, '^(%d),(%d+),(%d+),(%d+),(%d+),(%d),(%d+),(%d),(%d+),(%d+),(%d+),()')
  local middle = from + tonumber(lane)
  local last = middle + tonumber(owner)
  return {
    state = tonumber(state), attempts = tonumber(attempts), base = tonumber(base), at = at, expires = expires,
    replay = replay, due = due, alone = alone, size = size, lane = string.sub(text, from, middle - 1),
    owner = string.sub(text, middle, last - 1), reason = string.sub(text, last),
  }
end

local function textOf(one)
  return table.concat({
    one.state, one.attempts, one.base, one.at, one.expires, one.replay, one.due, one.alone, one.size, #one.lane, #one.owner,
    one.lane .. one.owner .. one.reason,
  }, ',')
end

local function recordsOf(agent)
  if not records[agent] then records[agent] = {} end
  return records[agent]
end

-- Reads how these deliveries stand at once.
local function fetch(agent, seqs)
  local known, wanted = recordsOf(agent), {}
  for _, seq in ipairs(seqs) do
    if not known[seq] then wanted[#wanted + 1] = seq end
  end
  for from = 1, #wanted, 1000 do
    local last = math.min(from + 999, #wanted)
    local found = call('HMGET', keyOf('d', agent), unpack(wanted, from, last))
    for index = from, last do
      local text = found[index - from + 1]
      if text then known[wanted[index]] = parse(text) end
    end
  end
end

local function find(agent, seq)
  local known = recordsOf(agent)
  if not known[seq] then
    local text = call('HGET', keyOf('d', agent), seq)
    if text then known[seq] = parse(text) end
  end
  return known[seq]
end

local function save(agent, seq, delivery)
  recordsOf(agent)[seq] = delivery
  if not changedRecords[agent] then changedRecords[agent] = {} end
  changedRecords[agent][seq] = true
end

local function forgetRecord(agent, seq)
  recordsOf(agent)[seq] = nil
  if changedRecords[agent] then changedRecords[agent][seq] = nil end
  call('HDEL', keyOf('d', agent), seq)
end

local function flush()
  for key, set in pairs(sets) do
    local adds, removes = {}, {}
    for member, score in pairs(set) do
      if score then
        adds[#adds + 1] = score
        adds[#adds + 1] = member
      else
        removes[#removes + 1] = member
      end
    end
    inParts('ZADD', key, adds, 2)
    inParts('ZREM', key, removes, 1)
  end
  sets = {}
  for agent, seqs in pairs(changedRecords) do
    local fields = {}
    for seq in pairs(seqs) do
      fields[#fields + 1] = seq
      fields[#fields + 1] = textOf(records[agent][seq])
    end
    inParts('HSET', keyOf('d', agent), fields, 2)
  end
  changedRecords = {}
end

-- A lane of which something has changed: `flush` and `refresh` bring it in order.
local function touch(agent, lane)
  local lanes = touched[agent]
  if not lanes then
    lanes = {}
    touched[agent] = lanes
  end
  lanes[lane] = true
end

-- Lanes of which `enqueue` knows that something is ready.
local looked = {}

local function refresh(agent)
  local q, w = keyOf('q', agent), keyOf('w', agent)
  for lane in pairs(touched[agent] or {}) do
    local l = laneKey('l', agent, lane)
    looked[l] = nil
    local head = call('ZRANGE', l, 0, 0)[1]
    local flying = head and call('ZRANGE', laneKey('f', agent, lane), 0, 0)[1]
    local isBlocked = flying and tonumber(flying) < tonumber(head)
    put(q, lane, head and not isBlocked and rank(lane, head) or false)
    put(w, lane, isBlocked and rank(lane, head) or false)
  end
  touched[agent] = nil
end

local function waiting(agent)
  if not loads[agent] then loads[agent] = tonumber(call('ZSCORE', LOAD, agent) or 0) end
  return loads[agent]
end

-- Reads how much waits in each of these mailboxes at once.
local function fetchLoads(agents)
  local wanted = {}
  for _, agent in ipairs(agents) do
    if not loads[agent] then wanted[#wanted + 1] = agent end
  end
  for from = 1, #wanted, 1000 do
    local last = math.min(from + 999, #wanted)
    local found = call('ZMSCORE', LOAD, unpack(wanted, from, last))
    for index = from, last do loads[wanted[index]] = tonumber(found[index - from + 1] or 0) end
  end
end

local function addLoad(agent, count)
  loads[agent] = waiting(agent) + count
  put(LOAD, agent, loads[agent] > 0 and loads[agent] or false)
end

local function keeps(owner)
  if not kept[owner] then
    local found = call('HMGET', KEPT, 'i' .. owner, 'b' .. owner)
    kept[owner] = { items = tonumber(found[1] or 0), bytes = tonumber(found[2] or 0) }
  end
  return kept[owner]
end

-- Brings the lanes in order, and wakes those who may have something to receive.
local function finish()
  flush()
  local agents = {}
  for agent in pairs(touched) do agents[#agents + 1] = agent end
  for _, agent in ipairs(agents) do refresh(agent) end
  for owner, held in pairs(kept) do
    if held.items > 0 then call('HSET', KEPT, 'i' .. owner, held.items, 'b' .. owner, whole(held.bytes))
    else call('HDEL', KEPT, 'i' .. owner, 'b' .. owner) end
  end
  flush()
  local names, tick = {}, nil
  for agent in pairs(woken) do
    if surely[agent] or call('EXISTS', keyOf('q', agent), keyOf('w', agent)) > 0 then
      tick = tick or call('HINCRBY', META, 'tick', 1)
      names[#names + 1] = agent
      put(ARRIVED, agent, tick)
    end
  end
  if tick then
    flush()
    call('PUBLISH', K .. ':wake', whole(tick) .. '\n' .. table.concat(names, '\n'))
  end
end

-- Takes a delivery out of where it waits or is at work.
local function leave(agent, seq, delivery)
  local lane = delivery.lane
  if delivery.state == LEASED then
    put(keyOf('x', agent), seq, false)
    put(laneKey('f', agent, lane), seq, false)
  elseif delivery.due ~= '0' then
    put(keyOf('y', agent), seq, false)
    put(laneKey('f', agent, lane), seq, false)
  else
    put(laneKey('l', agent, lane), seq, false)
  end
  touch(agent, lane)
end

-- Lets a new delivery wait. Its place is the highest: where its lane stands changes only when nothing was ready there before.
local function enqueue(agent, seq, delivery)
  local l = laneKey('l', agent, delivery.lane)
  if not looked[l] then
    looked[l] = true
    if call('EXISTS', l) == 0 then
      local isBlocked = call('EXISTS', laneKey('f', agent, delivery.lane)) > 0
      put(keyOf(isBlocked and 'w' or 'q', agent), delivery.lane, rank(delivery.lane, seq))
    end
  end
  put(l, seq, seq)
  put(DUE, seq .. ':' .. agent, delivery.expires)
  addLoad(agent, 1)
  woken[agent], surely[agent] = true, true
  save(agent, seq, delivery)
end

-- Lets a delivery wait, until `due` where that is not '0'.
local function await(agent, seq, delivery, due)
  delivery.state = PENDING
  delivery.due = due
  local ends = delivery.expires
  if due == '0' then
    put(laneKey('l', agent, delivery.lane), seq, seq)
  else
    put(keyOf('y', agent), seq, due)
    put(laneKey('f', agent, delivery.lane), seq, seq)
    if tonumber(due) < tonumber(ends) then ends = due end
  end
  put(DUE, seq .. ':' .. agent, ends)
  touch(agent, delivery.lane)
  save(agent, seq, delivery)
end

-- Gives a delivery out until `due`.
local function give(agent, seq, delivery, due)
  delivery.state = LEASED
  delivery.due = due
  put(keyOf('x', agent), seq, due)
  put(laneKey('f', agent, delivery.lane), seq, seq)
  put(DUE, seq .. ':' .. agent, due)
  touch(agent, delivery.lane)
  save(agent, seq, delivery)
end

local function messageAt(seq)
  local text = call('GET', keyOf('m', seq))
  if not text then return nil end
  local source, urgency, owner, id, correlation, life, counts, time, size, agents = unpack(cjson.decode(text))
  return {
    lane = urgency .. source, source = source, urgency = urgency, owner = owner, id = id, correlation = correlation, life = life,
    counts = counts, time = time, size = size, agents = agents,
  }
end

-- A message goes to one more mailbox, or to one again: from now on its open deliveries are counted.
local function alsoTo(agent, seq, message)
  local count, isKnown = 0, false
  for _, other in ipairs(message.agents) do
    isKnown = isKnown or other == agent
    local delivery = find(other, seq)
    if delivery and delivery.state < ACKNOWLEDGED then count = count + 1 end
    if delivery and delivery.alone == '1' then
      delivery.alone = '0'
      save(other, seq, delivery)
    end
  end
  call('HSET', OPEN, seq, count + 1)
  put(keyOf('free', message.owner), seq, false)
  if isKnown then return end
  message.agents[#message.agents + 1] = agent
  call('SET', keyOf('m', seq), cjson.encode({
    message.source, message.urgency, message.owner, message.id, message.correlation, message.life, message.counts,
    message.time, message.size, message.agents,
  }))
end

-- A delivery waits again from the beginning of its attempts; `before` is how it stood, where it was there.
local function open(agent, seq, message, before, expires, now, replay)
  alsoTo(agent, seq, message)
  local attempts = before and before.attempts or 0
  await(agent, seq, {
    attempts = attempts, base = attempts, at = now, expires = expires, replay = replay, alone = '0', size = message.size,
    lane = message.lane, owner = message.owner, reason = '',
  }, '0')
  addLoad(agent, 1)
  woken[agent] = true
end

-- An open delivery is settled.
local function close(agent, seq, delivery, state, now)
  leave(agent, seq, delivery)
  put(DUE, seq .. ':' .. agent, false)
  delivery.due, delivery.state, delivery.at = '0', state, now
  addLoad(agent, -1)
  if delivery.alone == '1' then
    put(keyOf('free', delivery.owner), seq, seq)
  elseif call('HINCRBY', OPEN, seq, -1) == 0 then
    call('HDEL', OPEN, seq)
    put(keyOf('free', delivery.owner), seq, seq)
  end
  save(agent, seq, delivery)
end

-- Sorts by time, then by place.
local function deadName(at, seq, agent) return string.format('%016.0f%016.0f', tonumber(at), tonumber(seq)) .. agent end

local function addDead(agent, seq, delivery)
  local name = deadName(delivery.at, seq, agent)
  put(keyOf('da', agent), name, 0)
  put(keyOf('do', delivery.owner), name, 0)
  call('HINCRBY', META, 'dead', 1)
end

local function removeDead(agent, seq, delivery)
  local name = deadName(delivery.at, seq, agent)
  put(keyOf('da', agent), name, false)
  put(keyOf('do', delivery.owner), name, false)
  call('HINCRBY', META, 'dead', -1)
end

local function die(agent, seq, delivery, reason, now)
  close(agent, seq, delivery, DEAD, now)
  delivery.reason = reason
  addDead(agent, seq, delivery)
end

local function isLast(delivery, mostAttempts) return delivery.attempts - delivery.base >= mostAttempts end
local function exhausted(delivery) return 'no acknowledgement in ' .. (delivery.attempts - delivery.base) .. ' attempts' end

local function entryAt(seq) return call('XRANGE', LOG, seq .. '-0', seq .. '-0')[1] end
local function placeOf(entry) return string.match(entry[1], '^%d+') end

-- What is told of a message that became a dead letter: place, agent, reason, envelope and owner.
local function told(died, agent, seq, delivery)
  died[#died + 1] = seq
  died[#died + 1] = agent
  died[#died + 1] = delivery.reason
  died[#died + 1] = entryAt(seq)[2][2]
end

-- Ends a lease. The message waits again, or is dead.
local function endLease(died, agent, seq, delivery, now, mostAttempts, reason)
  if isLast(delivery, mostAttempts) then
    die(agent, seq, delivery, exhausted(delivery), now)
    told(died, agent, seq, delivery)
  else
    leave(agent, seq, delivery)
    delivery.at = now
    delivery.reason = reason
    await(agent, seq, delivery, '0')
  end
end

-- Takes one place out of those of an id.
local function forgetId(source, id, seq)
  local rest = {}
  for line in string.gmatch(call('HGET', keyOf('i', source), id) or '', '[^\n]+') do
    if string.match(line, '^%d+') ~= seq then rest[#rest + 1] = line end
  end
  if #rest > 0 then call('HSET', keyOf('i', source), id, table.concat(rest, '\n'))
  else call('HDEL', keyOf('i', source), id) end
end

-- Takes a message of which nothing is open out of the log. Answers how much work it was.
local function removeMessage(seq, message)
  for _, agent in ipairs(message.agents) do
    local delivery = find(agent, seq)
    if delivery and delivery.state == DEAD then removeDead(agent, seq, delivery) end
    if delivery then forgetRecord(agent, seq) end
  end
  forgetId(message.source, message.id, seq)
  put(keyOf('c', message.correlation), seq, false)
  put(keyOf('free', message.owner), seq, false)
  call('XDEL', LOG, seq .. '-0')
  call('UNLINK', keyOf('m', seq), keyOf('b', seq))
  local held = keeps(message.owner)
  held.items = held.items - 1
  held.bytes = held.bytes - message.counts
  return 1 + #message.agents
end

-- A message as it is answered: place, envelope, encoding, size, body.
local function answer(list, seq, entry, body)
  local fields = entry[2]
  list[#list + 1] = seq
  list[#list + 1] = fields[2]
  list[#list + 1] = fields[6]
  list[#list + 1] = fields[8]
  list[#list + 1] = body
end

-- Documents: e:KIND hash key -> version, time of change, expiry, owner as JSON, value, each on a line; n:KIND sorted set (by words) of
-- keys; ends sorted set of KIND and key by expiry; changes stream of what hubs have to hear, numbered without a gap.
local function documentOf(text)
  local version, expires, owner, value = string.match(text, '^(%d+)\n%d+\n(%d*)\n([^\n]*)\n(.*)$')
  return { version = tonumber(version), expires = expires, owner = owner, value = value }
end

-- Documents count in the quota of their owner, `by` 1 or -1. Answers what the owner keeps then.
local function count(document, by)
  local held = keeps(cjson.decode('[' .. document.owner .. ']')[1])
  held.items = held.items + by
  held.bytes = held.bytes + by * (#document.value + 200)
  return held
end

local function forget(kind, key, document)
  call('HDEL', keyOf('e', kind), key)
  call('ZREM', keyOf('n', kind), key)
  call('ZREM', K .. ':ends', kind .. '\n' .. key)
  return count(document, -1)
end

local function changed(kind, key, text)
  local number = whole(call('HINCRBY', META, 'change', 1))
  call('XADD', K .. ':changes', 'MAXLEN', '~', 10000, number .. '-0', 'k', kind, 'n', key, 'v', text)
  call('PUBLISH', K .. ':wake', '')
end

-- The oldest of the least urgent that wait in a mailbox: as many as asked for, where there are as many.
local function oldestWaiting(agent, most)
  flush()
  refresh(agent)
  flush()
  local byUrgency, delayed, found = { {}, {}, {}, {} }, call('ZRANGE', keyOf('y', agent), 0, -1), {}
  fetch(agent, delayed)
  for _, seq in ipairs(delayed) do
    local list = byUrgency[tonumber(string.sub(find(agent, seq).lane, 1, 1)) + 1]
    list[#list + 1] = tonumber(seq)
  end
  for urgency = 0, 3 do
    local list, wanted, from = byUrgency[urgency + 1], most - #found, (3 - urgency) * STEP
    if wanted <= 0 then break end
    for _, kind in ipairs({ 'q', 'w' }) do
      -- In the order of their first ones: those behind have nothing that is older.
      for _, lane in ipairs(call('ZRANGEBYSCORE', keyOf(kind, agent), from, '(' .. whole(from + STEP), 'LIMIT', 0, wanted)) do
        for _, seq in ipairs(call('ZRANGE', laneKey('l', agent, lane), 0, wanted - 1)) do list[#list + 1] = tonumber(seq) end
      end
    end
    table.sort(list)
    for index = 1, math.min(wanted, #list) do found[#found + 1] = whole(list[index]) end
  end
  return found
end

-- How many had to go.
local function dropOldest(agent, most, now)
  local seqs = oldestWaiting(agent, most)
  fetch(agent, seqs)
  for _, seq in ipairs(seqs) do die(agent, seq, find(agent, seq), 'dropped to make room', now) end
  return #seqs
end

-- Whether an agent of this name is registered.
local function isTaken(agent) return call('HEXISTS', keyOf('e', 'agent'), agent) == 1 end

-- Reservations: r hash NAME and agent -> fence, end, whether shared, rest, each on a line; rn sorted set (by words) of the same
-- names; rx sorted set of them by their end; ra:AGENT set of names.
local function unreserve(name, agent)
  local member = name .. '\0' .. agent
  if call('HDEL', K .. ':r', member) == 0 then return false end
  call('ZREM', K .. ':rn', member)
  call('ZREM', K .. ':rx', member)
  call('SREM', keyOf('ra', agent), name)
  return true
end
