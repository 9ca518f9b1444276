import { requireFromBase } from './load.js'

/** A Lua script of BullMQ's, and how many keys it takes. */
export interface BullmqScript {
  readonly content?: unknown
  readonly keys?: number
}

/**
 * What `import … from 'bullmq'` in `src/adapters/bullmq` becomes in `dist` (`scripts/finish-build.js`).
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it is not installed
 */
export function loadBullmq(): typeof import('bullmq') {
  // No `try` stands right around the `require`, so bundlers fail where BullMQ is missing, which the adapter cannot do without.
  const load = () => require('bullmq')
  try {
    return load()
  } catch (cause) {
    return requireFromBase('bullmq', cause) as typeof import('bullmq')
  }
}

/** BullMQ's scripts, which it does not export, by name; `null` where they cannot be found. */
export function loadBullmqScripts(): Partial<Record<string, BullmqScript>> | null {
  try {
    return require('bullmq/dist/cjs/scripts/index.js')
  } catch (cause) {
    try {
      return requireFromBase('bullmq/dist/cjs/scripts/index.js', cause) as Partial<Record<string, BullmqScript>>
    } catch {
      // Whatever the reason is: then there are two steps.
      return null
    }
  }
}
