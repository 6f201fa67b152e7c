import { readRegularFile } from '../oci/regular-file.ts'
import type { Logger } from '../telemetry/telemetry.ts'

/**
 * Between looks, in milliseconds. A watch would miss the way in which Kubernetes swaps a volume's
 * directory.
 */
const lookEvery = 1000

export interface Followed {
  /** Whether what the files say now could be used; if not, what they said before is in force. */
  isFresh(): boolean
  close(): Promise<void>
}

type FollowOptions = {
  readonly files: readonly string[]
  /** What the files said when `use` last succeeded. */
  readonly initial: readonly string[]
  /**
   * Takes the texts, in the order of the files. Rejects when they cannot be used: they are tried
   * again once they change.
   */
  readonly use: (texts: readonly string[]) => Promise<void> | void
  readonly log: Logger
}

/**
 * Looks at files that belong together, and hands them over when they have changed. By content:
 * times lie.
 */
export function followFiles({ files, initial, use, log }: FollowOptions): Followed {
  let used = initial.join('\0')
  let refused: string | undefined
  let looking = Promise.resolve()

  const look = async (): Promise<void> => {
    const texts = await Promise.all(files.map((file) => readRegularFile(file))).catch(
      (error: unknown) => refuse(String(error), error),
    )
    const text = texts?.join('\0')
    if (texts === undefined || text === used || text === refused) {
      if (text === used) refused = undefined
      return
    }
    try {
      await use(texts)
      used = text ?? ''
      refused = undefined
      log.info({ files }, 'files changed and are in force')
    } catch (error) {
      refuse(text ?? '', error)
    }
  }

  const refuse = (what: string, err: unknown): undefined => {
    if (refused !== what)
      log.error(
        { files, err },
        'files changed and cannot be used; what they said before stays in force',
      )
    refused = what
  }

  const timer = setInterval(() => {
    looking = looking.then(look)
  }, lookEvery)
  timer.unref()

  return {
    isFresh: () => refused === undefined,
    close: async () => {
      clearInterval(timer)
      await looking
    },
  }
}
