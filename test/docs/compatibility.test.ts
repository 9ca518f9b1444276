// Each line of docs/compatibility.md says what it rests on.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, textOf } from './pages.js'

const rows = [...textOf('docs/compatibility.md').matchAll(/^\| ([^|]+) \| ([^|]+) \|([^|]*)\|$/gm)]
  .map(([, what = '', state = '', by = '']) => ({ what, state, by }))
  .filter(({ what }) => what.trim() !== '')

test('there are lines', () => {
  expect(rows.length).toBeGreaterThan(30)
})

test.each(rows)('$what: $state', ({ state, by }) => {
  expect(state).toMatch(/^(tested|tried \d{4}-\d{2}-\d{2}|untested|not supported)\b/)
  const paths = [...by.matchAll(/`([^`]+)`/g)].map(([, path]) => path as string)
  expect(paths.length > 0).toBe(state.startsWith('tested'))
  for (const path of paths) expect(existsSync(join(ROOT, path)), path).toBe(true)
})
