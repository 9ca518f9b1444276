// The packed tarball, as two judges of packages see it: publint looks at package.json and the files it names, and
// "are the types wrong" at what every way of TypeScript's to resolve a module finds. Both work without a network.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { absolute, manifest } from './tree.js'

/** What would be published. */
function pack() {
  const folder = mkdtempSync(join(tmpdir(), 'soloist-pack-'))
  try {
    const args = ['pack', '--ignore-scripts', '--pack-destination', folder]
    const { status, stderr } = spawnSync('npm', args, { cwd: absolute('.'), encoding: 'utf8' })
    const [tarball] = readdirSync(folder)
    if (status !== 0 || tarball === undefined) throw new Error(`npm pack failed: ${stderr}`)
    return readFileSync(join(folder, tarball))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {Buffer} tarball */
async function problemsOfPublint(tarball) {
  const data = new Uint8Array(tarball).buffer
  const { messages, pkg } = await publint({ pack: { tarball: data }, strict: true })
  return messages.map(message => `package.json: ${formatMessage(message, pkg ?? {}, { color: false })} (publint)`)
}

/** @param {Buffer} tarball */
async function problemsOfTypes(tarball) {
  const result = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)))
  if (!result.types) return [`package.json: ${manifest.name} has no types (attw)`]
  return result.problems.map(({ kind, ...where }) => `package.json: ${kind}: ${JSON.stringify(where)} (attw)`)
}

/** @returns {Promise<string[]>} */
export async function checkPublished() {
  const tarball = pack()
  return [...(await problemsOfPublint(tarball)), ...(await problemsOfTypes(tarball))]
}
