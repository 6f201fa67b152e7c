import { createHmac, timingSafeEqual } from 'node:crypto'

/** In seconds: how far the clocks of two replicas may be apart, and how long a signature is valid. */
const maxAge = 300
const minSecretLength = 16

/** What a signature covers: the request line, and whom the request is for. */
type Signed = {
  readonly method: string
  readonly target: string
  /** Empty: for the replica itself. */
  readonly writer: string
}

/** `Authorization` of requests between replicas. The secret itself is never sent. */
export interface Signatures {
  sign(request: Signed): string
  /** The writer; undefined: no replica with one of the secrets has sent this now. */
  verify(
    authorization: string | undefined,
    request: Omit<Signed, 'writer'>,
  ): { readonly writer: string } | undefined
  /** @throws Error as `createSignatures` does. */
  use(file: string): void
}

const grammar = /^Berth-Replica (\d{1,12}) ([\w-]*) ([\w-]{43})$/

/**
 * One secret on each line of `file`: the first signs, all verify, so that a secret can be replaced while
 * replicas see the change at different times.
 * @throws Error if there is none, or if one is too short
 */
export function createSignatures(file: string, now: () => number): Signatures {
  let secrets = parseSecrets(file)
  const seconds = () => Math.floor(now() / 1000)

  return {
    sign: (request) => {
      const time = String(seconds())
      const writer = Buffer.from(request.writer).toString('base64url')
      const signature = signatureOf(secrets[0] ?? '', request, time).toString('base64url')
      return `Berth-Replica ${time} ${writer} ${signature}`
    },

    verify: (authorization, request) => {
      const [, time = '', , given = ''] = grammar.exec(authorization ?? '') ?? []
      if (given === '' || Math.abs(seconds() - Number(time)) > maxAge) return undefined
      const writer = writerIn(authorization)
      const bytes = Buffer.from(given, 'base64url')
      const isValid = secrets.some((secret) =>
        timingSafeEqual(signatureOf(secret, { ...request, writer }, time), bytes),
      )
      return isValid ? { writer } : undefined
    },

    use: (changed) => {
      secrets = parseSecrets(changed)
    },
  }
}

/** Whom the request is for, of one that was verified. */
export function writerIn(authorization: string | undefined): string {
  const [, , encoded = ''] = grammar.exec(authorization ?? '') ?? []
  return Buffer.from(encoded, 'base64url').toString()
}

function signatureOf(secret: string, { method, target, writer }: Signed, time: string): Buffer {
  return createHmac('sha256', secret).update([method, target, writer, time].join('\n')).digest()
}

function parseSecrets(file: string): readonly string[] {
  const secrets = file.split('\n').flatMap((line) => line.trim() || [])
  if (secrets.length === 0) throw new Error('the file has no secret')
  if (secrets.some(({ length }) => length < minSecretLength))
    throw new Error(`a secret has less than ${minSecretLength} characters`)
  return secrets
}
