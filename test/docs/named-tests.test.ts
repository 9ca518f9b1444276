// Pages say which test guards what they promise.
import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { pages, ROOT, textOf } from './pages.js'

const named = pages.map(page => {
  const paths = [...textOf(page).matchAll(/`(test\/[^`\s]*)`/g)].map(([, path]) => path as string)
  return { page, paths: new Set(paths) }
})

test.each(named.filter(({ paths }) => paths.size > 0))('$page names tests that are there', ({ paths }) => {
  for (const path of paths) {
    // A star stands for whatever is different in the names of several files.
    const [start = '', end] = basename(path).split('*')
    const there = readdirSync(join(ROOT, dirname(path))).filter(file =>
      end === undefined ? file === start : file.startsWith(start) && file.endsWith(end),
    )
    expect(there, path).not.toEqual([])
  }
})

test('the page of guarantees names many', () => {
  expect(named.find(({ page }) => page === 'docs/guarantees.md')?.paths.size).toBeGreaterThan(10)
})
