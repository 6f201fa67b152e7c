import { constants, fstatSync, openSync } from 'node:fs'
import { type DestinationStream, destination, type LogFn, type Logger as Pino, pino } from 'pino'
import { redact } from './redact.ts'

const secretFields = [
  'authorization',
  'password',
  'token',
  'secret',
  'cookie',
  'proxy-authorization',
]

/** How much of an error's chain of causes is told. */
const maxCauses = 5

type LoggerOptions = { readonly level: string; readonly output?: DestinationStream | undefined }

/**
 * Lines are written together, so many bytes or so many milliseconds of them. What nobody reads is
 * dropped beyond `maxLength` bytes.
 */
const batch = {
  minLength: 16 * 1024 - 1,
  periodicFlush: 200,
  maxLength: 4 * 1024 * 1024,
  sync: false,
} as const

/** How long the end waits for whoever reads the log, in milliseconds. */
const flushTimeout = 1000

/**
 * JSON lines to standard output. Errors are told by name, code and message alone: libraries hang
 * requests, with their headers, on theirs. Fields of a secret's name are hidden by serializers,
 * which cost a line nothing, where paths to redact cost as much as the line.
 */
export function createLogger({ level, output = standardOutput() }: LoggerOptions): {
  readonly log: Pino
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
  return { log, end: () => endOf(log, output) }
}

/**
 * The danger: a pipe that nobody reads holds the thread that writes to it, and a process does not end
 * before its threads do. So a pipe is opened once more, in a way that does not block.
 */
function standardOutput(): DestinationStream {
  return destination({ dest: nonBlocking(1), ...batch })
}

function nonBlocking(descriptor: number): number {
  if (!fstatSync(descriptor).isFIFO()) return descriptor
  try {
    return openSync(`/dev/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // It belongs to another user.
    return descriptor
  }
}

/** Writes what is left, if that goes; else it is lost, since pino would try it for ever. */
async function endOf(log: Pino, output: DestinationStream): Promise<void> {
  const flushed = Promise.withResolvers<void>()
  const timer = setTimeout(flushed.resolve, flushTimeout)
  log.flush(() => flushed.resolve())
  await flushed.promise
  clearTimeout(timer)
  if ('destroy' in output && typeof output.destroy === 'function') output.destroy()
}

/** Where a line has no message, pino would take the error's, as it is. */
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

/** Only a fault of ours needs its stack; a refused connection's says nothing. */
function isProgrammingError(error: Error): boolean {
  return (
    error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
  )
}
