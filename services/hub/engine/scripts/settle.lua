-- ARGV: agent, now; of each: place, attempt, as what, when, reason, most attempts. Answers what became of each.
local agent, now = ARGV[1], ARGV[2]
local left

local function settle(seq, attempt, as, at, reason, mostAttempts)
  local delivery = find(agent, seq)
  if not delivery or attempt < 1 or attempt > delivery.attempts then return 'unknown' end
  if delivery.state >= ACKNOWLEDGED then
    left = left or tonumber(call('ZSCORE', K .. ':departed', agent) or -1)
    if tonumber(delivery.at) <= left then return 'unknown' end
  end
  local isLatest = attempt == delivery.attempts
  if delivery.state == ACKNOWLEDGED then return as == 'acknowledged' and isLatest and 'before' or 'late' end
  if delivery.state == DEAD then return as == 'dead' and isLatest and 'before' or 'late' end
  if not isLatest then return 'late' end
  if as == 'acknowledged' then
    close(agent, seq, delivery, ACKNOWLEDGED, now)
    return 'done'
  end
  if as == 'dead' or (as == 'retry' and isLast(delivery, mostAttempts)) then
    die(agent, seq, delivery, reason, now)
    return 'dead'
  end
  leave(agent, seq, delivery)
  if as == 'extended' then
    give(agent, seq, delivery, at)
  else
    delivery.at = now
    delivery.reason = reason
    await(agent, seq, delivery, tonumber(at) > tonumber(now) and at or '0')
  end
  return 'done'
end

local seqs, answers = {}, {}
for index = 3, #ARGV, 6 do seqs[#seqs + 1] = ARGV[index] end
fetch(agent, seqs)
for index = 3, #ARGV, 6 do
  local seq, attempt, as, at, reason, mostAttempts = unpack(ARGV, index, index + 5)
  answers[#answers + 1] = settle(seq, tonumber(attempt), as, at, reason, tonumber(mostAttempts))
end
-- A later message of the same sender may come now.
woken[agent] = true
finish()
return answers
