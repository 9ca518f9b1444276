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
  const backend = sqliteBackend(path, { prefix: fault === 'strangers' ? `${prefix}${process.pid}:` : prefix, driver })
  const run = backend.run.bind(backend)

  /** @param {import('soloist').Step} step @returns {Promise<import('soloist').Step>} */
  const changed = async step => {
    if (step.kind === 'acquire' && fault === 'crowd') return { ...step, claim: { ...step.claim, limit: null } }
    if (step.kind !== 'release' || fault !== 'careless') return step
    return { ...step, owner: (await backend.inspect(step.name))?.holders[0]?.owner ?? step.owner }
  }
  backend.run = async steps => await run(await Promise.all(steps.map(changed)))
  return { backend }
}
