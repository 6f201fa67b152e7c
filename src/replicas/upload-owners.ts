import { hash } from 'node:crypto'
import type { Chunks } from '../memory/memory.ts'
import { type Transport, UpstreamFailure } from '../remote/remote.ts'
import type { Logger } from '../telemetry/telemetry.ts'
import type { Members } from './members.ts'
import { rejected } from './replica-origin.ts'
import type { Signatures } from './signature.ts'

type Forwarded = {
  readonly method: string
  readonly target: string
  readonly writer: string
  readonly headers: Readonly<Record<string, string>>
  readonly body:
    | { readonly size: number | undefined; readonly chunks: AsyncIterable<Chunks> }
    | undefined
}

type UploadOwnersOptions = {
  readonly members: Members
  readonly signatures: Signatures
  readonly transport: Transport
  readonly log: Logger
}

/** Requests for upload sessions that belong to other replicas. */
export function createUploadOwners(options: UploadOwnersOptions) {
  const { members, signatures, transport, log } = options
  return {
    own: nameOf(members.own),
    /** Undefined: no replica of that name can be reached. */
    send: async (owner: string, { method, target, writer, headers, body }: Forwarded) => {
      const member = members.all().find((each) => nameOf(each) === owner)
      if (member === undefined || !isUploadMethod(method)) return undefined
      const url = new URL(`http://${member}${target}`)
      // As it is sent: a query may be written in several ways.
      const signed = { method, target: url.pathname + url.search, writer }
      const authorization = signatures.sign(signed)
      try {
        const answer = await transport.send({
          method,
          url,
          trust: 'own',
          headers: { ...headers, authorization },
          body,
          isPatient: true,
          // A kept-alive connection may break unnoticed, and this is sent only once.
          isFresh: true,
        })
        // Neither is the answer of a registry: 408 is that of a listener which did not receive the whole head.
        if (answer.status !== 401 && answer.status !== 408) return answer
        answer.drop()
        const err = answer.status === 401 ? rejected(member) : undefined
        log.warn(
          { replica: member, status: answer.status, err },
          'cannot continue an upload at another replica',
        )
        return undefined
      } catch (error) {
        if (error instanceof UpstreamFailure && error.fault === 'unreachable') return undefined
        throw error
      }
    },
  }
}

const methods = ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'] as const

function isUploadMethod(method: string): method is (typeof methods)[number] {
  return (methods as readonly string[]).includes(method)
}

/** For Locations, which shall not tell clients the addresses of pods. */
function nameOf(member: string): string {
  return hash('sha256', member).slice(0, 12)
}
