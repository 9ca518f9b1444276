import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const CALLER = fileURLToPath(new URL('caller.js', import.meta.url))

/** One contender, in one or several processes of its own, so that none is measured with what another left in the engine. */
export class Crew {
  /** @type {string} */
  name
  /** @type {import('node:child_process').ChildProcess[]} */
  #processes = []

  /** @param {string} name */
  constructor(name) {
    this.name = name
  }

  /** @param {string} name @param {string} url of the store @param {number} processes */
  static async start(name, url, processes = 1) {
    const crew = new Crew(name)
    crew.#processes = Array.from({ length: processes }, () =>
      fork(CALLER, [name, url], { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
    )
    await Promise.all(crew.#processes.map(child => answerOf(child)))
    return crew
  }

  /**
   * Lets every process measure the same at the same time.
   *
   * @param {string} measure @param {object | ((process: number) => object)} options @returns {Promise<any[]>}
   */
  async measure(measure, options) {
    return await Promise.all(
      this.#processes.map(async (child, i) => {
        const answer = answerOf(child)
        child.send({ measure, options: typeof options === 'function' ? options(i) : options })
        return await answer
      }),
    )
  }

  async stop() {
    await Promise.all(
      this.#processes.map(async child => {
        const exited = once(child, 'exit')
        child.disconnect()
        await exited
      }),
    )
  }
}

/** The next message of a process; a process that ends instead fails the run. @param {import('node:child_process').ChildProcess} child */
export async function answerOf(child) {
  const ended = new AbortController()
  const early = once(child, 'exit', { signal: ended.signal }).then(
    ([code]) => Promise.reject(new Error(`a process of the benchmark ended with ${code}`)),
    error => Promise.reject(error),
  )
  early.catch(() => {
    // Told by the race below, or called off with it.
  })
  try {
    const [answer] = await Promise.race([once(child, 'message'), early])
    return answer
  } finally {
    ended.abort()
  }
}
