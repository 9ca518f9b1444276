// What the service keeps on Redis: the source of truth, the target that is kept in sync with it, and a journal of what
// happened, in one order for all processes.

/**
 * The state of an account as its owner's system has it, with the number of the change that led to it.
 *
 * @typedef {{ account: string, version: number, plan: string, seats: number }} AccountState
 */

/**
 * One entry of the journal.
 *
 * | step | who notes it, and when |
 * |---|---|
 * | `received` | the receiver, before it keeps a delivery |
 * | `accepted` | the receiver, before it answers: `status` is the trigger's outcome |
 * | `start` | a worker, before it reads the account's latest state |
 * | `end` | a worker, when it has written that state, `version`, to the target |
 * | `failed` | a worker, when it could not |
 * | `killed` | the parent, after a worker was killed |
 *
 * @typedef {object} Entry
 * @property {'received' | 'accepted' | 'start' | 'end' | 'failed' | 'killed'} step
 * @property {string} [account]
 * @property {number} [version]
 * @property {string} [delivery] its id, the same when it is sent again
 * @property {string} [status]
 * @property {string} [run] differs for each run, also of one job
 * @property {number} [fence]
 * @property {number} [pid]
 */

/** Keeps a state unless a newer one is there: deliveries overtake each other. */
const KEEP_NEWEST = `
local version = tonumber(redis.call('hget', KEYS[1], 'version') or 0)
if tonumber(ARGV[1]) <= version then return 0 end
redis.call('hset', KEYS[1], 'version', ARGV[1], 'state', ARGV[2])
return 1`

/** Writes unless a later run has written: a run that was paused and lost its lock may come to this point late. */
const WRITE_FENCED = `
local fence = tonumber(redis.call('hget', KEYS[1], 'fence') or 0)
if tonumber(ARGV[1]) < fence then return 0 end
redis.call('hset', KEYS[1], 'fence', ARGV[1], 'state', ARGV[2])
return 1`

export class Store {
  #redis

  /** @param {import('ioredis').Redis} redis */
  constructor(redis) {
    this.#redis = redis
  }

  /** Makes this the account's latest state, unless it knows a newer one. @param {AccountState} state */
  async keep(state) {
    await this.#redis.eval(KEEP_NEWEST, 1, `source:${state.account}`, state.version, JSON.stringify(state))
  }

  /** @param {string} account */
  async latest(account) {
    return await this.#read(`source:${account}`)
  }

  /** Writes a state to the target; `false`: a later run was here. @param {AccountState} state @param {number} fence */
  async write(state, fence) {
    return (await this.#redis.eval(WRITE_FENCED, 1, `target:${state.account}`, fence, JSON.stringify(state))) === 1
  }

  /** @param {string} account */
  async synced(account) {
    return await this.#read(`target:${account}`)
  }

  /** @param {Entry} entry */
  async note(entry) {
    await this.#redis.rpush('journal', JSON.stringify(entry))
  }

  /** @returns {Promise<Entry[]>} */
  async journal() {
    return (await this.#redis.lrange('journal', 0, -1)).map(text => JSON.parse(text))
  }

  /** @param {string} key @returns {Promise<AccountState | null>} */
  async #read(key) {
    const text = await this.#redis.hget(key, 'state')
    return text === null ? null : JSON.parse(text)
  }
}
