import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

/** Where a question is asked; default: stdin, and stderr, since stdout is for results. */
export interface Desk {
  readonly input: Readable
  readonly output: Writable
}

/** Whether the answer is yes: `y` or `yes`. Everything else is no, as are the end of the input and Ctrl-C. */
export function confirm(
  question: string,
  { input, output }: Desk = { input: process.stdin, output: process.stderr },
): Promise<boolean> {
  const desk = createInterface({ input, output })
  return new Promise(resolve => {
    let answered = false
    desk.once('close', () => {
      if (!answered) output.write('\n')
      resolve(false)
    })
    desk.question(question, answer => {
      answered = true
      resolve(/^y(es)?$/i.test(answer.trim()))
      desk.close()
    })
  })
}
