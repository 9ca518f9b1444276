import { connect, type Job, type ResultOptions } from 'soloist'
import { expect, expectTypeOf, test } from 'vitest'

test('types follow from the handler', async () => {
  await using solo = connect('memory:')
  const fields = solo.job('a', { uniqueOn: ['id'] }, async ({ id }: { id: number; note?: string }, { signal }) => {
    signal.throwIfAborted()
    return `${id}`
  })
  expectTypeOf(fields).toEqualTypeOf<Job<{ id: number; note?: string }, string>>()
  expect(await fields({ id: 1 })).toBe('1')

  const made = solo.job(
    'b',
    {
      uniqueOn: args => args.id,
      onDuplicate: ({ args }) => (args.id > 1 ? 'rerun' : 'skip'),
      merge: (pending, newest) => ({ id: Math.max(pending.id, newest.id) }),
    },
    ({ id }: { id: number }, { fence }) => id + fence,
  )
  expectTypeOf(made).toEqualTypeOf<Job<{ id: number }, number>>()
  expectTypeOf((await made.trigger({ id: 1 })).result).toEqualTypeOf<(options?: ResultOptions) => Promise<number>>()

  const none = solo.job('c', async () => 7)
  expectTypeOf(none()).toEqualTypeOf<Promise<number>>()
  const perhaps = solo.job('d', async (n?: number) => n ?? 0)
  expectTypeOf(perhaps).toEqualTypeOf<Job<number | undefined, number>>()
  expect([await none(), await perhaps(), await perhaps(5)]).toEqual([7, 0, 5])

  // @ts-expect-error: no such field
  solo.job('e', { uniqueOn: ['nope'] }, ({ id }: { id: number }) => id)
  // @ts-expect-error: arguments are needed
  await expect(fields()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})
