// Starts an application of Nest with a cron job, where croner is not installed. Prints as JSON what it says.
const { Module, SetMetadata } = require('@nestjs/common')
const { NestFactory } = require('@nestjs/core')
const { OncePerTick, SoloistModule } = require('soloist/nest')

class Reports {
  async send() {}
}
const descriptor = Object.getOwnPropertyDescriptor(Reports.prototype, 'send')
// What `@Cron` of @nestjs/schedule notes.
SetMetadata('SCHEDULE_CRON_OPTIONS', { cronTime: '* * * * *' })(Reports.prototype, 'send', descriptor)
OncePerTick()(Reports.prototype, 'send', descriptor)
Object.defineProperty(Reports.prototype, 'send', descriptor)

class AppModule {}
Module({ imports: [SoloistModule.forRoot({ store: 'memory:' })], providers: [Reports] })(AppModule)

NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false }).then(
  () => console.log('{}'),
  ({ code, message }) => console.log(JSON.stringify({ code, message })),
)
