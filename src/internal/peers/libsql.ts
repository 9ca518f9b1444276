import { requireFromBase } from './load.js'

// In a bundle of webpack's: its own `require`, and that of Node.js.
declare const __webpack_require__: unknown
declare const __non_webpack_require__: NodeJS.Require

/** The class of a database, as `libsql` exports it. */
type Libsql<D> = new (path: string) => D

/**
 * No bundler sees this package, since it is a native addon, which cannot be part of a bundle: it is loaded when the
 * program runs.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it is not installed
 */
export function loadLibsql<D>(): Libsql<D> {
  const loaded = requireAtRunTime('libsql') as Libsql<D> | { readonly default: Libsql<D> }
  return typeof loaded === 'function' ? loaded : loaded.default
}

function requireAtRunTime(name: string): unknown {
  try {
    return typeof __webpack_require__ === 'function' ? __non_webpack_require__(name) : require(name)
  } catch (cause) {
    return requireFromBase(name, cause)
  }
}
