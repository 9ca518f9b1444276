import { dirname, join } from 'node:path'
import { SoloistError } from '../../errors.js'
import { requireAtRunTime, resolveAtRunTime } from './load.js'
import { checkVersion, versionIn } from './versions.js'

/** The class of a database, as `libsql` exports it. */
type Libsql<D> = new (path: string) => D

/**
 * No bundler sees this package, since it is a native addon, which cannot be part of a bundle: it is loaded when the
 * program runs.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old
 */
export function loadLibsql<D>(): Libsql<D> {
  let loaded: Libsql<D> | { readonly default: Libsql<D> }
  try {
    loaded = requireAtRunTime('libsql') as typeof loaded
  } catch (cause) {
    throw new SoloistError(
      'BACKEND_UNAVAILABLE',
      'the SQLite backend needs Node.js 22.13 or later, or the package libsql: "npm install libsql"',
      { cause },
    )
  }
  checkVersion('libsql', versionIn(loadManifest))
  return typeof loaded === 'function' ? loaded : loaded.default
}

/** It is not among what the package exports. */
function loadManifest(): unknown {
  return requireAtRunTime(join(dirname(resolveAtRunTime('libsql')), 'package.json'))
}
