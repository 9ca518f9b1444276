// Applications of Nest on a store in memory. Decorators are called by hand: the tests are no TypeScript that Nest knows.
import 'reflect-metadata'
import { type INestApplicationContext, Module, type ModuleMetadata, SetMetadata, type Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { type MemoryStore, memoryBackend } from 'soloist'
import { SoloistModule, type SoloistModuleOptions } from 'soloist/nest'

// biome-ignore lint/suspicious/noExplicitAny: a decorator's own types are checked by the consumers
export type AnyDecorator = (...place: any[]) => unknown

/** Decorates a method as a compiler does: the last one that is named first. */
export function decorate(type: Type, key: string, ...decorators: AnyDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, key)
  for (const decorator of decorators.reverse()) decorator(type.prototype, key, descriptor)
  if (descriptor !== undefined) Object.defineProperty(type.prototype, key, descriptor)
}

/** What `@Cron` of `@nestjs/schedule` notes of a method. */
export const Cron = (cronTime: unknown, options: object = {}): AnyDecorator =>
  SetMetadata('SCHEDULE_CRON_OPTIONS', { ...options, cronTime })

/** Starts an application, which is closed by who started it. */
export async function start(metadata: ModuleMetadata): Promise<INestApplicationContext & AsyncDisposable> {
  class AppModule {}
  Module(metadata)(AppModule)
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false })
  return Object.assign(app, { [Symbol.asyncDispose]: () => app.close() })
}

/** A module on a store that other applications may share. */
export const sharing = (store: MemoryStore, options: SoloistModuleOptions = {}) =>
  SoloistModule.forRootAsync({ useFactory: () => ({ store: memoryBackend({ store }), ...options }) })
