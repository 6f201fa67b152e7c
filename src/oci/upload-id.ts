import { randomUUID } from 'node:crypto'
import { RegistryError } from './errors.ts'

declare const brand: unique symbol

/** Names an upload session: a UUID, as Distribution names the session's directory. */
export type UploadId = string & { readonly [brand]: 'UploadId' }

const grammar = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function createUploadId(): UploadId {
  return parseUploadId(randomUUID())
}

export function isUploadId(text: string): text is UploadId {
  return grammar.test(text)
}

/** @throws RegistryError BLOB_UPLOAD_UNKNOWN: no session has such a name. */
export function parseUploadId(text: string): UploadId {
  if (!isUploadId(text))
    throw new RegistryError('BLOB_UPLOAD_UNKNOWN', {
      message: 'no such upload session: the last part of the path is not a session id',
    })
  return text
}
