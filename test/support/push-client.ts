import assert from 'node:assert/strict'
import { type Blob, family, type Image } from './images.ts'

export type PushClient = {
  /** Any request; `path` is below `/v2/`, or a Location. */
  send(method: string, path: string, init?: RequestInit): Promise<Response>
  /** Starts an upload session and returns its Location. */
  start(name: string): Promise<string>
  pushBlob(name: string, blob: Blob): Promise<void>
  putManifest(name: string, reference: string, image: Image): Promise<Response>
  /** Pushes an image or an index with everything below it, and points tags to it. */
  push(name: string, image: Image, ...tags: readonly string[]): Promise<void>
}

/** A client that pushes over HTTP. `login`: `user:password`. */
export function createPushClient(url: string, login?: string): PushClient {
  const authorization = login && `Basic ${Buffer.from(login).toString('base64')}`

  const send: PushClient['send'] = (method, path, init = {}) => {
    const headers = new Headers(init.headers)
    if (authorization !== undefined) headers.set('authorization', authorization)
    const target = new URL(path.startsWith('/') ? path : `/v2/${path}`, url)
    return fetch(target, { ...init, method, headers, redirect: 'manual' })
  }

  const start = async (name: string): Promise<string> => {
    const response = await send('POST', `${name}/blobs/uploads/`)
    assert.equal(response.status, 202, await response.text())
    return response.headers.get('location') ?? ''
  }

  const pushBlob = async (name: string, { digest, bytes }: Blob): Promise<void> => {
    const location = await start(name)
    const response = await send('PUT', `${location}?digest=${digest}`, {
      body: Uint8Array.from(bytes),
    })
    assert.equal(response.status, 201, await response.text())
  }

  const putManifest: PushClient['putManifest'] = (name, reference, { bytes, mediaType }) =>
    send('PUT', `${name}/manifests/${reference}`, {
      body: Uint8Array.from(bytes),
      headers: { 'content-type': mediaType },
    })

  return {
    send,
    start,
    pushBlob,
    putManifest,
    push: async (name, image, ...tags) => {
      for (const one of family(image).toReversed()) {
        for (const blob of one.blobs) await pushBlob(name, blob)
        const references = one === image && tags.length > 0 ? tags : [one.digest]
        for (const reference of references) {
          const response = await putManifest(name, reference, one)
          assert.equal(response.status, 201, await response.text())
        }
      }
    },
  }
}

/** The code of an OCI error body. */
export async function codeIn(response: Response): Promise<string | undefined> {
  const { errors } = (await response.json()) as { errors?: { code?: string }[] }
  return errors?.[0]?.code
}
