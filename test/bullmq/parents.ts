import { FlowProducer, type Job, Worker } from 'bullmq'
import { type Bench, connectionTo, until } from './support.js'

const optionsOf = ({ url, prefix }: Bench) => ({ connection: connectionTo(url), prefix })

/** A job that waits for its children. */
export interface Parent {
  readonly job: Job
  /** As an option of its children. */
  readonly of: { readonly id: string; readonly queue: string }
  /** Ends the child that has kept it waiting until now. */
  open(): Promise<void>
  children(): Promise<readonly string[]>
}

export async function parentIn(bench: Bench): Promise<Parent> {
  const flows = new FlowProducer(optionsOf(bench))
  bench.closeLater(() => flows.close())
  const { job, children = [] } = await flows.add({
    name: 'parent',
    queueName: 'parents',
    children: [{ name: 'gate', queueName: 'gates' }],
  })
  const gate = `${bench.prefix}:gates:${children[0]?.job.id}`
  const childrenOf = async () => ((await job.getDependencies()).unprocessed ?? []).filter(child => child !== gate)
  return {
    job,
    of: { id: job.id as string, queue: job.queueQualifiedName },
    open: async () => {
      const worker = new Worker('gates', async () => 'opened', optionsOf(bench))
      bench.closeLater(() => worker.close())
      await until(async () => gate in ((await job.getDependencies()).processed ?? {}))
    },
    children: childrenOf,
  }
}

/** What its children's runs have returned, once a parent is run. */
export function resultsIn(bench: Bench): Promise<readonly unknown[]> {
  return new Promise(resolve => {
    const take = async (job: Job) => resolve(Object.values(await job.getChildrenValues()))
    const worker = new Worker('parents', take, optionsOf(bench))
    bench.closeLater(() => worker.close())
  })
}
