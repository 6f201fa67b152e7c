import { type Blob, family, type Image } from './images.ts'

/** A response, with its body read. */
export type Pushed = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** How a client sends a blob: as containerd, as docker and podman, or in one request. */
export type Manner = 'put' | 'patch' | 'post'

type Options = {
  readonly body?: Buffer | ReadableStream
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** A client that pushes, as one user. Nothing is retried, and every status is returned. */
export interface Pusher {
  send(method: string, path: string, options?: Options): Promise<Pushed>
  /** The path of a new upload session. */
  session(name: string): Promise<string>
  blob(name: string, blob: Blob, manner?: Manner): Promise<Pushed>
  manifest(name: string, reference: string, image: Image): Promise<Pushed>
  /** Blobs, children and the image itself. @throws Error what was not accepted. */
  image(name: string, tag: string, image: Image, manner?: Manner): Promise<void>
}

export function createPusher(
  url: string,
  login?: { readonly user: string; readonly password: string },
): Pusher {
  const authorization =
    login && `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`

  const send: Pusher['send'] = async (method, path, { body, headers, signal } = {}) => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { ...(authorization && { authorization }), ...headers },
      redirect: 'manual',
      ...(body && { body, duplex: 'half' }),
      ...(signal && { signal }),
    })
    const { status } = response
    return { status, headers: response.headers, text: await response.text() }
  }

  const accepted = (what: string, { status, text, headers }: Pushed): Headers => {
    if (status >= 300) throw new Error(`${what}: ${status} ${text}`)
    return headers
  }

  const session = async (name: string): Promise<string> => {
    const started = await send('POST', `/v2/${name}/blobs/uploads/`)
    return accepted(`upload to ${name}`, started).get('location') ?? ''
  }

  const octets = { 'content-type': 'application/octet-stream' }
  const blob: Pusher['blob'] = async (name, { digest, bytes }, manner = 'put') => {
    if (manner === 'post')
      return send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, {
        body: bytes,
        headers: octets,
      })
    const location = await session(name)
    if (manner === 'put')
      return send('PUT', `${location}?digest=${digest}`, { body: bytes, headers: octets })
    const patched = await send('PATCH', location, { body: streamOf(bytes), headers: octets })
    accepted(`PATCH of ${digest}`, patched)
    return send('PUT', `${location}?digest=${digest}`)
  }

  const manifest: Pusher['manifest'] = (name, reference, { bytes, mediaType }) =>
    send('PUT', `/v2/${name}/manifests/${reference}`, {
      body: bytes,
      headers: { 'content-type': mediaType },
    })

  return {
    send,
    session,
    blob,
    manifest,
    image: async (name, tag, image, manner) => {
      for (const member of family(image).toReversed()) {
        for (const each of member.blobs)
          accepted(`blob ${each.digest}`, await blob(name, each, manner))
        const reference = member === image ? tag : member.digest
        accepted(`manifest ${reference}`, await manifest(name, reference, member))
      }
    },
  }
}

/** Of unknown length, in pieces. */
function streamOf(bytes: Buffer): ReadableStream {
  let at = 0
  return new ReadableStream({
    pull: (controller) => {
      if (at >= bytes.length) return controller.close()
      controller.enqueue(bytes.subarray(at, at + 50_000))
      at += 50_000
    },
  })
}
