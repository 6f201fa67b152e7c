import { dirname } from 'node:path'
import type { Telemetry } from '../telemetry/telemetry.ts'
import {
  inheritDirectories,
  inspect,
  type Outcome,
  originalSuffix,
  removeDirectories,
  removeTemporary,
  undoFile,
  writeFile,
} from './node-files.ts'
import { allDirectories, directoriesOf, findWritten } from './places.ts'
import type { Plan } from './plan.ts'
import type { LogProblem } from './problem-log.ts'
import { lstatIfAny, type Rooted, readText } from './rooted.ts'
import type { Target } from './runtimes.ts'
import type { RuntimeStatus } from './trust-status.ts'

/** The owner of files that were written without an owner's name. */
const defaultOwner = '-'

/** Writes and removes the files of a node's runtimes. */
export interface RuntimeFiles {
  /** Writes the files of a plan, and adds their located paths to `planned`. */
  write(runtime: Target, plan: Plan, planned: Set<string>): Promise<RuntimeStatus>
  /** Removes files that are no longer needed: of another registry, or of a removed mirror. */
  removeUnneeded(runtimes: readonly Target[], planned: ReadonlySet<string>): Promise<void>
  /** Restores everything. Returns what could not be restored because it was changed by others. */
  undo(runtimes: readonly Target[]): Promise<readonly string[]>
}

type RuntimeFilesOptions = {
  readonly rooted: Rooted
  /** Undefined: `undo` removes the files of all owners. */
  readonly owner: string | undefined
  readonly logProblem: LogProblem
  readonly telemetry: Telemetry
}

export function createRuntimeFiles(options: RuntimeFilesOptions): RuntimeFiles {
  const { rooted, owner, logProblem, telemetry } = options
  const { log, metrics } = telemetry
  /** Files that this process wrote, with the number of directories created for each. */
  const written = new Map<string, number>()

  const recordChange = (runtime: string, path: string, outcome: Outcome): void => {
    if (outcome.kind === 'unchanged' || outcome.kind === 'untouched') return
    metrics.trustChanges.inc({ runtime, change: outcome.kind })
    log.info({ runtime, path, change: outcome.kind }, 'file changed')
  }

  /** Undefined when the file is written; the reason when it is not. */
  const writeOne = async (
    runtime: string,
    { path, body }: Plan['files'][number],
    located: string,
  ): Promise<string | undefined> => {
    await removeTemporary(dirname(located))
    const outcome = await writeFile({
      path: located,
      body: body(await originalOf(located)),
      owner: owner ?? defaultOwner,
      createdBefore: written.get(located),
    })
    recordChange(runtime, path, outcome)
    if (outcome.kind === 'untouched') return outcome.reason
    written.set(located, outcome.created)
    return undefined
  }

  return {
    write: async (runtime, plan, planned) => {
      const files: { path: string; since: string }[] = []
      const problems = [...plan.problems]
      for (const file of plan.files) {
        try {
          const located = await rooted.locate(file.path)
          planned.add(located)
          const reason = await writeOne(runtime.name, file, located)
          if (reason === undefined) files.push({ path: file.path, since: await sinceOf(located) })
          else problems.push(`${file.path}: ${reason}`)
        } catch (error) {
          problems.push(`${file.path}: ${messageOf(error)}`)
        }
      }
      logProblem(runtime.name, problems.length === 0 ? undefined : problems.join('\n'))
      const isContainerd = runtime.kind === 'containerd'
      return {
        runtime: runtime.name,
        version: isContainerd ? runtime.version : undefined,
        configuration: isContainerd ? runtime.config.file : undefined,
        path: isContainerd ? runtime.path : undefined,
        canPull: plan.canPull && files.length === plan.files.length,
        files,
        problems,
        notes: plan.notes,
      }
    },

    removeUnneeded: async (runtimes, planned) => {
      const paths = await findWritten(rooted, runtimes.flatMap(directoriesOf))
      const directories: string[] = []
      for (const path of paths.filter((each) => !planned.has(each))) {
        const undone = await undoFile(path, owner ?? defaultOwner)
        if (undone.outcome.kind === 'untouched') logProblem(path, undone.outcome.reason)
        recordChange('node', rooted.name(path), undone.outcome)
        directories.push(...undone.directories)
      }
      const used = await removeDirectories(directories)
      if (used.length > 0) for (const path of planned) await inheritDirectories(path, used)
    },

    undo: async (runtimes) => {
      const directories: string[] = []
      const remaining: string[] = []
      for (const path of await findWritten(rooted, allDirectories(runtimes))) {
        const name = rooted.name(path)
        try {
          await removeTemporary(dirname(path))
          const undone = await undoFile(path, owner)
          if (undone.outcome.kind === 'untouched')
            remaining.push(`${name}: ${undone.outcome.reason}`)
          recordChange('node', name, undone.outcome)
          directories.push(...undone.directories)
          written.delete(path)
        } catch (error) {
          remaining.push(`${name}: ${messageOf(error)}`)
        }
      }
      await removeDirectories(directories)
      return remaining
    },
  }
}

/** The content that was there before Berth's file, or is there now. */
async function originalOf(located: string): Promise<string> {
  const before = await readText(located + originalSuffix)
  if (before !== undefined) return before
  const found = await inspect(located)
  return found.kind === 'foreign' ? ((await readText(located)) ?? '') : ''
}

async function sinceOf(located: string): Promise<string> {
  const stats = await lstatIfAny(located)
  return new Date(Number(stats?.mtimeMs ?? 0)).toISOString()
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
