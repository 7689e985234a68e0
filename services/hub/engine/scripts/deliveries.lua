-- ARGV: place. Answers agent and how its delivery stands, for each mailbox that the message went to.
local seq = ARGV[1]
local message = messageAt(seq)
local answers = {}
for _, agent in ipairs(message and message.agents or {}) do
  local text = call('HGET', keyOf('d', agent), seq)
  if text then
    local delivery = parse(text)
    for _, value in ipairs({ agent, delivery.state, delivery.attempts, delivery.at, delivery.reason }) do
      answers[#answers + 1] = value
    end
  end
end
return answers
