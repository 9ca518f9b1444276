import { SoloistError } from '../../errors.js'
import { requireFromBase } from './load.js'
import { checkVersion, versionIn } from './versions.js'

/** A Lua script of BullMQ's, and how many keys it takes. */
export interface BullmqScript {
  readonly content?: unknown
  readonly keys?: number
}

/** BullMQ's scripts by name. */
export type BullmqScripts = Partial<Record<string, BullmqScript>>

let checked = false

/**
 * What `import … from 'bullmq'` in `src/adapters/bullmq` becomes in `dist` (`scripts/finish-build.js`).
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old
 */
export function loadBullmq(): typeof import('bullmq') {
  if (!checked) checkVersion('bullmq', versionIn(loadManifest))
  checked = true
  try {
    return load()
  } catch (cause) {
    const message = 'soloist/bullmq needs the package "bullmq", which cannot be loaded: install it'
    throw new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
  }
}

/** BullMQ's scripts, which it does not export, by name; `null` where they cannot be found. */
export function loadBullmqScripts(): BullmqScripts | null {
  try {
    return loadScripts()
  } catch {
    // Whatever the reason is: then there are two steps.
    return null
  }
}

function load(): typeof import('bullmq') {
  // No `try` stands right around this `require`, so a bundler fails where BullMQ is missing: nothing works without.
  const literal = () => require('bullmq')
  try {
    return literal()
  } catch (cause) {
    return requireFromBase('bullmq', cause) as typeof import('bullmq')
  }
}

function loadScripts(): BullmqScripts {
  try {
    return require('bullmq/dist/cjs/scripts/index.js')
  } catch (cause) {
    return requireFromBase('bullmq/dist/cjs/scripts/index.js', cause) as BullmqScripts
  }
}

function loadManifest(): unknown {
  try {
    return require('bullmq/package.json')
  } catch (cause) {
    return requireFromBase('bullmq/package.json', cause)
  }
}
