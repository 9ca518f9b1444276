import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const child = fileURLToPath(new URL('children/last-call.js', import.meta.url))

/** What a process of its own says until it ends by itself. */
async function lives(how: 'silent' | 'done'): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [child, how], { timeout: 20_000 })
  return stdout.trim().split('\n')
}

test('a process lives until its last call is settled, also one that the store does not answer', async () => {
  expect(await lives('silent')).toEqual(['released', 'BACKEND_UNAVAILABLE'])
})

test('a process whose calls are settled ends by itself', async () => {
  expect(await lives('done')).toEqual(['released'])
})
