-- ARGV: the layout of these scripts. Answers the layout of the data, which is made where there is none. Uses each kind of key once,
-- so that a user who may not do what the hub does is told so at the start.
local function try(kind) return K .. ':try:' .. kind end
call('XADD', try('stream'), 'MAXLEN', '~', 1, '1-0', 'a', 'b')
call('XDEL', try('stream'), '1-0')
call('XRANGE', try('stream'), '-', '+')
call('ZADD', try('set'), 0, 'a')
call('ZRANGEBYLEX', try('set'), '-', '+')
call('HSET', try('hash'), 'a', 1)
call('SADD', try('names'), 'a')
call('SET', try('text'), 'a')
call('UNLINK', try('stream'), try('set'), try('hash'), try('names'), try('text'))
call('PUBLISH', K .. ':wake', '')
call('HSETNX', META, 'layout', ARGV[1])
return call('HGET', META, 'layout')
