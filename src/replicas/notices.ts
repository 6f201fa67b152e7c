import type { Transport } from '../remote/remote.ts'
import type { Signatures } from './signature.ts'

type Notice = {
  readonly member: string
  /** Path and query. */
  readonly target: string
  /** Milliseconds without an answer. */
  readonly maxWait: number
  readonly signal?: AbortSignal
}

/** Tells another replica something. False: it does not accept it now. Rejects if it does not answer. */
export type Notify = (notice: Notice) => Promise<boolean>

/** An earlier version answers 404 to a notice that it does not know; that is no failure. */
export function createNotify(signatures: Signatures, transport: Transport): Notify {
  return async ({ member, target, maxWait, signal }) => {
    const method = 'PUT'
    const url = new URL(`http://${member}${target}`)
    // As it is sent: a query may be written in several ways.
    const signed = { method, target: url.pathname + url.search, writer: '' } as const
    const answer = await transport.send({
      method,
      url,
      trust: 'own',
      headers: { authorization: signatures.sign(signed) },
      firstByte: maxWait,
      signal,
      // A kept-alive connection may break unnoticed, and this is sent only once.
      isFresh: true,
    })
    answer.drop()
    return answer.status < 500 && answer.status !== 401
  }
}
