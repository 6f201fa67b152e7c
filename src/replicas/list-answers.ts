import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { parseDigest } from '../oci/digest.ts'
import { isTag, parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { ListRequest, Registry, SharedList } from '../registry/registry.ts'
import type { Signatures } from './signature.ts'
import { signatureHeader } from './tag-answers.ts'

const path = '/lists/'

/** Path and query of a question for a list. `origin`: the upstream's, as the replica that asks knows it. */
export function listTarget(name: RepositoryName, asked: ListRequest, origin: string): string {
  const query = new URLSearchParams({ upstream: origin })
  if ('digest' in asked) query.set('digest', asked.digest)
  else {
    const { n, last } = asked.page
    if (n !== undefined) query.set('n', String(n))
    if (last !== undefined) query.set('last', last)
  }
  return `${path}${name}?${query}`
}

/** Answers questions for lists, with 404 if the asking replica has to ask the upstream itself. False: it is another request. */
export function createAnswerList(signatures: Signatures) {
  return (registry: Registry, request: IncomingMessage, response: ServerResponse): boolean => {
    const { url = '', headers } = request
    if (!url.startsWith(path)) return false
    const absent = () => response.writeHead(404).end()
    find(registry, url).then((found) => {
      if (found === undefined) return absent()
      const { list, age } = found
      const body = JSON.stringify({ list, age })
      const signature = signatures.signAnswer(headers.authorization ?? '', body)
      return response
        .writeHead(200, { 'content-type': 'application/json', [signatureHeader]: signature })
        .end(body)
      // An error of the upstream is its answer to this replica alone.
    }, absent)
    return true
  }
}

async function find(registry: Registry, url: string): Promise<SharedList | undefined> {
  const { pathname, searchParams } = new URL(url, 'http://replica')
  const { repository } = registry.resolve(parseRepositoryName(pathname.slice(path.length)))
  const digest = searchParams.get('digest')
  const n = searchParams.get('n')
  const last = searchParams.get('last') ?? undefined
  const page = { n: n === null ? undefined : Number(n), last }
  const asked = digest === null ? { page } : { digest: parseDigest(digest) }
  return repository.share?.(asked, searchParams.get('upstream') ?? '')
}

const size = z.number().min(0)
const schema = z.object({
  age: size,
  list: z.union([
    z.object({
      tags: z.array(z.string().refine(isTag)),
      next: z.string().exactOptional(),
      size,
    }),
    z.object({ descriptors: z.array(z.unknown()), size, isTagged: z.boolean() }),
  ]),
})

/** Undefined: it is a message of another version, for its signature is right. */
export function parseList(body: string): SharedList | undefined {
  try {
    return schema.parse(JSON.parse(body))
  } catch {
    return undefined
  }
}
