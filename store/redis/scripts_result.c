/* SPDX-License-Identifier: Apache-2.0 */
/* Lua for the result backend (celery-wire.md 5.2, 6.5). */
#include "store/redis/scripts.h"

/* Stores a document and tells the waiting; a SUCCESS that is there stays.
 * KEYS: the key, which is also the channel.  ARGV: life in s (0: no end), the
 * document.  Returns 1 when stored. */
const char redis_lua_put[] =
    "local old = redis.call('GET', KEYS[1])\n"
    "if old and string.find(old, 'SUCCESS', 1, true) then\n"
    "  local ok, d\n"
    "  if string.byte(old) == 123 then ok, d = pcall(cjson.decode, old)\n"
    "  else ok, d = pcall(cmsgpack.unpack, old) end\n"
    "  if ok and type(d) == 'table' and d.status == 'SUCCESS' or\n"
    "    not ok and string.find(old, '^{\"status\": \"SUCCESS\"') then\n"
    "    return 0\n"
    "  end\n"
    "end\n"
    "if ARGV[1] == '0' then redis.call('SET', KEYS[1], ARGV[2])\n"
    "else redis.call('SETEX', KEYS[1], ARGV[1], ARGV[2]) end\n"
    "redis.call('PUBLISH', KEYS[1], ARGV[2])\n"
    "return 1\n";

/* One member of a chord is done.  KEYS: .j .t .s .c of the group.  ARGV: score,
 * member, life in s (0: no end), claimant.  Returns the members when they are
 * all there and nobody else has been told so within the last minute (the same
 * claimant is told again: it may have died before it acted on it). */
const char redis_lua_part[] =
    "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])\n"
    "local n = redis.call('ZCARD', KEYS[1])\n"
    "if ARGV[3] ~= '0' then\n"
    "  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end\n"
    "end\n"
    "local size = redis.call('GET', KEYS[3])\n"
    "if not size or n ~= tonumber(size) +\n"
    "  tonumber(redis.call('GET', KEYS[2]) or 0) then return {} end\n"
    "if not redis.call('SET', KEYS[4], ARGV[4], 'NX', 'EX', 60) and\n"
    "  redis.call('GET', KEYS[4]) ~= ARGV[4] then return {} end\n"
    "return redis.call('ZRANGE', KEYS[1], 0, -1)\n";
