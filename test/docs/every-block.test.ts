// No page shows code that no test runs.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { blocksOf, pages, ROOT, textOf } from './pages.js'
import { CONFIGURATION, runElsewhere } from './special.js'

/** `code.test.ts` runs the first two, `shell.test.ts` the third and what configuration calls; the fourth is read below. */
const RUN = ['ts', 'js', 'sh', 'json', ...CONFIGURATION]

/** Pages about the project rather than about its use: why something is as it is, and which page tells what. */
const isAboutUse = (page: string) => !page.startsWith('docs/decisions/') && page !== 'docs/README.md'

describe.each(pages)('%s', page => {
  const blocks = blocksOf(page)

  test('has no code in a language that no test runs', () => {
    const others = blocks.filter(({ language }) => language !== '' && !RUN.includes(language))
    expect(others.map(({ line, language }) => `line ${line}: ${language}`)).toEqual([])
  })

  test('has no code that does not say its language', () => {
    const code = /^(import |const |let |await |export |soloist |npm |npx |SOLOIST_\w+=)/m
    const silent = blocks.filter(({ language, text }) => language === '' && code.test(text))
    expect(silent.map(({ line }) => line)).toEqual([])
  })

  test('has JSON that can be read', () => {
    for (const { language, text } of blocks) if (language === 'json') expect(() => JSON.parse(text)).not.toThrow()
  })
})

test.each(pages.filter(isAboutUse))('%s begins with what one would copy', page => {
  expect(blocksOf(page)[0]?.line ?? Infinity).toBeLessThanOrEqual(12)
})

test.each(Object.entries(runElsewhere))('%s has its test in %s', (page, file) => {
  expect(pages).toContain(page)
  expect(existsSync(join(ROOT, file))).toBe(true)
  expect(readFileSync(join(ROOT, file), 'utf8')).toContain(page)
})

test('each page is in the index', () => {
  const index = textOf('docs/README.md')
  for (const page of pages.filter(isAboutUse).filter(page => page !== 'README.md')) {
    expect(index).toContain(`](${page.replace('docs/', '')}`)
  }
})
