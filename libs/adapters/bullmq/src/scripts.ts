/**
 * Takes back jobs that have not begun, and no others; BullMQ's own removal looks for a job in every state, and between
 * a look at its state and that the job may begin and die.
 * Keys: those that are delayed, those that wait for their turn. Arguments: how a job's key begins, ids.
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

/** Forgets a job that is dead. Key: those that are. Arguments: how a job's key begins, its id. */
export const REMOVE_DEAD = `
  if redis.call('ZREM', KEYS[1], ARGV[2]) == 1 then
    redis.call('DEL', ARGV[1] .. ARGV[2])
  end`;
