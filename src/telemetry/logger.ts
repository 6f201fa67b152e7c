import { constants, fstatSync, openSync } from 'node:fs'
import { type DestinationStream, destination, type LogFn, type Logger as Pino, pino } from 'pino'
import { createLines } from './lines.ts'
import { redact } from './redact.ts'

const secretFields = [
  'authorization',
  'password',
  'token',
  'secret',
  'cookie',
  'proxy-authorization',
]

/** Maximum depth of the logged chain of causes. */
const maxCauses = 5

/**
 * Writes the line of a request at level info, as `log.info(fields, 'request')` would. `fields` are members of a JSON
 * object, without braces; none of them has a secret. Most lines are such lines, so they do not pass through pino.
 */
export type LogRequest = (fields: string) => void

type LoggerOptions = { readonly level: string; readonly output?: DestinationStream | undefined }

/**
 * Lines are written in batches, by bytes and milliseconds. Without a reader, lines beyond `maxRequestSize`
 * bytes are dropped.
 */
const batch = {
  minLength: 16 * 1024 - 1,
  periodicFlush: 200,
  maxLength: 4 * 1024 * 1024,
  sync: false,
  contentMode: 'buffer',
} as const

/** Maximum time to flush the log at exit, in milliseconds. */
const flushTimeout = 1000

/**
 * JSON lines on standard output. Of errors only name, code and message are logged, because libraries attach
 * requests with their headers to errors. Serializers redact fields with the name of a secret; pino's
 * `redact` option would double the cost of a line.
 */
export function createLogger({ level, output = standardOutput() }: LoggerOptions): {
  readonly log: Pino
  readonly logRequest: LogRequest
  readonly end: () => Promise<void>
} {
  const hidden = secretFields.map((field) => [field, () => '[redacted]'])
  const log = pino(
    {
      level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { logMethod: withMessage },
      serializers: { ...Object.fromEntries(hidden), err: (error: unknown) => describe(error, 0) },
    },
    output,
  )
  const hasRequests = log.isLevelEnabled('info')
  return {
    log,
    logRequest: (fields) => {
      if (hasRequests)
        output.write(`{"level":"info","time":${Date.now()},${fields},"msg":"request"}\n`)
    },
    end: () => endOf(log, output),
  }
}

/**
 * The danger: a pipe without a reader blocks the thread that writes to it, and a process does not exit
 * before its threads do. So a pipe is opened again with O_NONBLOCK.
 *
 * A log that cannot be written, such as a file on a full disk, ends no process: lines wait, and are
 * dropped beyond `maxLength`.
 */
function standardOutput(): DestinationStream {
  return createLines(destination({ dest: nonBlocking(1), ...batch }).on('error', () => {}))
}

function nonBlocking(descriptor: number): number {
  if (!fstatSync(descriptor).isFIFO()) return descriptor
  try {
    return openSync(`/dev/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // The pipe belongs to another user.
    return descriptor
  }
}

/** Flushes the log, or drops the rest at a timeout: pino would retry forever. */
async function endOf(log: Pino, output: DestinationStream): Promise<void> {
  const flushed = Promise.withResolvers<void>()
  const timer = setTimeout(flushed.resolve, flushTimeout)
  log.flush(() => flushed.resolve())
  await flushed.promise
  clearTimeout(timer)
  if ('destroy' in output && typeof output.destroy === 'function') output.destroy()
}

/** Without a message, pino would log the error's message without redaction. */
function withMessage(this: Pino, args: Parameters<LogFn>, method: LogFn): void {
  const [first, ...rest]: readonly unknown[] = args
  const message = typeof first === 'string' || rest.length > 0 ? rest : ['error']
  Reflect.apply(method, this, [first instanceof Error ? { err: first } : first, ...message])
}

function describe(error: unknown, depth: number): unknown {
  if (!(error instanceof Error)) return redact(String(error))
  const { name, message, cause } = error
  return {
    type: name,
    ...('code' in error && { code: String(error.code) }),
    message: redact(message),
    ...(cause !== undefined && depth < maxCauses && { cause: describe(cause, depth + 1) }),
    ...(isProgrammingError(error) && { stack: redact(error.stack ?? '') }),
  }
}

/** Only bugs of ours need a stack; that of a refused connection is useless. */
function isProgrammingError(error: Error): boolean {
  return (
    error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
  )
}
