/**
 * Removes jobs that have not started. BullMQ's own removal covers every state, and a job may start between a check of its
 * state and the removal. Keys: the delayed set, the wait list. Arguments: the prefix of job keys, then job ids.
 */
export const CANCEL = `
  for index = 2, #ARGV do
    local id = ARGV[index]
    local key = ARGV[1] .. id
    if redis.call('ZREM', KEYS[1], id) == 1
      or (redis.call('EXISTS', key) == 1 and redis.call('LREM', KEYS[2], 0, id) > 0) then
      redis.call('DEL', key)
    end
  end`;

/** Removes a dead job. Key: the failed set. Arguments: the prefix of job keys, the job id. */
export const REMOVE_DEAD = `
  if redis.call('ZREM', KEYS[1], ARGV[2]) == 1 then
    redis.call('DEL', ARGV[1] .. ARGV[2])
  end`;
