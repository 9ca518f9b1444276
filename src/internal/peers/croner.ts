import { SoloistError } from '../../errors.js'
import { requireFromBase } from './load.js'
import { checkVersion, versionIn } from './versions.js'

let checked = false

/** @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old */
export function loadCroner(): typeof import('croner') {
  let croner: typeof import('croner')
  try {
    croner = load()
  } catch (cause) {
    const message = 'a cron pattern is read with the package "croner", which cannot be loaded: install it'
    throw new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
  }
  if (!checked) checkVersion('croner', versionIn(loadManifest))
  checked = true
  return croner
}

/** In a `try`, with the name as a literal: bundlers take it in where it is installed, and build without where it is not. */
function load(): typeof import('croner') {
  try {
    return require('croner')
  } catch (cause) {
    return requireFromBase('croner', cause) as typeof import('croner')
  }
}

function loadManifest(): unknown {
  try {
    return require('croner/package.json')
  } catch (cause) {
    return requireFromBase('croner/package.json', cause)
  }
}
