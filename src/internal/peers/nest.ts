import { SoloistError } from '../../errors.js'
import { requireFromBase } from './load.js'
import { checkVersion, versionIn } from './versions.js'

/** The members of `@nestjs/common` that are called. */
export interface NestCommon {
  Inject(token: unknown): (target: object, key: string | symbol | undefined, index?: number) => void
}

/** The members of `@nestjs/core` that are called. */
export interface NestCore {
  readonly DiscoveryModule: unknown
  readonly DiscoveryService: unknown
}

/** @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old */
export function loadNestCommon(): NestCommon {
  checkVersion('@nestjs/common', versionIn(loadCommonManifest))
  try {
    return loadCommon()
  } catch (cause) {
    throw missing('@nestjs/common', cause)
  }
}

/** @throws SoloistError `BACKEND_UNAVAILABLE` when it cannot be loaded, or is too old */
export function loadNestCore(): NestCore {
  checkVersion('@nestjs/core', versionIn(loadCoreManifest))
  try {
    return loadCore()
  } catch (cause) {
    throw missing('@nestjs/core', cause)
  }
}

function missing(name: string, cause: unknown): SoloistError {
  const message = `soloist/nest needs the package "${name}", which cannot be loaded: install it`
  return new SoloistError('BACKEND_UNAVAILABLE', message, { cause })
}

// No `try` stands right around these two, so a bundler fails where they are missing: nothing works without.
function loadCommon(): NestCommon {
  const literal = () => require('@nestjs/common')
  try {
    return literal()
  } catch (cause) {
    return requireFromBase('@nestjs/common', cause) as NestCommon
  }
}

function loadCore(): NestCore {
  const literal = () => require('@nestjs/core')
  try {
    return literal()
  } catch (cause) {
    return requireFromBase('@nestjs/core', cause) as NestCore
  }
}

function loadCommonManifest(): unknown {
  try {
    return require('@nestjs/common/package.json')
  } catch (cause) {
    return requireFromBase('@nestjs/common/package.json', cause)
  }
}

function loadCoreManifest(): unknown {
  try {
    return require('@nestjs/core/package.json')
  } catch (cause) {
    return requireFromBase('@nestjs/core/package.json', cause)
  }
}
