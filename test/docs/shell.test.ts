// The lines of every page that call the command, run on a real Redis: those of a shell, and those in configuration.
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { blocksOf, isProgram, nameOf, pages } from './pages.js'
import { Project, withServers } from './project.js'
import { callsIn, runElsewhere, runLines } from './special.js'

/** What does not end by itself is ended before that. */
vi.setConfig({ testTimeout: 60_000 })

let server: RedisServer
let redis: Redis
beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
})
beforeEach(async () => {
  await redis.flushall()
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

const shown = pages
  .filter(page => !(page in runElsewhere))
  .map(page => ({ page, blocks: blocksOf(page).filter(block => block.language === 'sh' && runLines(block) !== '') }))
  .filter(({ blocks }) => blocks.length > 0)

describe.each(shown)('$page', ({ page, blocks }) => {
  test.each(blocks.map(block => ({ block, line: block.line })))(
    'the shell lines from line $line on run',
    async ({ block }) => {
      const servers = { redisPort: server.port }
      using project = new Project(servers)
      project.addFixtures(page)
      for (const [name, text] of savedFiles(page)) project.add(name, withServers(text, servers))
      const ran = await project.shell(withServers(runLines(block), servers))
      expect(ran).toMatchObject({ end: 0 })
    },
  )
})

/** What the page has its readers save, by file name: programs that begin with their name. */
function savedFiles(page: string): readonly (readonly [string, string])[] {
  const programs = blocksOf(page).filter(block => isProgram(block) && block.text.startsWith('// '))
  return programs.map((block, i) => [nameOf(block, i), block.text] as const)
}

const calls = pages.flatMap(page => blocksOf(page).flatMap(block => callsIn(block).map(call => ({ page, call }))))

test.each(calls)('$page: $call', async ({ call }) => {
  using project = new Project({ redisPort: server.port })
  expect(await project.shell(call)).toMatchObject({ end: 0 })
})

test('there are some', () => {
  expect(shown.map(({ page }) => page)).toContain('README.md')
})
