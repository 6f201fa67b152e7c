import type { Credentials } from '../credentials/credentials.ts'
import { isRegistryError } from '../oci/errors.ts'
import type { Admission, Entry } from './admission.ts'
import { UnconfirmedAnswer } from './faults.ts'
import type { LastDenial } from './last-denial.ts'
import type { OutgoingRequest, Sending } from './sending.ts'
import type { Answer } from './transport.ts'

/** Deadlines of a request and all its retries, on the monotonic clock in milliseconds. */
type Deadlines = Pick<Entry, 'until' | 'throttledUntil'>

export type AttemptRequest = Omit<OutgoingRequest, 'firstByte'> &
  Pick<Entry, 'kind' | 'client' | 'releaseSlot'> &
  Deadlines

type AttemptsOptions = {
  readonly credentials: Pick<Credentials, 'problem'>
  readonly admission: Admission
  readonly sending: Sending
  readonly lastDenial: LastDenial
}

/** Sends a request once, when `admission` permits it, and records the result. */
export type SendOnce = (request: AttemptRequest) => Promise<Answer>

/** The slot is released when the body has been read or dropped, or when the attempt fails. */
export function createSendOnce(options: AttemptsOptions): SendOnce {
  const { credentials, admission, sending, lastDenial } = options

  const record = (error: unknown, { repository, access = 'pull' }: AttemptRequest): void => {
    // An identity that may not write may still read.
    if (access !== 'pull') return
    // The credential source reports its own failures while they last.
    if (isRegistryError(error, 'DENIED') && error.message !== credentials.problem())
      lastDenial.denied(repository, error.message)
    if (error instanceof UnconfirmedAnswer) lastDenial.denied(repository, error.message)
  }

  return async (request) => {
    const permit = await admission.admit(request)
    try {
      const firstByte = Math.max(request.until - performance.now(), 1)
      const answer = await sending.send({ ...request, firstByte })
      lastDenial.allowed(request.repository)
      permit.answered(answer.settled)
      return answer
    } catch (error) {
      if (request.signal?.aborted) permit.abandoned()
      else permit.failed(error)
      record(error, request)
      throw error
    }
  }
}
