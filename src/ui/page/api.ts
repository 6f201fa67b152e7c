import type {
  Change,
  Comparison,
  Details,
  Eviction,
  Files,
  Manifest,
  Overview,
  Pin,
  Prefetch,
  Removal,
  RemovedTags,
  Repositories,
  Session,
  TaggedUsage,
  TagHistory,
  Tags,
  Unpinned,
  Usage,
  Why,
} from '../../api/answers.ts'

/** An error of the API, or of the way to it. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** 0 if there is no answer. */
  readonly status: number

  constructor(message: string, status: number) {
    super(message)
    this.status = status
  }
}

/** The page is at `ui/`, wherever a proxy has put it, and the API beside it. */
const base = new URL('../', document.baseURI)

/** Responses that `start.ts` has asked for, by their paths; each is used once. */
const { started } = globalThis as { started?: Map<string, Promise<Response | undefined>> }

/** Undefined also if the response is an error: a user may have logged in since. */
async function takeStarted(path: string): Promise<Response | undefined> {
  const taken = started?.get(path)
  started?.delete(path)
  const response = await taken
  return response?.ok ? response : undefined
}

type RequestOptions = {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly signal?: AbortSignal
}

async function request<Answer>(path: string, options: RequestOptions = {}): Promise<Answer> {
  const response = await send(path, options)
  try {
    return (await response.json()) as Answer
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw new ApiError(
      'The answer broke off, or came from a proxy in front of Berth instead of Berth.',
      response.status,
    )
  }
}

async function send(
  path: string,
  { method = 'GET', signal }: RequestOptions = {},
): Promise<Response> {
  const response =
    (await takeStarted(path)) ??
    (await fetch(new URL(path, base), {
      method,
      signal: signal ?? null,
      headers: method === 'POST' ? { 'content-type': 'application/json' } : {},
      ...(method === 'POST' && { body: '{}' }),
    }).catch((error: unknown) => {
      if (signal?.aborted) throw error
      throw new ApiError('Berth cannot be reached.', 0)
    }))
  signal?.throwIfAborted()
  if (!response.ok) throw await errorOf(response)
  return response
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '')
  try {
    const { detail, title } = JSON.parse(text) as { detail?: unknown; title?: unknown }
    const message = [detail, title].find((part) => typeof part === 'string')
    if (message !== undefined) return new ApiError(String(message), response.status)
  } catch {
    // Not the API's answer, but that of a proxy in front of it.
  }
  return new ApiError(`The answer was ${response.status} ${response.statusText}.`, response.status)
}

/** Slashes separate the parts of a name; other characters that are special in URLs are escaped. */
function segments(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}

function path(name: string, ...rest: readonly string[]): string {
  return `api/repositories/${segments(name)}/-/${rest.map(encodeURIComponent).join('/').replaceAll('%3A', ':')}`
}

function query(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const set = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '')
  return set.length === 0
    ? ''
    : `?${new URLSearchParams(set.map(([key, value]) => [key, String(value)]))}`
}

export type ComparedImage = { readonly name: string; readonly digest: string }

export type TagOrder = {
  readonly sort: 'name' | 'date' | 'size'
  readonly order: 'asc' | 'desc'
  readonly filter: string
}

type FilePlace = {
  readonly name: string
  readonly digest: string
  readonly path: string
  readonly layer: number | undefined
}

export const api = {
  session: (signal?: AbortSignal) => request<Session>('api/session', { ...(signal && { signal }) }),
  /** Makes the browser ask for a user and a password, another user than `not`. */
  login: (not?: string) =>
    request<Session>(
      `api/session${not === undefined ? '?login' : `?login&not=${encodeURIComponent(not)}`}`,
    ),
  overview: (signal: AbortSignal) => request<Overview>('api/overview', { signal }),
  repositories: (
    parameters: {
      readonly search?: string
      readonly prefix?: string
      readonly last?: string | undefined
    },
    signal: AbortSignal,
  ) => request<Repositories>(`api/repositories${query({ ...parameters, n: 1000 })}`, { signal }),
  usage: (prefix: string, signal: AbortSignal) =>
    request<Usage>(`api/usage${query({ prefix })}`, { signal }),
  taggedUsage: (name: string, offset: number, signal: AbortSignal) =>
    request<TaggedUsage>(`${path(name, 'usage')}${query({ offset, n: 1000 })}`, { signal }),
  why: (image: string, signal: AbortSignal) =>
    request<Why>(`api/why${query({ image })}`, { signal }),
  tags: (
    name: string,
    parameters: TagOrder & { readonly offset: number; readonly n: number },
    signal: AbortSignal,
  ) => request<Tags>(`${path(name, 'tags')}${query(parameters)}`, { signal }),
  manifest: (name: string, reference: string, signal: AbortSignal) =>
    request<Manifest>(path(name, 'manifests', reference), { signal }),
  details: (name: string, digest: string, signal: AbortSignal) =>
    request<Details>(path(name, 'details', digest), { signal }),
  /** What is at the path: a page of a directory, or a file. */
  files: (
    { name, digest, path: at, layer }: FilePlace,
    after: string | undefined,
    signal: AbortSignal,
  ) =>
    request<Files>(`${path(name, 'files', digest)}${query({ path: at, layer, after, n: 1000 })}`, {
      signal,
    }),
  /** The content of a file. */
  file: ({ name, digest, path: at, layer }: FilePlace, signal: AbortSignal) =>
    send(`${path(name, 'file', digest)}${query({ path: at, layer })}`, { signal }),
  /** What is read so far, if that takes longer than a second. */
  compare: (
    before: ComparedImage,
    after: ComparedImage,
    parameters: {
      readonly filter: string
      readonly change: Comparison['files'][number]['change'] | undefined
      readonly after: string | undefined
    },
    signal: AbortSignal,
  ) => {
    const toName = after.name === before.name ? undefined : after.name
    const asked = { to: after.digest, toName, ...parameters, n: 500, wait: 1 }
    return request<Comparison>(`${path(before.name, 'compare', before.digest)}${query(asked)}`, {
      signal,
    })
  },
  tagHistory: (name: string, tag: string, signal: AbortSignal) =>
    request<TagHistory>(path(name, 'tags', tag, 'history'), { signal }),
  removedTags: (name: string, signal: AbortSignal) =>
    request<RemovedTags>(path(name, 'removed-tags'), { signal }),
  undoTag: (name: string, tag: string, to: string) =>
    request<Change>(`${path(name, 'tags', tag, 'undo')}${query({ to })}`, { method: 'POST' }),
  removal: (name: string, reference: string) =>
    request<Removal>(`${removalPath(name, reference)}?dryRun`, { method: 'DELETE' }),
  /** `digest`: what the tag pointed to when it was looked at. */
  remove: (name: string, reference: string, digest: string | undefined) =>
    request<Removal>(
      `${removalPath(name, reference)}${reference.includes(':') ? '' : query({ digest })}`,
      { method: 'DELETE' },
    ),
  refresh: (name: string, tag: string) =>
    request<Change>(path(name, 'tags', tag, 'refresh'), { method: 'POST' }),
  /** Without platforms: all. */
  prefetch: (name: string, reference: string, platforms: readonly string[]) =>
    request<Prefetch>(
      `${path(name, 'prefetch', reference)}${query({ platform: platforms.join(',') })}`,
      { method: 'POST' },
    ),
  prefetchState: (name: string, digest: string) =>
    request<Prefetch>(path(name, 'prefetch', digest)),
  cancelPrefetch: (name: string, digest: string) =>
    request<Prefetch>(path(name, 'prefetch', digest), { method: 'DELETE' }),
  pin: (name: string, reference: string) =>
    request<Pin>(path(name, 'pin', reference), { method: 'POST' }),
  unpin: (name: string, reference: string) =>
    request<Unpinned>(path(name, 'pin', reference), { method: 'DELETE' }),
  evict: (name: string, reference: string, { dryRun = false } = {}) =>
    request<Eviction>(`${path(name, 'evict', reference)}${dryRun ? '?dryRun' : ''}`, {
      method: 'POST',
    }),
}

function removalPath(name: string, reference: string): string {
  return path(name, reference.includes(':') ? 'manifests' : 'tags', reference)
}
