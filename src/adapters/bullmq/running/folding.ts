import type { Job } from 'bullmq'
import { type Note, SoloistError } from '../../../index.js'
import { merged } from '../adding/trigger.js'
import { parseOwner } from '../lock/owner.js'
import type { Definition } from '../options/definition.js'

/**
 * Makes one of a job's data and what was left with it, in that order.
 *
 * @param merges whether there has to be a `merge`; else the last takes the place of all where there is none
 * @throws SoloistError when it cannot be
 */
export function folded(
  job: Job,
  lock: string,
  definition: Definition | undefined,
  notes: readonly string[],
  merges: boolean,
): unknown {
  const newer = notes.map(text => JSON.parse(text) as unknown)
  const { queueQualifiedName: queue, name } = job
  if (definition?.merge == null) {
    if (!merges) return newer.at(-1)
    const missing = `the worker of ${queue} needs the option merge of job ${JSON.stringify(name)}: singleton.jobs`
    throw new SoloistError('INVALID_ARGUMENT', missing)
  }
  return newer.reduce((older, one) => merged(definition, queue, lock, older, one), job.data as unknown)
}

/**
 * What is to be folded into the data that a job has now, where that is a step of its own: nothing if it was done before, by an
 * earlier attempt, or with a period when that was granted. Then its data is not what it was added with any more.
 */
export function toFold(job: Job, owner: string, notes: readonly Note[]): readonly string[] {
  const own = notes.find(note => note.owner === owner)
  const mayBeDone = job.attemptsStarted > 1 || parseOwner(owner)?.period === true
  if (own !== undefined && mayBeDone && JSON.stringify(job.data) !== own.text) return []
  return notes.filter(note => note !== own).map(({ text }) => text)
}
