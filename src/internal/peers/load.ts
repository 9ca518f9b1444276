// In a bundle of webpack's: its own `require`, and that of Node.js.
declare const __webpack_require__: unknown
declare const __non_webpack_require__: NodeJS.Require

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
 * Loads what `require` did not find.
 *
 * @param cause what `require` threw, and so does this where there is no other place to look
 */
export function requireFromBase(name: string, cause: unknown): unknown {
  return fromBase(cause)(name)
}

/** Loads a package, or a file of one, that no bundler is to take in. */
export function requireAtRunTime(name: string): unknown {
  try {
    return typeof __webpack_require__ === 'function' ? __non_webpack_require__(name) : require(name)
  } catch (cause) {
    return requireFromBase(name, cause)
  }
}

/** Whether a package is installed. It is not loaded. */
export function isInstalled(name: string): boolean {
  try {
    resolveAtRunTime(name)
    return true
  } catch {
    return false
  }
}

/** The file that {@link requireAtRunTime} would load. */
export function resolveAtRunTime(name: string): string {
  try {
    return typeof __webpack_require__ === 'function' ? __non_webpack_require__.resolve(name) : require.resolve(name)
  } catch (cause) {
    return fromBase(cause).resolve(name)
  }
}

function fromBase(cause: unknown): NodeJS.Require {
  if (base === null) throw cause
  return process.getBuiltinModule('node:module').createRequire(base)
}
