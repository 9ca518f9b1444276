// A semaphore lets two at a time in; of a read/write lock, readers are together and the writer is alone.
import { connect } from 'soloist'

const solo = connect(process.argv[2] ?? 'memory:')
const pause = () => new Promise(resolve => setTimeout(resolve, 20))

let inside = 0
let most = 0
const visit = async () => {
  most = Math.max(most, ++inside)
  await pause()
  inside -= 1
}

const gpus = solo.semaphore('gpu', 2)
await Promise.all(Array.from({ length: 6 }, () => gpus.withLock(visit)))
console.log(`most at a time with a semaphore of 2: ${most}`)

const config = solo.rwLock('config')
most = 0
await Promise.all(Array.from({ length: 3 }, () => config.read.withLock(visit)))
console.log(`readers at a time: ${most}`)
most = 0
await Promise.all(Array.from({ length: 3 }, () => config.write.withLock(visit)))
console.log(`writers at a time: ${most}`)
await solo.close()
