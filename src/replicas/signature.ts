import { createHmac, timingSafeEqual } from 'node:crypto'

/** In seconds: how far the clocks of two replicas may be apart, and how long a signature is valid. */
const maxAge = 300
const minSecretLength = 16

/** The address of the replica that asks. */
export const askingHeader = 'berth-replica'

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
  /** Of the body that answers a request with this authorization, and no other. */
  signAnswer(authorization: string, body: string): string
  isAnswer(authorization: string, body: string, signature: string | undefined): boolean
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
  const isValid = (given: string, lines: readonly string[]): boolean => {
    const bytes = Buffer.from(given, 'base64url')
    return secrets.some((secret) => {
      const signature = signatureOf(secret, lines)
      return signature.length === bytes.length && timingSafeEqual(signature, bytes)
    })
  }

  return {
    sign: (request) => {
      const time = String(seconds())
      const writer = Buffer.from(request.writer).toString('base64url')
      const signature = signatureOf(secrets[0], linesOf(request, time)).toString('base64url')
      return `Berth-Replica ${time} ${writer} ${signature}`
    },

    verify: (authorization, request) => {
      const [, time = '', , given = ''] = grammar.exec(authorization ?? '') ?? []
      if (given === '' || Math.abs(seconds() - Number(time)) > maxAge) return undefined
      const writer = writerIn(authorization)
      return isValid(given, linesOf({ ...request, writer }, time)) ? { writer } : undefined
    },

    signAnswer: (authorization, body) =>
      signatureOf(secrets[0], ['answer', authorization, body]).toString('base64url'),
    isAnswer: (authorization, body, signature = '') =>
      isValid(signature, ['answer', authorization, body]),

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

function linesOf({ method, target, writer }: Signed, time: string): readonly string[] {
  return [method, target, writer, time]
}

function signatureOf(secret = '', lines: readonly string[]): Buffer {
  return createHmac('sha256', secret).update(lines.join('\n')).digest()
}

function parseSecrets(file: string): readonly string[] {
  const secrets = file.split('\n').flatMap((line) => line.trim() || [])
  if (secrets.length === 0) throw new Error('the file has no secret')
  if (secrets.some(({ length }) => length < minSecretLength))
    throw new Error(`a secret has less than ${minSecretLength} characters`)
  return secrets
}
