-- What comes before every script of the hub. All keys of a mesh begin with KEYS[1], which is in braces: they lie in one slot, so
-- that a script is one change, all of it or nothing, also in a Cluster. Numbers stay below 1e14: Lua would write larger ones in short.
--
--   log            stream of messages: id SEQ-0; e envelope and owner, t time, n encoding, z size of the body
--   b:SEQ          body
--   m:SEQ          hash: s source, u urgency, o owner, i id, c correlation, t time, x time to live, z what it counts for in the
--                  quota, n how many deliveries are open, and for each mailbox ':AGENT' how its delivery stands
--   i:SOURCE       hash: id -> SEQ:DIGEST
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
--   l:AGENT:LANE   sorted set: places that are ready
--   f:AGENT:LANE   sorted set: places at work or waiting for another attempt ("in flight")
--   q:AGENT        sorted set of lanes: the place of the first that is ready, where nothing before it is in flight
--   w:AGENT        sorted set of lanes: the same where something before it is in flight
--   x:AGENT        sorted set: places at work; y:AGENT those that wait for another attempt
local K = KEYS[1]
local call = redis.call
local LOG, META, DUE, LOAD, KEPT, ARRIVED =
  K .. ':log', K .. ':meta', K .. ':due', K .. ':load', K .. ':kept', K .. ':arrived'
local PENDING, LEASED, ACKNOWLEDGED, DEAD = 0, 1, 2, 3
-- One urgency lies this far from the next in the order of a mailbox.
local STEP = 1e13

local function whole(number) return string.format('%.0f', number) end
local function messageKey(seq) return K .. ':m:' .. seq end
local function boxKey(kind, agent) return K .. ':' .. kind .. ':' .. agent end
local function laneKey(kind, agent, lane) return K .. ':' .. kind .. ':' .. #agent .. ':' .. agent .. ':' .. lane end
local function rank(lane, seq) return (3 - tonumber(string.sub(lane, 1, 1))) * STEP + tonumber(seq) end

-- Runs a command with as many arguments as there are: Lua takes some thousand at once.
local function inParts(command, key, list, width)
  local part = width * 1000
  for from = 1, #list, part do
    call(command, key, unpack(list, from, math.min(from + part - 1, #list)))
  end
end

-- How a delivery stands. Times are kept as text.
local function parse(text)
  if not text then return nil end
  local state, attempts, base, at, expires, replay, due, reason =
    string.match(text, '^(%d),(%d+),(%d+),(%d+),(%d+),(%d),(%d+),(.*)$')
  return {
    state = tonumber(state), attempts = tonumber(attempts), base = tonumber(base), at = at, expires = expires,
    replay = replay, due = due, reason = reason,
  }
end

local function textOf(delivery)
  return table.concat({
    delivery.state, delivery.attempts, delivery.base, delivery.at, delivery.expires, delivery.replay, delivery.due,
    delivery.reason,
  }, ',')
end

local function save(agent, seq, delivery) call('HSET', messageKey(seq), ':' .. agent, textOf(delivery)) end

-- A delivery, with its lane and the owner of the message.
local function find(agent, seq)
  local found = call('HMGET', messageKey(seq), ':' .. agent, 'u', 's', 'o')
  local delivery = parse(found[1])
  if delivery then
    delivery.lane = found[2] .. found[3]
    delivery.owner = found[4]
  end
  return delivery
end

-- What a script has touched is put in order once, at its end.
local touched, loads, kept, woken = {}, {}, {}, {}

local function touch(agent, lane) touched[laneKey('l', agent, lane)] = { agent, lane } end

local function waiting(agent)
  if not loads[agent] then loads[agent] = tonumber(call('ZSCORE', LOAD, agent) or 0) end
  return loads[agent]
end
local function addLoad(agent, count) loads[agent] = waiting(agent) + count end

local function keeps(owner)
  if not kept[owner] then
    local found = call('HMGET', KEPT, 'i' .. owner, 'b' .. owner)
    kept[owner] = { items = tonumber(found[1] or 0), bytes = tonumber(found[2] or 0) }
  end
  return kept[owner]
end

local function refresh(agent, lane)
  local q, w = boxKey('q', agent), boxKey('w', agent)
  local head = call('ZRANGE', laneKey('l', agent, lane), 0, 0)[1]
  if not head then
    call('ZREM', q, lane)
    call('ZREM', w, lane)
    return
  end
  local flying = call('ZRANGE', laneKey('f', agent, lane), 0, 0)[1]
  local isBlocked = flying and tonumber(flying) < tonumber(head)
  call('ZADD', isBlocked and w or q, rank(lane, head), lane)
  call('ZREM', isBlocked and q or w, lane)
end

local function finish()
  for _, place in pairs(touched) do refresh(place[1], place[2]) end
  for agent, count in pairs(loads) do
    if count > 0 then call('ZADD', LOAD, count, agent) else call('ZREM', LOAD, agent) end
  end
  for owner, held in pairs(kept) do
    if held.items > 0 then call('HSET', KEPT, 'i' .. owner, held.items, 'b' .. owner, whole(held.bytes))
    else call('HDEL', KEPT, 'i' .. owner, 'b' .. owner) end
  end
  local agents, arrivals = {}, {}
  local tick
  for agent in pairs(woken) do
    if call('EXISTS', boxKey('q', agent), boxKey('w', agent)) > 0 then
      tick = tick or call('HINCRBY', META, 'tick', 1)
      agents[#agents + 1] = agent
      arrivals[#arrivals + 1] = tick
      arrivals[#arrivals + 1] = agent
    end
  end
  if tick then
    inParts('ZADD', ARRIVED, arrivals, 2)
    call('PUBLISH', K .. ':wake', whole(tick) .. '\n' .. table.concat(agents, '\n'))
  end
end

-- Takes a delivery out of where it waits or is at work.
local function leave(agent, seq, delivery)
  local lane = delivery.lane
  if delivery.state == LEASED then
    call('ZREM', boxKey('x', agent), seq)
    call('ZREM', laneKey('f', agent, lane), seq)
  elseif delivery.due ~= '0' then
    call('ZREM', boxKey('y', agent), seq)
    call('ZREM', laneKey('f', agent, lane), seq)
  else
    call('ZREM', laneKey('l', agent, lane), seq)
  end
  touch(agent, lane)
end

-- Lets a delivery wait, until `due` where that is not '0'.
local function await(agent, seq, delivery, due)
  delivery.state = PENDING
  delivery.due = due
  local ends = tonumber(delivery.expires)
  if due == '0' then
    call('ZADD', laneKey('l', agent, delivery.lane), seq, seq)
  else
    call('ZADD', boxKey('y', agent), due, seq)
    call('ZADD', laneKey('f', agent, delivery.lane), seq, seq)
    ends = math.min(ends, tonumber(due))
  end
  call('ZADD', DUE, ends, seq .. ':' .. agent)
  touch(agent, delivery.lane)
end

-- A delivery that was settled waits again.
local function open(agent, seq, delivery)
  await(agent, seq, delivery, '0')
  addLoad(agent, 1)
  call('HINCRBY', messageKey(seq), 'n', 1)
  call('ZREM', boxKey('free', delivery.owner), seq)
  woken[agent] = true
end

-- An open delivery is settled.
local function close(agent, seq, delivery)
  leave(agent, seq, delivery)
  call('ZREM', DUE, seq .. ':' .. agent)
  delivery.due = '0'
  addLoad(agent, -1)
  if call('HINCRBY', messageKey(seq), 'n', -1) == 0 then call('ZADD', boxKey('free', delivery.owner), seq, seq) end
end

-- Sorts by time, then by place.
local function deadName(at, seq, agent) return string.format('%016.0f%016.0f', tonumber(at), tonumber(seq)) .. agent end

local function addDead(agent, seq, delivery)
  local name = deadName(delivery.at, seq, agent)
  call('ZADD', boxKey('da', agent), 0, name)
  call('ZADD', boxKey('do', delivery.owner), 0, name)
  call('HINCRBY', META, 'dead', 1)
end

local function removeDead(agent, seq, delivery)
  local name = deadName(delivery.at, seq, agent)
  call('ZREM', boxKey('da', agent), name)
  call('ZREM', boxKey('do', delivery.owner), name)
  call('HINCRBY', META, 'dead', -1)
end

local function die(agent, seq, delivery, reason, now)
  close(agent, seq, delivery)
  delivery.state = DEAD
  delivery.at = now
  delivery.reason = reason
  addDead(agent, seq, delivery)
  save(agent, seq, delivery)
end

local function isLast(delivery, mostAttempts) return delivery.attempts - delivery.base >= mostAttempts end
local function exhausted(delivery) return 'no acknowledgement in ' .. (delivery.attempts - delivery.base) .. ' attempts' end

-- What is told of a message that became a dead letter: place, agent, reason, envelope and owner.
local function told(died, agent, seq, delivery)
  local entry = call('XRANGE', LOG, seq .. '-0', seq .. '-0')[1]
  died[#died + 1] = seq
  died[#died + 1] = agent
  died[#died + 1] = delivery.reason
  died[#died + 1] = entry[2][2]
end

-- Ends a lease. The message waits again, or is dead.
local function endLease(died, agent, seq, delivery, now, mostAttempts, reason)
  if isLast(delivery, mostAttempts) then
    die(agent, seq, delivery, exhausted(delivery), now)
    told(died, agent, seq, delivery)
    return
  end
  leave(agent, seq, delivery)
  delivery.at = now
  delivery.reason = reason
  await(agent, seq, delivery, '0')
  save(agent, seq, delivery)
end

-- One script removes some thousand deliveries at most: others are served between two of them.
local COST = 10000

-- Takes a message of which nothing is open out of the log. Answers how much work it was.
local function removeMessage(seq)
  local flat = call('HGETALL', messageKey(seq))
  local fields = {}
  for index = 1, #flat, 2 do fields[flat[index]] = flat[index + 1] end
  for name, value in pairs(fields) do
    if string.sub(name, 1, 1) == ':' then
      local delivery = parse(value)
      delivery.owner = fields.o
      if delivery.state == DEAD then removeDead(string.sub(name, 2), seq, delivery) end
    end
  end
  call('HDEL', boxKey('i', fields.s), fields.i)
  call('ZREM', boxKey('c', fields.c), seq)
  call('ZREM', boxKey('free', fields.o), seq)
  call('XDEL', LOG, seq .. '-0')
  call('UNLINK', messageKey(seq), boxKey('b', seq))
  local held = keeps(fields.o)
  held.items = held.items - 1
  held.bytes = held.bytes - tonumber(fields.z)
  return #flat / 2
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
local function placeOf(entry) return string.match(entry[1], '^%d+') end

-- Documents: e:KIND hash key -> version, time of change, expiry, owner, value, each on a line; n:KIND sorted set (by words) of keys;
-- ends sorted set of KIND and key by expiry; changes stream of what hubs have to hear, numbered without a gap.
local function forget(kind, key)
  call('HDEL', K .. ':e:' .. kind, key)
  call('ZREM', K .. ':n:' .. kind, key)
  call('ZREM', K .. ':ends', kind .. '\n' .. key)
end

local function changed(kind, key, text)
  local number = whole(call('HINCRBY', META, 'change', 1))
  call('XADD', K .. ':changes', 'MAXLEN', '~', 10000, number .. '-0', 'k', kind, 'n', key, 'v', text)
  call('PUBLISH', K .. ':wake', '')
end

-- Reservations: r hash NAME and agent -> fence, end, whether shared, rest, each on a line; rn sorted set (by words) of the same
-- names; rx sorted set of them by their end; ra:AGENT set of names.
local function unreserve(name, agent)
  local member = name .. '\0' .. agent
  if call('HDEL', K .. ':r', member) == 0 then return false end
  call('ZREM', K .. ':rn', member)
  call('ZREM', K .. ':rx', member)
  call('SREM', K .. ':ra:' .. agent, name)
  return true
end
