/* SPDX-License-Identifier: Apache-2.0 */
/* Lua for the broker.  The layout is kombu's (celery-wire.md 3.1 to 3.6), plus
 * one set a consumer, "held", with the tags that it has and has not settled.
 *
 * A script cannot be undone in the middle.  Those that move messages therefore
 * read and check first, and begin to write with commands that change nothing:
 * they prove the types of the keys and that writing is allowed, and once a
 * script has written Redis does not stop it for want of memory (taking and
 * acknowledging is what gives memory back). */
#include "store/redis/scripts.h"

/* Takes up to `want` messages (fewer when they are large) and records them as
 * unacked.
 * KEYS: unacked, unacked_index, held, then the lists: for each priority step
 * those of all queues.  ARGV: want, number of queues, prefix of new tags, "1"
 * to take from the queues in turn ("0": empty each before the next), then the
 * queues' names, then for each queue "1" if it is one of those that a fanout
 * exchange copies to: what comes back must go to it alone.  Returns three
 * values a message: queue, tag, bytes.
 * Tag "": no message at all, it is gone.  Scores fall by a microsecond a
 * message: a small sorted set is a list that Redis reads from the lowest score
 * on, so that each is put in at the front of its batch (2.7 ms a batch of 128
 * otherwise). */
const char redis_lua_take[] =
    "local want, nq = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
    "local raws, from, used, got, size = {}, {}, {}, 0, 0\n"
    "local function full() return got >= want or size > 4194304 end\n"
    /* Up to n from the end that pops, without those already picked.  What is
     * no list is told when nothing else is there: it stops no other queue. */
    "local wrong\n"
    "local function read(key, n)\n"
    "  local u = used[key] or 0\n"
    "  local raws = redis.pcall('LRANGE', key, -(u + n), -(u + 1))\n"
    "  if not raws.err then return raws end\n"
    "  wrong = raws\n"
    "  return {}\n"
    "end\n"
    "local function pick(key, q, raw)\n"
    "  got, size = got + 1, size + #raw\n"
    "  raws[got], from[got] = raw, q\n"
    "  used[key] = (used[key] or 0) + 1\n"
    "end\n"
    /* One from each queue in turn, a few at a time: messages may be large. */
    "local function in_turn(first, queues)\n"
    "  local live = queues\n"
    "  while not full() and #live > 0 do\n"
    "    local share = math.min(16, math.ceil((want - got) / #live))\n"
    "    local parts, more = {}, {}\n"
    "    for i, q in ipairs(live) do\n"
    "      parts[i] = read(KEYS[first + q - 1], share)\n"
    "      if #parts[i] == share then more[#more + 1] = q end\n"
    "    end\n"
    "    for n = 0, share - 1 do\n"
    "      for i, q in ipairs(live) do\n"
    "        local raw = parts[i][#parts[i] - n]\n"
    "        if raw and not full() then pick(KEYS[first + q - 1], q, raw) end\n"
    "      end\n"
    "    end\n"
    "    live = more\n"
    "  end\n"
    "end\n"
    "for first = 4, #KEYS, nq do\n"
    "  if ARGV[4] == '1' then\n"
    "    local all = {}\n"
    "    for q = 1, nq do all[q] = q end\n"
    "    in_turn(first, all)\n"
    "  else\n"
    "    for q = 1, nq do in_turn(first, {q}) end\n"
    "  end\n"
    "end\n"
    "if got == 0 then return wrong or {} end\n"
    /* The value of a member, as a pattern, if its name is there exactly once.
     * In the text of a JSON string its quotes would be escaped, so it is a
     * name.  Searched for by its tail: "_" is rare in envelopes, quotes and
     * small letters are not, and this is where the time goes. */
    "local function only(raw, name, tail, value)\n"
    "  local at = string.find(raw, tail, 1, true)\n"
    "  if not at or string.find(raw, tail, at + 1, true) then return nil end\n"
    "  return string.match(raw, '^\"' .. name .. '\"%s*:%s*' .. value,\n"
    "    at - #name + #tail - 2)\n"
    "end\n"
    /* cjson refuses lone surrogates, which Python writes and reads. */
    "local function decode(raw)\n"
    "  local ok, d = pcall(cjson.decode, raw)\n"
    "  if not ok then\n"
    "    raw = string.gsub(raw, '\\\\u[dD][89a-fA-F]%x%x', '\\\\u0020')\n"
    "    ok, d = pcall(cjson.decode, raw)\n"
    "  end\n"
    "  return ok and type(d) == 'table' and d or nil\n"
    "end\n"
    "local function quote(s, default)\n"
    "  return cjson.encode(type(s) == 'string' and s or default)\n"
    "end\n"
    /* The tag, and exchange and routing key as JSON; nil: no message. */
    "local function read_slowly(raw, queue)\n"
    "  local d = decode(raw)\n"
    "  if not d then return nil end\n"
    "  local p = type(d.properties) == 'table' and d.properties or {}\n"
    "  local i = type(p.delivery_info) == 'table' and p.delivery_info or {}\n"
    "  local tag = type(p.delivery_tag) == 'string' and p.delivery_tag or ''\n"
    "  local ex, rk = i.exchange, i.routing_key\n"
    "  if type(rk) ~= 'string' or rk == '' and (ex or '') == '' then\n"
    "    ex, rk = '', queue\n"
    "  end\n"
    "  return tag, quote(ex, ''), quote(rk, queue)\n"
    "end\n"
    "local function look(raw, queue)\n"
    "  if not string.find(raw, '^%s*{') or\n"
    "    not string.find(raw, '}%s*$', -64) then return nil end\n"
    "  local tag = only(raw, 'delivery_tag', '_tag\"', '\"([^\"\\]*)\"')\n"
    "  local info = only(raw, 'delivery_info', '_info\"', '({[^{}]*})')\n"
    "  if tag and info then\n"
    "    local ex = string.match(info, '\"exchange\"%s*:%s*(\"[^\"\\]*\")')\n"
    "    local rk = string.match(info,\n"
    "      '\"routing_key\"%s*:%s*(\"[^\"\\]+\")')\n"
    "    if ex and rk then return tag, ex, rk end\n"
    "  end\n"
    "  return read_slowly(raw, queue)\n"
    "end\n"
    "redis.call('HDEL', KEYS[1], '')\n"
    "redis.call('ZREM', KEYS[2], '')\n"
    "redis.call('SREM', KEYS[3], '')\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local out, scores, tags = {}, {}, {}\n"
    "for i = 1, got do\n"
    "  local raw, q = raws[i], from[i]\n"
    "  local tag, ex, rk = look(raw, ARGV[4 + q])\n"
    "  if tag then\n"
    "    if ARGV[4 + nq + q] == '1' then\n"
    "      ex, rk = '\"\"', cjson.encode(ARGV[4 + q])\n"
    "    end\n"
    "    local v = '[' .. raw .. ', ' .. ex .. ', ' .. rk .. ']'\n"
    "    if tag == '' or redis.call('HSETNX', KEYS[1], tag, v) == 0 then\n"
    "      tag = ARGV[3] .. i\n"
    "      redis.call('HSET', KEYS[1], tag, v)\n"
    "    end\n"
    "    scores[#scores + 1] = string.format('%.6f', (now - i) / 1000000)\n"
    "    scores[#scores + 1] = tag\n"
    "    tags[#tags + 1] = tag\n"
    "  end\n"
    "  out[#out + 1] = ARGV[4 + q]\n"
    "  out[#out + 1] = tag or ''\n"
    "  out[#out + 1] = raw\n"
    "end\n"
    "if #tags > 0 then\n"
    "  redis.call('ZADD', KEYS[2], unpack(scores))\n"
    "  redis.call('SADD', KEYS[3], unpack(tags))\n"
    "end\n"
    "for key, n in pairs(used) do\n"
    "  redis.call('LTRIM', key, 0, -(n + 1))\n"
    "end\n"
    "return out\n";

/* Forgets tags.  KEYS: unacked, unacked_index, held.  ARGV: the tags. */
const char redis_lua_settle[] =
    "redis.call('ZREM', KEYS[2], unpack(ARGV))\n"
    "redis.call('SREM', KEYS[3], unpack(ARGV))\n"
    "return redis.call('HDEL', KEYS[1], unpack(ARGV))\n";

/* Takes tags whose message was found gone off the index and the set, unless
 * somebody has taken it again since: then only off the set of a dead consumer.
 * KEYS: unacked, unacked_index, held.  ARGV: "own" if held is our own set, else
 * "dead"; the tags. */
const char redis_lua_clean[] =
    "for i = 2, #ARGV do\n"
    "  local taken = redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1\n"
    "  if not taken then redis.call('ZREM', KEYS[2], ARGV[i]) end\n"
    "  if not taken or ARGV[1] == 'dead' then\n"
    "    redis.call('SREM', KEYS[3], ARGV[i])\n"
    "  end\n"
    "end\n"
    "return 1\n";

/* The queues that a message goes to: kombu's lookup of direct and topic
 * exchanges in the set of bindings (celery-wire.md 3.1, 3.2). */
#define LUA_ROUTE                                                      \
    "local function topic(key, rk)\n"                                  \
    "  local words = {}\n"                                             \
    "  for w in string.gmatch(key .. '.', '([^.]*)%.') do\n"           \
    "    if w == '*' then w = '.-[^%.]'\n"                             \
    "    elseif w == '#' then w = '.-'\n"                              \
    "    else w = string.gsub(w, '%W', '%%%0') end\n"                  \
    "    words[#words + 1] = w\n"                                      \
    "  end\n"                                                          \
    "  local pattern = '^' .. table.concat(words, '%.') .. '$'\n"      \
    "  return string.find(rk, pattern) ~= nil\n"                       \
    "end\n"                                                            \
    "local function route(prefix, sep, ex, rk, kind)\n"                \
    "  if ex == '' then return {rk} end\n"                             \
    "  local out, set = {}, prefix .. '_kombu.binding.' .. ex\n"       \
    "  for _, m in ipairs(redis.call('SMEMBERS', set)) do\n"           \
    "    local a = string.find(m, sep, 1, true)\n"                     \
    "    local b = a and string.find(m, sep, a + #sep, true)\n"        \
    "    if b then\n"                                                  \
    "      local key = string.sub(m, 1, a - 1)\n"                      \
    "      local direct = b == a + #sep\n"                             \
    "      if kind ~= '' then direct = kind ~= 'topic' end\n"          \
    "      if direct and key == rk or not direct and topic(key, rk)\n" \
    "      then out[#out + 1] = string.sub(m, b + #sep) end\n"         \
    "    end\n"                                                        \
    "  end\n"                                                          \
    "  return out\n"                                                   \
    "end\n"                                                            \
    "local function push(verb, before, to, after, envelope)\n"         \
    "  for _, q in ipairs(to) do\n" /* lists, all? */                  \
    "    redis.call('LLEN', before .. q .. after)\n"                   \
    "  end\n"                                                          \
    "  for _, q in ipairs(to) do\n"                                    \
    "    redis.call(verb, before .. q .. after, envelope)\n"           \
    "  end\n"                                                          \
    "end\n"

/* Moves a message from unacked to its queues, if it is still what was read and
 * nobody has moved it and taken it again meanwhile: the script may be sent
 * twice.  KEYS: unacked, unacked_index, held.  ARGV: tag, the value that was
 * read, the new envelope, RPUSH or LPUSH, "held" (only if held has the tag) or
 * a visibility timeout in s (only if it is older), prefix, separator, suffix of
 * the priority step, exchange, key.  Returns 1 when moved.  Without any binding
 * it goes to the queue named by the routing key: kombu would drop it. */
const char redis_lua_move[] = LUA_ROUTE
    "local tag = ARGV[1]\n"
    "if ARGV[5] == 'held' then\n"
    "  if redis.call('SISMEMBER', KEYS[3], tag) == 0 then return 0 end\n"
    "else\n"
    "  local t, score = redis.call('TIME'), redis.call('ZSCORE', KEYS[2], "
    "tag)\n"
    "  if not score or t[1] + t[2] / 1e6 - score < tonumber(ARGV[5]) then\n"
    "    return 0\n"
    "  end\n"
    "end\n"
    "if redis.call('HGET', KEYS[1], tag) ~= ARGV[2] then return 0 end\n"
    "local to = route(ARGV[6], ARGV[7], ARGV[9], ARGV[10], '')\n"
    "if #to == 0 then to = {ARGV[10]} end\n"
    "redis.call('ZREM', KEYS[2], '')\n"
    "push(ARGV[4], ARGV[6], to, ARGV[8], ARGV[3])\n"
    "redis.call('ZREM', KEYS[2], tag)\n"
    "redis.call('SREM', KEYS[3], tag)\n"
    "redis.call('HDEL', KEYS[1], tag)\n"
    "return 1\n";

/* Publishes to a named exchange.  ARGV: prefix, separator, suffix of the
 * priority step, exchange, key, envelope, type of the exchange ("": unknown,
 * each binding tells), bindings that are put in first: whatever has emptied
 * the set, what the settings say is found.  Returns the number of queues. */
const char redis_lua_route[] =
    LUA_ROUTE "for i = 8, #ARGV do\n"
              "  redis.call('SADD', ARGV[1] .. '_kombu.binding.' .. ARGV[4],\n"
              "    ARGV[i])\n"
              "end\n"
              "local to = route(ARGV[1], ARGV[2], ARGV[4], ARGV[5], ARGV[7])\n"
              "push('LPUSH', ARGV[1], to, ARGV[3], ARGV[6])\n"
              "return #to\n";

/* Says that this consumer lives, and finds those that do not: at most once a
 * second in the whole fleet.  KEYS: node, nodes, held, lock.  ARGV: instance,
 * lease in ms, life of nodes and held in s, prefix of the node keys.  Returns
 * whether its key was still there, then the dead ones. */
const char redis_lua_beat[] =
    "local lived = redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])\n"
    "redis.call('SADD', KEYS[2], ARGV[1])\n"
    "redis.call('EXPIRE', KEYS[2], ARGV[3])\n"
    "redis.call('EXPIRE', KEYS[3], ARGV[3])\n"
    "if not redis.call('SET', KEYS[4], ARGV[1], 'NX', 'PX', 1000) then\n"
    "  return {lived}\n"
    "end\n"
    "local out = {lived}\n"
    "for _, m in ipairs(redis.call('SMEMBERS', KEYS[2])) do\n"
    "  if #out < 17 and redis.call('EXISTS', ARGV[4] .. m) == 0 then\n"
    "    out[#out + 1] = m\n"
    "  end\n"
    "end\n"
    "return out\n";

/* This consumer goes.  KEYS: node, nodes, held.  ARGV: instance. */
const char redis_lua_leave[] = "redis.call('DEL', KEYS[1])\n"
                               "if redis.call('EXISTS', KEYS[3]) == 0 then\n"
                               "  redis.call('SREM', KEYS[2], ARGV[1])\n"
                               "end\n"
                               "return 1\n";

/* Tags that are older than the visibility timeout, under kombu's lock.  KEYS:
 * unacked_mutex, unacked_index.  ARGV: token, life of the lock in ms, timeout
 * in s, how many; 0 gives the lock back. */
const char redis_lua_expired[] =
    "local mine = redis.call('GET', KEYS[1]) == ARGV[1]\n"
    "if ARGV[4] == '0' then\n"
    "  if mine then redis.call('DEL', KEYS[1]) end\n"
    "  return {}\n"
    "end\n"
    "if not mine and not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX',\n"
    "  ARGV[2]) then return {} end\n"
    "local t = redis.call('TIME')\n"
    "local before = string.format('%.6f', t[1] + t[2] / 1e6 - ARGV[3])\n"
    "return redis.call('ZREVRANGEBYSCORE', KEYS[2], before, 0, 'LIMIT', 0,\n"
    "  ARGV[4])\n";

/* Makes held messages young again.  KEYS: unacked_index.  ARGV: the tags. */
const char redis_lua_touch[] =
    "local t, scores = redis.call('TIME'), {}\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "for _, tag in ipairs(ARGV) do\n"
    "  scores[#scores + 1] = now\n"
    "  scores[#scores + 1] = tag\n"
    "end\n"
    "return redis.call('ZADD', KEYS[1], 'XX', unpack(scores))\n";
