// Every page's programs are written into a project of their own, compiled, and run one after the other on real stores.
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { type Block, blocksOf, isProgram, nameOf, pages, promisedBy, usesVitest } from './pages.js'
import { Project, Workspace, withServers } from './project.js'
import { runElsewhere, servesOn } from './special.js'

const shown = pages
  .map(page => ({ page, programs: blocksOf(page).filter(isProgram) }))
  .filter(({ page, programs }) => programs.length > 0 && !(page in runElsewhere))

/** The compiler reads all pages at once. */
const COMPILE_MS = 240_000
/** A program that does not end by itself is ended before that. */
vi.setConfig({ testTimeout: 60_000 })

let server: RedisServer
let redis: Redis
let workspace: Workspace
const projects = new Map<string, Project>()
let complaintsOf: (project: Project) => readonly string[]
beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
  workspace = new Workspace()
  const servers = { redisPort: server.port }
  for (const { page, programs } of shown) {
    const project = new Project(servers, workspace)
    project.addFixtures(page)
    for (const [i, block] of programs.entries()) project.add(nameOf(block, i), withServers(block.text, servers))
    projects.set(page, project)
  }
  complaintsOf = await workspace.compile()
}, COMPILE_MS)
beforeEach(async () => {
  await redis.flushall()
})
afterAll(async () => {
  workspace[Symbol.dispose]()
  redis.disconnect()
  await server.stop()
})

describe.each(shown)('$page', ({ page, programs }) => {
  const project = () => projects.get(page) as Project

  test('its programs have the right types', () => {
    expect(complaintsOf(project())).toEqual([])
  })

  test.each(programs.map((block, i) => ({ block, file: nameOf(block, i), line: block.line })))(
    'the program in line $line runs, and prints what it promises',
    async ({ block, file }) =>
      await (usesVitest(block) ? runTests(project(), block, file) : run(project(), block, file)),
  )
})

async function run(project: Project, block: Block, file: string): Promise<void> {
  const promised = promisedBy(block)
  const printedAll = (stdout: string) => inOrder(promised, stdout.split('\n')).length === promised.length
  const serves = servesOn(block)
  const ran = await project.program(file, serves ? printedAll : undefined)
  expect(ran).toMatchObject({ end: serves ? 'SIGTERM' : 0, stderr: '' })
  expect(inOrder(promised, ran.stdout.split('\n'))).toEqual(promised)
}

/** Of the conformance suite, one guarantee is enough to show that it is registered as the page says. */
async function runTests(project: Project, { text }: Block, file: string): Promise<void> {
  const ran = await project.tests(file, text.includes('conformance({') ? 'fences' : undefined)
  expect(ran).toMatchObject({ end: 0, stderr: '' })
  expect(ran.stdout).toMatch(/Tests .*[1-9]\d* passed/)
}

/** As many of these lines, from the first on, as were printed in this order; other lines may stand between them. */
function inOrder(promised: readonly string[], printed: readonly string[]): readonly string[] {
  let at = 0
  for (const line of printed) if (line === promised[at]) at++
  return promised.slice(0, at)
}
