import { SoloistError } from '../../errors.js'

/** The URL of `base.mjs`, or of the bundle it is part of; `null` where this package was loaded by `require` alone. */
let base: string | null = null

/**
 * What `import` gets of this package calls this before anything else. A bundle that is an ES module has no `require`, as
 * those of esbuild and rollup: there an optional peer is looked for from this URL.
 *
 * @param url `undefined` in a bundle that is CommonJS, which has `require`
 */
export function lookFrom(url: string | undefined): void {
  base = url ?? null
}

/**
 * Loads an optional peer that `require` did not find.
 *
 * @param cause what `require` threw
 * @throws SoloistError `BACKEND_UNAVAILABLE` when the package cannot be loaded this way either
 */
export function requireFromBase(name: string, cause: unknown): unknown {
  if (base === null) throw cannotBeLoaded(name, cause)
  try {
    return process.getBuiltinModule('node:module').createRequire(base)(name)
  } catch (lastCause) {
    throw cannotBeLoaded(name, lastCause)
  }
}

function cannotBeLoaded(name: string, cause: unknown): SoloistError {
  return new SoloistError('BACKEND_UNAVAILABLE', `the package "${name}" is needed and cannot be loaded: install it`, {
    cause,
  })
}
