import { stat } from 'node:fs/promises'
import { z } from 'zod'
import { codeOf } from './durable-files.ts'

const schema = z.object({
  /** Unique for each start of a spooler. */
  instance: z.string(),
  host: z.string(),
  pid: z.int(),
})

/** A running spooler. */
export type Owner = z.infer<typeof schema>

/** Milliseconds between two signs of life of the owner of a file. */
export const heartbeat = 10_000
/** Without a sign of life, the owner is gone; its clock may differ from ours by less. */
export const maxSilence = 120_000
/** The same for an owner that is probably our own container before it was started again. */
const maxSilenceOfOwn = 25_000

/** Whether the spooler that wrote `record` into `file`, and touches it since, no longer runs. */
export async function isAbandoned(file: string, record: unknown, own: Owner): Promise<boolean> {
  const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Date.now() }))
  const silence = Date.now() - mtimeMs
  const { data: owner } = schema.safeParse(record)
  if (owner === undefined || owner.host !== own.host) return silence > maxSilence
  if (owner.instance === own.instance) return false
  // Containers of one pod have the same host name, and each has a process 1.
  if (owner.pid === own.pid) return silence > maxSilenceOfOwn
  return !isAlive(owner.pid)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}
