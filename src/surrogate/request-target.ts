/** What a request of the distribution protocol does, and where. */
export type RequestTarget = {
  /** Empty: the registry as a whole. */
  readonly repository: string
  readonly access: 'pull' | 'push' | 'delete'
  readonly mountFrom?: string
  readonly isCatalog?: boolean
  /** Of an upload session, the part of the path after `uploads/`. */
  readonly session?: string
}

const methods = ['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE'] as const
export type Method = (typeof methods)[number]

/** A name as in distribution-spec, "Pulling manifests". */
const name = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*'
const inRepository = new RegExp(
  `^/v2/(${name})/(?:blobs/uploads/([^/]*)|(?:blobs|manifests|referrers)/[^/]+|tags/list)$`,
)
const maxName = 255

export function isMethod(text: string | undefined): text is Method {
  return methods.some((method) => method === text)
}

/** Undefined: it is no request of the distribution protocol. */
export function targetOf(method: Method, url: URL): RequestTarget | undefined {
  const { pathname, searchParams } = url
  // A proxy in front of the registry may take it for the end of a name.
  if (/%2f|%5c/i.test(pathname)) return undefined
  const isRead = method === 'GET' || method === 'HEAD'
  if (pathname === '/v2/' || pathname === '/v2')
    return isRead ? { repository: '', access: 'pull' } : undefined
  if (pathname === '/v2/_catalog')
    return isRead ? { repository: '', access: 'pull', isCatalog: true } : undefined
  const [, repository, session] = inRepository.exec(pathname) ?? []
  if (repository === undefined || repository.length > maxName) return undefined
  const mountFrom = method === 'POST' ? searchParams.get('from') : null
  return {
    repository,
    access: accessOf(method, session !== undefined),
    ...(mountFrom !== null && new RegExp(`^${name}$`).test(mountFrom) && { mountFrom }),
    ...(session !== undefined && { session }),
  }
}

/** An upload session is read and ended with the right to push. */
function accessOf(method: Method, isUpload: boolean): RequestTarget['access'] {
  if (isUpload) return 'push'
  if (method === 'DELETE') return 'delete'
  return method === 'GET' || method === 'HEAD' ? 'pull' : 'push'
}
