import { ObjectStoreError, type PutResult, type WriteCondition } from '../store/store.ts'
import type { Attempted, createAttempts } from './attempts.ts'
import { headIn, unlessDenied } from './gcs-answers.ts'
import { GcsError, type GcsSend, readBytes } from './gcs-requests.ts'
import { maxWhole, readPart } from './parts.ts'

type Upload = {
  /** Answers with the URL of the session. */
  readonly start: () => ReturnType<GcsSend>
  readonly send: GcsSend
  readonly attempts: ReturnType<typeof createAttempts>
  /** In messages. */
  readonly what: Attempted
  readonly file: { readonly path: string; readonly size: number }
  readonly condition: WriteCondition | undefined
  readonly signal: AbortSignal | undefined
  readonly onAbandoned: (error: unknown) => void
}

/** `at`: bytes that the store has; or the end. */
type Progress = { readonly at: number } | PutResult

/** Google loses a session now and then, and says that the upload has to begin again. */
const maxSessions = 3

/**
 * A resumable upload: after a failure, the store says which bytes it has. Its session ends after a week
 * at the latest.
 */
export async function uploadInParts(upload: Upload): Promise<PutResult> {
  for (let count = 1; ; count += 1)
    try {
      return await uploadInSession(upload)
    } catch (error) {
      if (count === maxSessions || !isSessionLost(error)) throw error
    }
}

function isSessionLost(error: unknown): boolean {
  const cause = error instanceof ObjectStoreError && error.failure === 'failed' && error.cause
  return cause instanceof GcsError && (cause.status === 404 || cause.status === 410)
}

async function uploadInSession(upload: Upload): Promise<PutResult> {
  const { start, send, attempts, what, file, condition, signal, onAbandoned } = upload
  const started = await attempts.run(what, () => unlessDenied(condition, start), signal)
  if ('kind' in started) return started
  started.body.resume()
  const session = new URL(started.headers['location'] ?? '')

  const put = (range: string, bytes?: Buffer): Promise<Progress> =>
    unlessDenied(condition, async (): Promise<Progress> => {
      const answer = await send({
        method: 'PUT',
        path: session,
        headers: { 'content-range': `bytes ${range}/${file.size}` },
        ...(bytes && { body: [bytes] }),
        signal,
        accepts: [308],
      })
      const json = await readBytes(answer)
      if (answer.status !== 308) return { kind: 'created', version: headIn(json).version }
      const last = /-(\d+)$/.exec(answer.headers['range'] ?? '')?.[1]
      return { at: last === undefined ? 0 : Number(last) + 1 }
    })

  const putPart = async (from: number): Promise<Progress> => {
    const to = Math.min(from + maxWhole, file.size)
    const bytes = await readPart(file.path, { from, to })
    const hasMore = (progress: Progress) => 'kind' in progress || progress.at > from
    let isSent = false
    const attempt = async () => {
      const known = isSent ? await put('*') : undefined
      if (known !== undefined && hasMore(known)) return known
      isSent = true
      const progress = await put(`${from}-${to - 1}`, bytes)
      if (hasMore(progress)) return progress
      throw new GcsError({ failure: 'failed', why: 'a part was not stored', canRetry: true })
    }
    return attempts.run(what, attempt, signal)
  }

  try {
    for (let at = 0; ; ) {
      const progress = await putPart(at)
      if ('kind' in progress) return progress
      at = progress.at
    }
  } catch (error) {
    if (isSessionLost(error)) throw error
    // 499 says that it is canceled.
    await send({ method: 'DELETE', path: session, accepts: [404, 410, 499] }).then(
      (answer) => answer.body.resume(),
      onAbandoned,
    )
    throw error
  }
}
