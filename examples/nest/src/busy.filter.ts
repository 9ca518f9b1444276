import { type ArgumentsHost, Catch, ConflictException } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'
import { LockTimeoutError } from 'soloist'

/** Who waited for a lock for too long is told 409, not 500. */
@Catch(LockTimeoutError)
export class BusyFilter extends BaseExceptionFilter {
  override catch(error: LockTimeoutError, host: ArgumentsHost) {
    super.catch(new ConflictException(`${error.lockName} is busy`), host)
  }
}
