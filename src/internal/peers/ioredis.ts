import { SoloistError } from '../../errors.js'
import { isInstalled, requireFromBase } from './load.js'
import { checkVersion, versionIn } from './versions.js'

let checked = false

/** @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old */
export function loadIoredis(): typeof import('ioredis') {
  let ioredis: typeof import('ioredis')
  try {
    ioredis = load()
  } catch (cause) {
    throw new SoloistError('BACKEND_UNAVAILABLE', whatToDo(), { cause })
  }
  if (!checked) checkVersion('ioredis', versionIn(loadManifest))
  checked = true
  return ioredis
}

/**
 * The `require` stands in a `try`, with the name as a literal: so bundlers take the package in where it is installed, and
 * build without it where it is not. webpack warns then. Were it loaded when the program runs, there would be no warning,
 * but a bundle that is deployed by itself would have no ioredis.
 */
function load(): typeof import('ioredis') {
  try {
    return require('ioredis')
  } catch (cause) {
    return requireFromBase('ioredis', cause) as typeof import('ioredis')
  }
}

function loadManifest(): unknown {
  try {
    return require('ioredis/package.json')
  } catch (cause) {
    return requireFromBase('ioredis/package.json', cause)
  }
}

function whatToDo(): string {
  const client = 'connect(redisBackend(client)), with redisBackend from "soloist/redis"'
  return isInstalled('redis')
    ? `a redis: URL is opened with the package "ioredis", which cannot be loaded, but "redis" is installed: give a client of it, ${client}; or install ioredis`
    : `a redis: URL is opened with the package "ioredis", which cannot be loaded: install it, or give a client, ${client}`
}
