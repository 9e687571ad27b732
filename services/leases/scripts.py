"""What Redis does about leases in one step each: scripts in Lua."""

# A number is greater than every one before it, also after Redis lost its data: the clock has gone on.
COMMON = """
    local instance, said, milliseconds, highest = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
    redis.call('SET', KEYS[1], said, 'PX', milliseconds)
    local counter
    local function number(former)
        if not counter then
            local now = redis.call('TIME')
            local stored = tonumber(redis.call('GET', KEYS[3]) or '0')
            counter = math.max(stored, highest, now[1] * 1000000 + now[2])
        end
        counter = math.max(counter, tonumber(former or '0')) + 1
        return string.format('%.0f', counter)
    end
    local function read(key)
        local held = redis.call('HGET', KEYS[2], key)
        return string.match(held or '', '^(%S+) (%d+) (%d+)$')
    end
    local function write(key, fence, since)
        redis.call('HSET', KEYS[2], key, instance .. ' ' .. fence .. ' ' .. since)
        redis.call('SET', KEYS[3], string.format('%.0f', counter))
    end
"""
# Keys by pairs: the session, and whether it may be taken where nobody holds it.
CLAIM = (
    COMMON
    + """
    local told, alive = {}, {}
    for index = 6, #ARGV, 2 do
        local key = ARGV[index]
        local owner, fence, since = read(key)
        local former = ''
        if owner ~= instance then
            if owner and alive[owner] == nil then
                alive[owner] = redis.call('GET', ARGV[5] .. owner)
            end
            if (owner and not alive[owner]) or (not owner and ARGV[index + 1] == '1') then
                former, owner = owner or '', instance
                fence = number(fence)
                since = fence
                write(key, fence, since)
            end
        end
        for _, word in ipairs({owner or '', fence or '0', since or '0', former}) do
            told[#told + 1] = word
        end
    end
    local others = {}
    for owner, word in pairs(alive) do
        if word then
            others[#others + 1] = owner
            others[#others + 1] = word
        end
    end
    return {told, others}
"""
)
# Keys by pairs: the session, and the first number under which it is held. Where Redis lost the lease it is
# entered again; where two say that they hold it, it is the one's that took it over later.
RENEW = (
    COMMON
    + """
    local told = {}
    for index = 5, #ARGV, 2 do
        local key, mine = ARGV[index], ARGV[index + 1]
        local owner, fence, since = read(key)
        if owner ~= instance and (not owner or tonumber(since) < tonumber(mine)) then
            owner, fence = instance, number(fence)
            write(key, fence, mine)
        end
        told[#told + 1] = owner
        told[#told + 1] = fence
    end
    return told
"""
)
RELEASE = """
    for index = 2, #ARGV do
        local held = redis.call('HGET', KEYS[1], ARGV[index])
        if held and string.match(held, '^%S+') == ARGV[1] then
            redis.call('HDEL', KEYS[1], ARGV[index])
        end
    end
"""
BURY = """
    if redis.call('GET', KEYS[1]) == ARGV[1] then
        return redis.call('DEL', KEYS[1])
    end
    return 0
"""
# What nobody alive holds is as good as not there; without this, leases of sessions that ended would pile up.
SWEEP = """
    local alive, swept = {}, 0
    local held = redis.call('HGETALL', KEYS[1])
    for index = 1, #held, 2 do
        local owner = string.match(held[index + 1], '^%S+') or ''
        if alive[owner] == nil then
            alive[owner] = redis.call('EXISTS', ARGV[1] .. owner) == 1
        end
        if not alive[owner] then
            redis.call('HDEL', KEYS[1], held[index])
            swept = swept + 1
        end
    end
    return swept
"""
