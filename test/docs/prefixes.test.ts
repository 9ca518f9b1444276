// Two clients whose prefixes differ may share locks all the same, where one prefix begins with the other. No sentence
// that users read says otherwise; that they do share them is tested in test/redis/prefixes.test.ts and on the page api.md.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pages, ROOT } from './pages.js'

/** What says of prefixes that they keep clients apart. */
const KEEPS_APART =
  /\b(?:never|not|no|none|nothing|cannot|neither|without)\b.*\b(?:meet|see|seen|share|touch|clear|collide|affect|reach|overlap|find|exclude)|\bisolat|\bseparat|\bindependent|\bkept? apart|\block(?:s|space)? of (?:its|their) own|\bown locks/i
/** The condition under which they do. */
const CONDITION = /\bbegin|\bstart|\bnest|\bbelow\b/i

interface Sentence {
  readonly file: string
  readonly text: string
}

/** The sentences of Markdown or of a source file, whose comments and texts are read with the code between them. */
function sentencesOf(file: string): readonly Sentence[] {
  return sentencesIn(readFileSync(join(ROOT, file), 'utf8')).map(text => ({ file, text }))
}

/** Those that speak of prefixes. */
function sentencesIn(text: string): readonly string[] {
  return text
    .replace(/^\s*(?:\*\/|\/?\*+|\/\/|-)\s?/gm, '')
    .split(/\n\s*\n|\n\||(?<=^#.*)\n|(?<=[.;:!?])\s+/m)
    .map(sentence => sentence.replace(/\s+/g, ' ').trim())
    .filter(sentence => /\bprefix/i.test(sentence))
}

/** What claims too much. */
const isWrong = (text: string) => KEEPS_APART.test(text) && !CONDITION.test(text)

const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.ts') && !path.startsWith(join('internal', 'generated')))
  .map(path => `src/${path}`)
const read = [...pages, 'llms.txt', 'CHANGELOG.md', ...sources].flatMap(sentencesOf)

test('nothing that users read says that other prefixes keep clients apart without saying when', () => {
  expect(read.length).toBeGreaterThan(50)
  expect(read.filter(({ text }) => isWrong(text))).toEqual([])
})

test('such a sentence is found', () => {
  const wrong = [
    '/** Clients with different prefixes\n * never meet. Default: none. */',
    'A prefix isolates an application from all others.',
    '- Locks of two prefixes are independent.',
    '| `prefix` | gives each application locks of its own |',
    'With a prefix an application cannot see the locks of another.',
    "`clear('')` does not touch what has another prefix.",
  ]
  expect(wrong.filter(text => !sentencesIn(text).some(isWrong))).toEqual([])
  const right = [
    'Clients whose prefixes differ never meet, unless one prefix begins with the other.',
    'The prefix may be up to 1,024 bytes.',
  ]
  expect(right.filter(text => sentencesIn(text).some(isWrong))).toEqual([])
})
