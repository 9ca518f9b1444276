import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, fetchLocked, linkTree } from '../../../scripts/fetched.js'
import { Folder } from './folder.js'

const here = fileURLToPath(new URL('..', import.meta.url))
const examples = fileURLToPath(new URL('../../../examples', import.meta.url))

interface ProjectOptions {
  readonly programs?: boolean
  readonly example?: boolean
}

/**
 * A folder outside this repository as a user of the package has it: the files of one of `projects/` or `examples/`, the packages that its
 * lockfile names, and the tarball, installed by npm.
 */
export class Project extends Folder {
  /**
   * @param name a folder of `projects/`, or of `examples/` where that is said
   * @param programs whether the project runs the programs of `programs/`
   */
  constructor(name: string, { programs = false, example = false }: ProjectOptions = {}) {
    const source = example ? join(examples, name) : join(here, 'projects', name)
    const fetched = fetchOnce(example ? `example-${name}` : name, source)
    super(name, source)
    if (programs) cpSync(join(here, 'programs'), this.folder, { recursive: true })
    linkTree(join(fetched, 'node_modules'), join(this.folder, 'node_modules'))
    install(this.folder, String(process.env.SOLOIST_TEST_TARBALL))
  }

  /** A command that one of the project's packages brings. */
  bin(name: string): string {
    return this.path('node_modules', '.bin', name)
  }
}

/** The packages of a lockfile, which stay in the cache until it changes. @returns the folder that has them */
function fetchOnce(name: string, source: string): string {
  const hash = createHash('sha256')
    .update(readFileSync(join(source, 'package-lock.json')))
    .digest('hex')
  const folder = cacheFolder('consumers', `${name}-${hash.slice(0, 12)}`)
  if (existsSync(folder)) return folder
  mkdirSync(cacheFolder('consumers'), { recursive: true })
  const fresh = mkdtempSync(cacheFolder('consumers', `.${name}-`))
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(source, file), join(fresh, file))
  try {
    if (!fetchLocked(fresh)) throw new Error(`the packages of the project ${name} could not be fetched`)
    renameSync(fresh, folder)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    // Unless another run was faster.
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** As a user would, so a peer in the project that the package does not take fails it. */
function install(folder: string, tarball: string): void {
  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline']
  const { status, stdout, stderr } = spawnSync('npm', ['install', ...options, tarball], {
    cwd: folder,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`npm install of the tarball failed:\n${stdout}${stderr}`)
}
