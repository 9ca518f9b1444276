import { SoloistError } from '../../errors.js'
import { requireAtRunTime } from './load.js'
import { checkVersion, versionIn } from './versions.js'

let checked = false

/**
 * What a `postgres:` URL is opened with. No bundler sees this package: webpack would warn in every build without it. Who wants
 * it in a bundle gives a client.
 *
 * @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old
 */
export function loadPg(): unknown {
  let pg: unknown
  try {
    pg = requireAtRunTime('pg')
  } catch (cause) {
    const message =
      'a postgres: URL is opened with the package "pg", which cannot be loaded: install it, or give a client, ' +
      'connect(postgresBackend(client)), with postgresBackend from "soloist/postgres"'
    throw new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
  }
  if (!checked)
    checkVersion(
      'pg',
      versionIn(() => requireAtRunTime('pg/package.json')),
    )
  checked = true
  return pg
}
