// One instance of an application of Nest whose methods are called very often at once. Arguments: the store's URL, and a file
// with a number.
import 'reflect-metadata'
import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { currentRun, jobOf, Locked, Singleton, SoloistModule } from 'soloist/nest'
import { answer } from '../../support/crowd-member.js'

const [url, file] = process.argv.slice(2)

/** Longer than a busy machine holds a process up, and short for who waits for one that was killed. */
const TTL_MS = 10_000

class Counter {
  seen = []
  async add() {
    const count = Number(await readFile(file, 'utf8'))
    await sleep(0)
    await writeFile(file, String(count + 1))
  }
  async report({ id }) {
    this.seen.push(currentRun().id)
    await sleep(20)
    return id
  }
}
const decorated = (key, decorator) => {
  const descriptor = Object.getOwnPropertyDescriptor(Counter.prototype, key)
  decorator(Counter.prototype, key, descriptor)
  Object.defineProperty(Counter.prototype, key, descriptor)
}
decorated('add', Locked('counter', { ttlMs: TTL_MS }))
decorated('report', Singleton({ name: 'report', ttlMs: TTL_MS }))

class AppModule {}
Module({ imports: [SoloistModule.forRoot({ store: url, callTimeoutMs: TTL_MS })], providers: [Counter] })(AppModule)
const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false })
const counter = app.get(Counter)

answer({
  /** Adds 1 so often. */
  async add(calls) {
    await Promise.all(Array.from({ length: calls }, () => counter.add()))
  },
  /** Triggers the one report so often, and tells which runs there were and what the calls came to. */
  async report(calls) {
    const triggers = await Promise.all(Array.from({ length: calls }, () => jobOf(counter, 'report').trigger({ id: 7 })))
    const results = await Promise.all(triggers.map(trigger => trigger.result()))
    return { runs: counter.seen.splice(0), ids: triggers.map(({ id }) => id), results }
  },
  /** Begins to add for ever. */
  addForEver() {
    const next = () => void counter.add().then(next)
    next()
  },
})
