import { SoloistError } from '../../errors.js'

/** The versions that are tested and work, as `peerDependencies` of package.json have them. */
export const SUPPORTED = {
  '@nestjs/common': '^11.0.0 || ^12.0.0',
  '@nestjs/core': '^11.0.0 || ^12.0.0',
  bullmq: '^5.78.0 || ^6.0.0',
  croner: '^11.0.0',
  ioredis: '^5.3.0 || ^6.0.0',
  libsql: '^0.5.3',
  pg: '^8.11.0',
  redis: '^5.9.0 || ^6.0.0',
} as const

/**
 * Refuses a version that is too old. One that is newer than all that are known is taken as it comes; a pre-release counts
 * as its release.
 *
 * @param version what the package says of itself; anything else is taken as it comes, for a package need not show it
 * @throws SoloistError `BACKEND_UNAVAILABLE` that names what is installed and what is supported
 */
export function checkVersion(name: keyof typeof SUPPORTED, version: unknown): void {
  const installed = numbersOf(version)
  if (installed === null) return
  const oldest = SUPPORTED[name].split(' || ').map(range => numbersOf(range.slice(1)) as Numbers)
  const ofMajor = oldest.find(([major]) => major === installed[0])
  const [first] = oldest as [Numbers]
  if (compare(installed, ofMajor ?? first) >= 0) return
  throw new SoloistError(
    'BACKEND_UNAVAILABLE',
    `${name} ${version} is installed, which is too old: ${name} ${SUPPORTED[name]} is supported`,
  )
}

/** The version in a package.json; `null` where there is none, or it cannot be had. */
export function versionIn(loadManifest: () => unknown): unknown {
  try {
    return (loadManifest() as { readonly version?: unknown }).version ?? null
  } catch {
    return null
  }
}

type Numbers = readonly [major: number, minor: number, patch: number]

function numbersOf(version: unknown): Numbers | null {
  const found = typeof version === 'string' ? /^(\d+)\.(\d+)\.(\d+)(?:[-+]|$)/.exec(version) : null
  return found === null ? null : [Number(found[1]), Number(found[2]), Number(found[3])]
}

function compare(a: Numbers, b: Numbers): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}
