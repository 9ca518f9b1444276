import assert from 'node:assert/strict'
import { renew } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'

/** Names that a careless backend mixes up, cuts, folds or trips over. All of them are different locks. */
export const ODD_NAMES: readonly string[] = [
  ...['a', 'A', 'aa', 'a ', ' a', ' ', '  ', '\t', '\n', 'a\nb', 'a\r\nb', '\r'],
  ...['\0', 'a\0', 'a\0b', '\0a', 'a\0\0', '\x01', '\x1f', '\x7f'],
  ...['{}', '{a}', '{a', 'a}', 'a}b', '}{', '}a{', '{{a}}', '{}a', '{}{a}', 'x{a}y', 'a{b}c'],
  ...['a:', ':a', 'a:q', 'a:s', 'a:w', 'a:m', 'a:f', 'a:f~', 'a~', '{a}:q', '{a}:f', '{a}:s', '{a}:m', '{a}:w'],
  ...['{a}:q:q', 'a:q:q', '{{a}:q}:q', '{{a}}:q'],
  ...[
    '*',
    '?',
    '[a]',
    '\\',
    '\\a',
    '\\0',
    '\\u0000',
    '%',
    '%00',
    '%61',
    '%7B',
    '_',
    '^',
    '-',
    '$',
    '.',
    '..',
    '/',
    '../a',
  ],
  ...["'", '"', '`', "'; DROP TABLE locks; --", '$(a)', '<a>', '&amp;', '--', '#', '0', '00', '1e3', '-1', 'null'],
  ...['\u00e9', 'e\u0301', '\ufb01', 'fi', 'ß', 'ss', 'I', 'i', '\u0131', '\u0130', '\u00c5', '\u212b', 'A\u030a'],
  ...['\u03a9', '\u2126', '日本語', 'مرحبا', '\u200b', '\ufeff', '\u2028'],
  ...['🔒', '🔒🔒', '👩‍👩‍👧', '👩', '\uffff', '\ufffd', '\u{10ffff}', '\u{1f512}\ufe0f'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'undefined', 'true', 'NaN'],
  ...['n'.repeat(1_024), `${'n'.repeat(1_023)}m`, 'n'.repeat(1_023), 'é'.repeat(512), '\0'.repeat(1_024)],
]

/** Owners and metas that a careless backend splits, quotes or trips over. */
export const ODD_TEXTS: readonly string[] = [
  ...[
    'o',
    'O',
    'o ',
    ' o',
    'two words',
    'a\nb',
    'tab\tbed',
    '"',
    "'",
    '"quoted"',
    "it's",
    '\\',
    '\\n',
    '`',
    ',',
    ';',
    '|',
  ],
  ...[
    '{}',
    '{"a":1}',
    '[]',
    '*',
    '%',
    '$1',
    '0',
    '-1',
    'null',
    'true',
    '__proto__',
    'constructor',
    'é',
    'e\u0301',
    '🔒',
  ],
  ...['host:1:ab/1', 'a:q', '\0', 'a\0b', '\u{10ffff}', 'x'.repeat(1_024)],
]

/** Two different names never share a lock, whatever bytes they hold. */
export function names(suite: Suite): void {
  suite.test('all names are locks of their own, held, waited for and served at one time', async trial => {
    const [a, b] = await trial.clients(2)
    const locks = ODD_NAMES.map((name, i) => ({
      holder: a.claim(name, { meta: `held as ${i}` }),
      next: b.claim(name, { meta: `wanted as ${i}` }),
    }))
    for (const { holder } of locks) await a.take(holder)
    for (const { next } of locks) await b.queue(next)
    // All at once: who waits is not to be taken for silent meanwhile, nor a grant to run out that nobody confirms.
    const stands = async ({ holder, next }: (typeof locks)[number]) => {
      await b.assertHeldBy(holder.name, holder)
      await b.assertWaiting(holder.name, next)
    }
    await Promise.all(locks.map(stands))
    const seen: string[] = []
    for await (const state of b.backend.list('')) seen.push(state.name)
    assert.deepEqual(seen.sort(), [...ODD_NAMES].sort(), 'each name is listed once, as it is')
    const [released, standing] = [locks.filter((_, i) => i % 2 === 0), locks.filter((_, i) => i % 2 === 1)]
    const handOn = async ({ holder, next }: (typeof locks)[number]) => {
      await a.give(holder)
      await b.told(next)
      await a.assertHeldBy(next.name, next)
    }
    await Promise.all(released.map(handOn))
    await Promise.all(standing.map(stands))
    assert.equal(b.grants.length, released.length, 'nothing is pushed for a lock that was not released')
  })

  suite.test('all names are semaphores of their own', async trial => {
    const [a, b] = await trial.clients(2)
    const locks = ODD_NAMES.map(name => [a.shared(name, 2), b.shared(name, 2), b.shared(name, 2)] as const)
    for (const [first, second] of locks) {
      await a.take(first)
      await b.take(second)
    }
    for (const [first, second, third] of locks) {
      await b.refused(third)
      await a.assertHeldBy(first.name, first, second)
    }
    const [released, standing] = [locks.filter((_, i) => i % 2 === 0), locks.filter((_, i) => i % 2 === 1)]
    for (const [first] of released) await a.give(first)
    for (const [first, second] of released) await b.assertHeldBy(first.name, second)
    for (const [first, second] of standing) await b.assertHeldBy(first.name, first, second)
  })

  suite.test('owners and metas are kept as they are', async trial => {
    const [a, b] = await trial.clients(2)
    const everybody = ODD_TEXTS.map(text => a.shared('lock', null, { owner: text, meta: text }))
    for (const claim of everybody) await a.take(claim)
    await b.assertHeldBy('lock', ...everybody)
    assert.deepEqual(
      (await b.state('lock')).holders.map(({ meta }) => meta),
      ODD_TEXTS,
    )
    const answers = await a.run(everybody.map(claim => renew(claim)))
    assert.deepEqual(
      answers.map(({ status }) => status),
      everybody.map(() => 'held'),
    )
    const [left, gone] = [everybody.filter((_, i) => i % 2 === 0), everybody.filter((_, i) => i % 2 === 1)]
    for (const claim of gone) await a.give(claim)
    await b.assertHeldBy('lock', ...left)
  })

  suite.test('owners and metas are kept as they are through the queue', async trial => {
    const [a, b] = await trial.clients(2)
    const first = a.claim('lock', { owner: 'the first' })
    await a.take(first)
    const line = ODD_TEXTS.map(text => b.claim('lock', { owner: text, meta: text }))
    for (const claim of line) await b.queue(claim)
    await a.assertWaiting('lock', ...line)
    assert.deepEqual(
      (await a.state('lock')).waiters.map(({ meta }) => meta),
      ODD_TEXTS,
    )
    await a.give(first)
    for (const next of line) {
      await b.told(next)
      await a.assertHeldBy('lock', next)
      assert.equal((await a.state('lock')).holders[0]?.meta, next.meta)
      await b.give(next)
    }
  })

  suite.test('an odd owner is replaced like any other', async trial => {
    const [a, b] = await trial.clients(2)
    for (const [i, owner] of ODD_TEXTS.entries()) {
      const [old, mine] = [a.claim(`lock ${i}`, { owner }), b.claim(`lock ${i}`)]
      await a.take(old)
      await b.take(mine, { replaces: owner })
      await a.assertHeldBy(mine.name, mine)
    }
  })
}
