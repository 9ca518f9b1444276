import { SoloistError } from '../../errors.js'
import { requireFromBase } from './load.js'
import { checkVersion, versionIn } from './versions.js'

let checked = false

/**
 * What a `postgres:` URL is opened with.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old
 */
export function loadPg(): unknown {
  let pg: unknown
  try {
    pg = load()
  } catch (cause) {
    const message =
      'a postgres: URL is opened with the package "pg", which cannot be loaded: install it, or give a client, ' +
      'connect(postgresBackend(client)), with postgresBackend from "soloist/postgres"'
    throw new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
  }
  if (!checked) checkVersion('pg', versionIn(loadManifest))
  checked = true
  return pg
}

/** The name is a literal in a `try`, so that bundlers take the package in where it is installed, as in `ioredis.ts`. */
function load(): unknown {
  try {
    return require('pg')
  } catch (cause) {
    return requireFromBase('pg', cause)
  }
}

function loadManifest(): unknown {
  try {
    return require('pg/package.json')
  } catch (cause) {
    return requireFromBase('pg/package.json', cause)
  }
}
