import { requireFromBase } from './load.js'

// In a bundle of webpack's: its own `require`, and that of Node.js.
declare const __webpack_require__: unknown
declare const __non_webpack_require__: NodeJS.Require

/**
 * The `require` has to stand in a `try`, with the name as a literal: so bundlers take the package in where it is installed,
 * and build without it where it is not. webpack would warn then, so there it is loaded when the program runs.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it is not installed
 */
export function loadIoredis(): typeof import('ioredis') {
  try {
    return typeof __webpack_require__ === 'function' ? __non_webpack_require__('ioredis') : require('ioredis')
  } catch (cause) {
    return requireFromBase('ioredis', cause) as typeof import('ioredis')
  }
}
