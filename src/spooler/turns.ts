import { parseTag } from '../oci/reference.ts'
import type { Job } from './spool-names.ts'

const latest = parseTag('latest')

/**
 * Which jobs may run, if they are asked for in their order: one at a time for each tag. A deletion by digest may concern
 * all tags of its repository, so it waits for those before it, and those behind it wait.
 */
export function createTurns() {
  const tags = new Set<string>()
  const repositories = new Set<string>()
  const repositoriesAsWhole = new Set<string>()

  /** False: an earlier job must be done first. Either way later jobs wait for this one. */
  const take = (job: Job): boolean => {
    if (job.kind === 'invalid') return true
    const { name } = job
    const tag = tagOf(job)
    const isFree =
      !repositoriesAsWhole.has(name) &&
      (tag === undefined ? !repositories.has(name) : !tags.has(`${name}:${tag}`))
    repositories.add(name)
    if (tag === undefined) repositoriesAsWhole.add(name)
    else tags.add(`${name}:${tag}`)
    return isFree
  }

  return { take }
}

function tagOf(job: Exclude<Job, { kind: 'invalid' }>): string | undefined {
  if (job.kind === 'push') return job.tag ?? latest
  return 'tag' in job.reference ? job.reference.tag : undefined
}
