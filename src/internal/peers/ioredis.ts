import { requireFromBase } from './load.js'

/**
 * The `require` has to stand in a `try`, with the name as a literal: so bundlers take the package in where it is installed,
 * and build without it where it is not.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it is not installed
 */
export function loadIoredis(): typeof import('ioredis') {
  try {
    return require('ioredis')
  } catch (cause) {
    return requireFromBase('ioredis', cause) as typeof import('ioredis')
  }
}
