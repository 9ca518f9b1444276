// Loads the package both ways, and prints as JSON whether both are one.
const required = require('soloist')
const requiredRedis = require('soloist/redis')
const requiredBullmq = require('soloist/bullmq')

async function main() {
  const imported = await import('soloist')
  const importedRedis = await import('soloist/redis')
  const importedBullmq = await import('soloist/bullmq')

  const store = new required.MemoryStore()
  const one = required.connect(required.memoryBackend({ store }))
  const two = imported.connect(imported.memoryBackend({ store }))
  const lease = await one.lock('report')
  const state = await two.inspect('report')
  const refused = await two.lock('report', { waitMs: 0 }).catch(error => error)
  const other = await two.tryLock('other')
  await lease.release()
  await one.close()
  await two.close()

  const faults = []
  for (const { redisBackend } of [requiredRedis, importedRedis]) {
    try {
      redisBackend('http://127.0.0.1')
    } catch (error) {
      faults.push([required, imported].map(({ SoloistError }) => error instanceof SoloistError))
    }
  }
  console.log(
    JSON.stringify({
      owner: lease.owner,
      shown: state.holders.map(({ owner }) => owner),
      holder: refused.holder,
      typed: [required, imported].map(({ LockTimeoutError }) => refused instanceof LockTimeoutError),
      faults,
      same: [
        required.SoloistError === imported.SoloistError,
        required.MemoryStore === imported.MemoryStore,
        requiredRedis.redisBackend === importedRedis.redisBackend,
        requiredBullmq.SingletonQueue === importedBullmq.SingletonQueue,
      ],
      otherHadOwner: other.owner.startsWith(two.clientId),
    }),
  )
}

main()
