import { readRegularFile } from './regular-file.ts'

/**
 * Milliseconds between two reads. Polling, because a watch misses how Kubernetes replaces a volume's
 * directory.
 */
const pollInterval = 1000

export interface FollowedFiles {
  /** Why the current content is not in force, but the content before it; undefined: it is in force. */
  problem(): string | undefined
  close(): Promise<void>
}

type Log = Readonly<Record<'info' | 'error', (fields: object, message: string) => void>>

type FollowOptions = {
  readonly files: readonly string[]
  /** The content of the files when `use` last succeeded. */
  readonly initial: readonly string[]
  /**
   * Receives the texts in the order of the files. Rejects when they are invalid: the next call is then
   * after their next change.
   */
  readonly use: (texts: readonly string[]) => Promise<void> | void
  readonly log: Log
}

/**
 * Polls files that belong together, such as a certificate and its key, and passes them on when their
 * content has changed. Compares content, because modification times are not reliable.
 */
export function followFiles({ files, initial, use, log }: FollowOptions): FollowedFiles {
  let inForce = initial.join('\0')
  let rejected: { readonly content: string; readonly reason: string } | undefined
  let polling = Promise.resolve()

  const poll = async (): Promise<void> => {
    const texts = await Promise.all(files.map((file) => readRegularFile(file))).catch(
      (error: unknown) => reject(String(error), error),
    )
    const text = texts?.join('\0')
    if (texts === undefined || text === inForce || text === rejected?.content) {
      if (text === inForce) rejected = undefined
      return
    }
    try {
      await use(texts)
      inForce = text ?? ''
      rejected = undefined
      log.info({ files }, 'files changed: the new content is in force')
    } catch (error) {
      reject(text ?? '', error)
    }
  }

  const reject = (content: string, err: unknown): undefined => {
    if (rejected?.content !== content)
      log.error(
        { files, err },
        'files changed but cannot be used: the previous content stays in force',
      )
    rejected = { content, reason: err instanceof Error ? err.message : String(err) }
  }

  const timer = setInterval(() => {
    polling = polling.then(poll)
  }, pollInterval)
  timer.unref()

  return {
    problem: () =>
      rejected &&
      `the changed file cannot be used, so its previous content is in force: ${rejected.reason}`,
    close: async () => {
      clearInterval(timer)
      await polling
    },
  }
}
