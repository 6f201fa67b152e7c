import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseDigest } from '../oci/digest.ts'
import { type ErrorCode, isRegistryError, isThrottled, RegistryError } from '../oci/errors.ts'
import {
  parseReference,
  parseRepositoryName,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { Registry, SharedTag } from '../registry/registry.ts'
import type { Signatures } from './signature.ts'

/** Of an answer to a question for a tag. */
export const signatureHeader = 'berth-signature'

/** Path and query of a question for a tag. `origin`: the upstream's, as the replica that asks knows it. */
export function tagTarget(name: RepositoryName, tag: Tag, origin: string): string {
  return `/tags/${name}/${tag}?upstream=${encodeURIComponent(origin)}`
}

type TagMessage = Pick<SharedTag, 'age' | 'warning'> & {
  readonly digest?: string | undefined
  readonly error?: Pick<RegistryError, 'code' | 'message' | 'status' | 'retryAfter'> & {
    readonly isThrottled: boolean
  }
}

/** Answers questions for tags, with 404 if the asking replica has to ask the upstream itself. */
export function createAnswerTag(signatures: Signatures) {
  const answer = async (registry: Registry, { url = '', headers }: IncomingMessage) => {
    const [, name = '', tag = '', query] = /^\/tags\/(.+)\/([^/?]+)\?(.*)$/.exec(url) ?? []
    const reference = parseReference(tag)
    const { repository } = registry.resolve(parseRepositoryName(name))
    if (!('tag' in reference)) return undefined
    const origin = new URLSearchParams(query).get('upstream') ?? ''
    const found = await repository.resolveTag?.(reference.tag, origin)
    if (found === undefined) return undefined
    const body = JSON.stringify(messageOf(found))
    return { body, signature: signatures.signAnswer(headers.authorization ?? '', body) }
  }

  return (registry: Registry, request: IncomingMessage, response: ServerResponse): boolean => {
    if (!request.url?.startsWith('/tags/')) return false
    answer(registry, request).then(
      (found) => {
        if (found === undefined) return response.writeHead(404).end()
        const { body, signature } = found
        return response
          .writeHead(200, { 'content-type': 'application/json', [signatureHeader]: signature })
          .end(body)
      },
      (error: unknown) => response.writeHead(isRegistryError(error) ? error.status : 500).end(),
    )
    return true
  }
}

function messageOf({ digest, age, warning, error }: SharedTag): TagMessage {
  if (error === undefined) return { digest, age, warning }
  const { code, message, status, retryAfter } = error
  return { age, error: { code, message, status, retryAfter, isThrottled: isThrottled(error) } }
}

/** Undefined: it is a message of another version, for its signature is right. */
export function parseTag(body: string): SharedTag | undefined {
  try {
    const { digest, age, warning, error } = JSON.parse(body) as TagMessage
    if (!(age >= 0)) return undefined
    return {
      digest: digest === undefined ? undefined : parseDigest(digest),
      age,
      warning,
      error: error && errorOf(error),
    }
  } catch {
    return undefined
  }
}

function errorOf(error: NonNullable<TagMessage['error']>): RegistryError {
  const { code, message, status, retryAfter } = error
  return new RegistryError(code satisfies ErrorCode, {
    ...{ message, status },
    ...(retryAfter !== undefined && { retryAfter }),
    ...(error.isThrottled && { cause: new RegistryError('TOOMANYREQUESTS') }),
  })
}
