// Holds a lock in each store, and prints as JSON who owned it: as the lease says, as `inspect` shows it, and on Redis what
// a plain GET of another client answers. `busy` is held by somebody else all the while. `STORES` names the stores.
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { connect, LockTimeoutError } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'

const { REDIS_URL: url, PREFIX: prefix, STORES: wanted } = process.env

async function main() {
  const plain = new Redis(url)
  const injected = new Redis(url)
  const nodeRedis = createClient({ url })
  await nodeRedis.connect()

  const all = {
    memory: () => connect('memory:'),
    sqlite: () => connect('sqlite:locks.db'),
    libsql: () => connect(sqliteBackend('locks.db', { driver: 'libsql' })),
    url: () => connect(url, { prefix }),
    ioredis: () => connect(redisBackend(injected, { prefix })),
    'node-redis': () => connect(redisBackend(nodeRedis, { prefix })),
  }
  const stores = Object.fromEntries(wanted.split(',').map(name => [name, all[name]()]))

  const told = {}
  for (const [store, solo] of Object.entries(stores)) {
    const lease = await solo.lock('report')
    const { holders } = await solo.inspect('report')
    told[store] = {
      owner: lease.owner,
      shown: holders.map(({ owner }) => owner),
      again: await solo.tryLock('report'),
      redis: await plain.get(`${prefix}report`),
    }
    await lease.release()
    told[store].after = await solo.inspect('report')
  }

  const refused = await stores.url.lock('busy', { waitMs: 0 }).catch(error => error)
  told.busy = { typed: refused instanceof LockTimeoutError, holder: refused.holder }

  for (const solo of Object.values(stores)) await solo.close()
  for (const client of [plain, injected]) client.disconnect()
  nodeRedis.destroy()
  console.log(JSON.stringify(told))
}

main()
