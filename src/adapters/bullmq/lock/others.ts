import { type Queue, QueueKeys } from 'bullmq'
import { SoloistError } from '../../../index.js'
import { closeMade } from './connection.js'

/** Opens a queue with the connection of another one. */
export type Open = (name: string, prefix: string) => Queue

/** Any queues that jobs are looked for in, on one connection, which is opened when it is first needed. */
export class Others {
  readonly #open: Open
  #opened: Queue | null = null
  #closed = false

  constructor(open: Open) {
    this.#open = open
  }

  /**
   * A queue by its qualified name. Nothing is kept of it.
   *
   * @throws SoloistError `CLOSED`
   */
  of(qualifiedName: string): Queue {
    if (this.#closed) throw new SoloistError('CLOSED', 'this was closed, and looks for no more jobs')
    const colon = qualifiedName.lastIndexOf(':')
    const name = qualifiedName.slice(colon + 1)
    const prefix = qualifiedName.slice(0, Math.max(colon, 0))
    this.#opened ??= this.#open(name, prefix)
    return this.#opened.qualifiedName === qualifiedName ? this.#opened : sharing(this.#opened, name, prefix)
  }

  async close(): Promise<void> {
    this.#closed = true
    const opened = this.#opened
    if (opened !== null) await closeMade(opened, opened.opts.connection, () => opened.close())
  }
}

/** What of a queue depends on its version. */
interface Versions {
  /** BullMQ 5 has no backends, but scripts in each queue. */
  getBackend?(): ReturnType<Queue['getBackend']>
  createScripts?(): void
}

/** The queue of that name on the connection of another one, as a flow producer of BullMQ has one for each job. */
function sharing(opened: Queue, name: string, prefix: string): Queue {
  const backend = (opened as Versions).getBackend?.call(opened).forQueue(name, prefix)
  const keys = new QueueKeys(prefix)
  const own = {
    name,
    opts: { ...opened.opts, prefix },
    ...(backend === undefined
      ? {
          qualifiedName: keys.getQueueQualifiedName(name),
          keys: keys.getKeys(name),
          toKey: (type: string) => keys.toKey(name, type),
        }
      : {
          backend,
          qualifiedName: backend.qualifiedName,
          keys: backend.keys,
          toKey: (type: string) => backend.toKey(type),
        }),
    // Its listeners are those of the queue that has the connection.
    on: opened.on.bind(opened),
    emit: opened.emit.bind(opened),
    removeListener: opened.removeListener.bind(opened),
  }
  const queue: Queue = Object.assign(Object.create(opened), own)
  if (backend === undefined) (queue as Versions).createScripts?.call(queue)
  return queue
}
