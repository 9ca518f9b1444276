import { sqliteBackend } from 'soloist/sqlite'

const { searchParams } = new URL(import.meta.url)
const path = String(searchParams.get('path'))
const driver = /** @type {import('soloist/sqlite').SqliteDriver} */ (searchParams.get('driver'))
const fault = searchParams.get('fault')

/**
 * A SQLite backend with the fault that this module's URL names, of the kind that only several processes show:
 * - `strangers`: every process has locks of its own
 * - `crowd`: a semaphore has no limit
 * - `careless`: a release does not ask whose lock it is
 *
 * @type {import('soloist/conformance').OpenStore}
 */
export async function open({ prefix }) {
  const right = sqliteBackend(path, { prefix: fault === 'strangers' ? `${prefix}${process.pid}:` : prefix, driver })
  /** @type {import('soloist').Backend} */
  const broken = {
    kind: right.kind,
    beatMs: right.beatMs,
    acquire: (claim, options) => right.acquire(fault === 'crowd' ? { ...claim, limit: null } : claim, options),
    renew: claims => right.renew(claims),
    release: async (claim, result) => {
      const owner = fault === 'careless' ? (await right.inspect(claim.name))?.holders[0]?.owner : undefined
      return await right.release({ ...claim, owner: owner ?? claim.owner }, result)
    },
    watch: (name, owner, client) => right.watch(name, owner, client),
    onGrant: listener => right.onGrant(listener),
    inspect: name => right.inspect(name),
    list: prefix => right.list(prefix),
    close: () => right.close(),
  }
  return { backend: broken }
}
