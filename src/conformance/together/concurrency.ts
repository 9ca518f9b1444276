import assert from 'node:assert/strict'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { connect, type Soloist } from '../../index.js'
import { checkHistory } from '../history/check.js'
import type { HistoryRecord } from '../history/records.js'
import type { Suite, Trial } from '../trial/suite.js'
import { type Recorded, recordSection } from './recorder.js'

const CLIENTS = 5
const LOOPS = 2
const ROUNDS = 10
/** Where so many cannot hold it together, the test goes on after this long, and fails. */
const MEETING_MS = 10_000

/** Many clients on one lock, through the locks of the library itself. */
export function concurrency(suite: Suite): void {
  suite.test('of many who lock, one at a time holds it', async trial => {
    const { violations, counts } = checkHistory(await contend(trial, () => mutex))
    assert.deepEqual(violations, [])
    assert.equal(counts.granted, CLIENTS * LOOPS * ROUNDS)
    assert.equal(counts.released, counts.granted, 'every grant was released while it was valid')
    assert.equal(counts.mostTogether, 1)
  })

  suite.test('of many who use a semaphore, as many as its limit hold it', async trial => {
    const meeting = new Meeting(semaphore.limit)
    const { violations, counts } = checkHistory(
      await contend(
        trial,
        () => semaphore,
        () => meeting.section(),
      ),
    )
    assert.deepEqual(violations, [])
    assert.equal(counts.granted, CLIENTS * LOOPS * ROUNDS)
    assert.equal(counts.released, counts.granted, 'every grant was released while it was valid')
    assert.equal(counts.mostTogether, semaphore.limit)
  })

  suite.test('readers are together, writers are alone', async trial => {
    const meeting = new Meeting(2)
    const { violations, counts } = checkHistory(
      await contend(
        trial,
        // At first nobody writes: a writer that waits keeps the second reader from the first.
        (id, round) => (round > 0 && (id + round) % 3 === 0 ? writer : reader),
        (id, round) => (round === 0 ? meeting.section() : pause(id + round)),
      ),
    )
    assert.deepEqual(violations, [])
    assert.equal(counts.granted, CLIENTS * LOOPS * ROUNDS)
    assert.equal(counts.released, counts.granted, 'every grant was released while it was valid')
    assert.ok(counts.mostTogether > 1, 'readers should have met')
  })
}

const mutex: Recorded = { name: 'mutex', mode: 'exclusive', limit: null }
const semaphore = { name: 'semaphore', mode: 'shared', limit: 3 } as const
const reader: Recorded = { name: 'rw', mode: 'shared', limit: null }
const writer: Recorded = { name: 'rw', mode: 'exclusive', limit: null }

/** Every client runs a few loops of sections, each of which asks for what `claimOf` says and lasts as long as `section`. */
async function contend(
  trial: Trial,
  claimOf: (id: number, round: number) => Recorded,
  section: (id: number, round: number) => Promise<void> = (id, round) => pause(id + round),
): Promise<readonly HistoryRecord[]> {
  const history: HistoryRecord[] = []
  const loop = async (solo: Soloist, id: number) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const claim = claimOf(id, round)
      const owner = `${id}/${round}`
      await recordSection(
        solo,
        claim,
        owner,
        entry => history.push(entry),
        () => section(id, round),
      )
    }
  }
  const solos: Soloist[] = []
  try {
    while (solos.length < CLIENTS) solos.push(connect((await trial.store()).backend))
    const loops = Array.from({ length: LOOPS }, (_, i) => solos.map((solo, j) => loop(solo, i * CLIENTS + j)))
    await Promise.all(loops.flat())
  } finally {
    for (const solo of solos) await solo.close()
  }
  return history
}

/** Sections of different lengths, so that the loops do not go in step. */
async function pause(i: number): Promise<void> {
  await (i % 4 === 0 ? sleep(1) : turn())
}

/** No section ends before so many were together once: short ones might never meet where each grant has a way to go. */
class Meeting {
  readonly #wanted: number
  readonly #met: Promise<void>
  #meet = () => {}
  #inside = 0
  /** Counts from the first of them. */
  #late: Promise<void> | null = null

  constructor(wanted: number) {
    this.#wanted = wanted
    this.#met = new Promise(resolve => {
      this.#meet = resolve
    })
  }

  async section(): Promise<void> {
    this.#inside += 1
    if (this.#inside === this.#wanted) this.#meet()
    this.#late ??= sleep(MEETING_MS, undefined, { ref: false })
    await Promise.race([this.#met, this.#late])
    await turn()
    this.#inside -= 1
  }
}
