import type { Entry } from './spool-entries.ts'
import { type Job, parseSpoolPath } from './spool-names.ts'

/** What is decided for the files of a directory at the top of the spool. */
type DirectoryRule = {
  /** In place of the directory's name, in front of the repositories of its files. */
  readonly prefix: string
  /** The user ID that must own the files. */
  readonly owner?: number | undefined
}

/** Which directories at the top have files that are pushed. */
export type DirectoryRules = {
  readonly find: (name: string) => DirectoryRule | undefined
  /** For people. */
  readonly names: readonly string[]
}

type Options = { readonly prefix: string; readonly directories: DirectoryRules | undefined }

/** What an entry of the spool asks for. */
export function createJobs({ prefix, directories }: Options): (entry: Entry) => Job {
  const nameOf = (entry: Entry): Job => {
    const { path, owner } = entry
    if (directories === undefined) return parseSpoolPath(path, prefix)
    const [top = '', ...rest] = path.split('/')
    const rule = rest.length === 0 ? undefined : directories.find(top)
    if (rule === undefined)
      return invalid(`only files in these directories are pushed: ${directories.names.join(', ')}`)
    if (rule.owner !== undefined && rule.owner !== owner)
      return invalid(
        `files in ${top}/ must be owned by the user ${rule.owner}, and this one is owned by ${owner ?? 'several users'}`,
      )
    return parseSpoolPath(rest.join('/'), [prefix, rule.prefix].filter(Boolean).join('/'))
  }

  return (entry) => {
    if (entry.kind === 'other') return invalid(entry.reason ?? 'not a file')
    const job = nameOf(entry)
    return entry.kind === 'layout' && job.kind === 'push' ? { ...job, isArchive: true } : job
  }
}

function invalid(reason: string): Job {
  return { kind: 'invalid', reason }
}
