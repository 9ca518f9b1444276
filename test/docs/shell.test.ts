// The shell lines of every page that use the command, run in a project of their own on a real Redis.
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { blocksOf, pages } from './pages.js'
import { Project, withServers } from './project.js'
import { runElsewhere, runLines } from './special.js'

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
      const ran = await project.shell(withServers(runLines(block), servers))
      expect(ran).toMatchObject({ end: 0 })
    },
  )
})

test('there are some', () => {
  expect(shown.map(({ page }) => page)).toContain('README.md')
})
