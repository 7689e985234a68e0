-- ARGV: kinds. Answers: the number of the last change and of the last wake-up; then for each kind its keys and documents.
local found = call('HMGET', META, 'change', 'tick')
local answers = { found[1] or '0', found[2] or '0' }
for _, kind in ipairs(ARGV) do answers[#answers + 1] = call('HGETALL', K .. ':e:' .. kind) end
return answers
