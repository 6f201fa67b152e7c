import { formatDuration, formatSize } from '../oci/amounts.ts'
import type { Why } from './answer.ts'
import { lifetimeStep } from './lifetime-step.ts'
import type { Step } from './step.ts'
import { usesStep } from './uses-step.ts'

type Options = {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** What the reader may not know: who Berth is at which upstream, and which workloads name the image. */
  readonly hidden?: { readonly upstream: boolean; readonly workloads: boolean }
}

type Explanation = {
  readonly steps: readonly Step[]
  /** What happens to the next pull, and what to do. */
  readonly conclusion: string
}

/** The same for commands and for the page. */
export function describeWhy(why: Why, options: Options): Explanation {
  const steps = stepsOf(why, options).map((step) => ({
    ...step,
    message: withoutDetails(step, why, options) ?? step.message,
  }))
  return { steps, conclusion: conclude(why) }
}

const withoutUpstream = {
  upstream: {
    ok: 'the upstream answers',
    warning: 'the upstream answers, but had trouble recently',
    problem: 'the upstream does not answer',
  },
  credential: {
    ok: 'Berth has a credential for the upstream, or needs none',
    warning: 'the credential for the upstream needs attention',
    problem: 'Berth has no valid credential for the upstream',
  },
} as const

/** Undefined: the step has no hidden details. */
function withoutDetails(
  { step, state }: Step,
  { rule, uses }: Why,
  { hidden }: Options,
): string | undefined {
  switch (step) {
    case 'rule':
      return hidden?.upstream === true && rule?.kind === 'upstream'
        ? `proxied: ${namesOf(rule.prefix)} come from an upstream`
        : undefined
    case 'upstream':
    case 'credential':
      return hidden?.upstream === true ? withoutUpstream[step][state] : undefined
    case 'runs':
      if (hidden?.workloads !== true || uses?.unwatched === true) return undefined
      return uses?.total === 0 ? 'no workload is known to name it' : 'workloads name it'
    default:
      return undefined
  }
}

function stepsOf(why: Why, options: Options): readonly Step[] {
  if (why.problem !== undefined) return [{ step: 'name', state: 'problem', message: why.problem }]
  const steps = [
    nameStep(why),
    ruleStep(why),
    upstreamStep(why),
    credentialStep(why, options),
    digestStep(why, options),
    contentStep(why),
    lifetimeStep(why, options),
    usesStep(why),
  ]
  return steps.filter((step) => step !== undefined)
}

function nameStep({ name, tag, requestedDigest }: Why): Step {
  const what = tag === undefined ? `digest ${requestedDigest}` : `tag ${tag}`
  return { step: 'name', state: 'ok', message: `repository ${name}, ${what}` }
}

function ruleStep({ rule }: Why): Step | undefined {
  if (rule === undefined) return undefined
  const prefix = namesOf(rule.prefix)
  if (rule.kind === 'hosted')
    return { step: 'rule', state: 'ok', message: `hosted: ${prefix} are stored here` }
  const by = rule.namespace === undefined ? '' : ` (host ${rule.namespace})`
  const push = rule.push ? ', pushes included' : ''
  return {
    step: 'rule',
    state: 'ok',
    message: `proxied${by}: ${prefix} are at ${rule.url}${push}`,
  }
}

function namesOf(prefix: string): string {
  return prefix === '' ? 'all other names' : `names below ${prefix}/`
}

function upstreamStep({ upstream }: Why): Step | undefined {
  if (upstream === undefined) return undefined
  const { url, status, unreachable, problem } = upstream
  if (unreachable !== undefined)
    return { step: 'upstream', state: 'problem', message: `${url} does not answer: ${unreachable}` }
  const trouble = problem === undefined ? '' : `; recently: ${problem}`
  return {
    step: 'upstream',
    state: problem === undefined && !isFailing(status) ? 'ok' : 'warning',
    message: `${url} answers (GET /v2/: ${status})${trouble}`,
  }
}

function isFailing(status = 0): boolean {
  return status >= 500 || status === 429
}

function credentialStep({ credential }: Why, { now }: Options): Step | undefined {
  if (credential === undefined) return undefined
  const { identity, source, expires, problem } = credential
  if (problem !== undefined) return { step: 'credential', state: 'problem', message: problem }
  const left =
    expires === undefined ? '' : `, valid for ${formatDuration(Date.parse(expires) - now)}`
  return { step: 'credential', state: 'ok', message: `as ${identity} (${source})${left}` }
}

function digestStep(why: Why, { now }: Options): Step {
  const { digest, tag, rule, requestedDigest } = why
  if (digest === undefined) {
    const isHosted = rule?.kind === 'hosted'
    const missing = tag === undefined ? `no manifest ${requestedDigest}` : `no tag ${tag}`
    return {
      step: 'digest',
      state: isHosted ? 'problem' : 'ok',
      message: isHosted
        ? `the repository has ${missing}`
        : 'not known yet: nobody has pulled this tag here',
    }
  }
  return { step: 'digest', state: 'ok', message: `${digest.digest}${originOf(why, now)}` }
}

function originOf({ digest, requestedDigest }: Why, now: number): string {
  if (digest === undefined || requestedDigest !== undefined) return ', as requested'
  if (digest.from === 'history')
    return '; the tag was deleted, and is served because a workload names it'
  if (digest.validatedAt === undefined) return ''
  const age = `, confirmed by the upstream ${formatDuration(now - Date.parse(digest.validatedAt))} ago`
  if (digest.immutable === true) return `${age}; the tag never changes (upstreams[].tags.immutable)`
  return digest.freshUntil === undefined
    ? `${age}; the next pull asks the upstream again`
    : `${age}; fresh for ${formatDuration(Date.parse(digest.freshUntil) - now)}`
}

function contentStep({ content, digest, rule }: Why): Step | undefined {
  const isHosted = rule?.kind === 'hosted'
  if (content === undefined)
    return digest === undefined
      ? undefined
      : {
          step: 'content',
          state: isHosted ? 'problem' : 'ok',
          message: isHosted ? 'its manifest is missing from the volume' : 'not in the cache',
        }
  const { storedBlobs, blobs, storedSize, size, missing, absentPlatforms } = content
  const place = isHosted ? 'on the hosted volume' : 'in the cache'
  const parts = [
    missing.length === 0
      ? `${place}: ${formatSize(storedSize)} in ${storedBlobs} blobs`
      : `${place}: ${storedBlobs} of ${blobs} blobs, ${formatSize(storedSize)} of ${formatSize(size)}; missing ${missing[0]}`,
    absentPlatforms.length > 0 && `without ${absentPlatforms.join(', ')}`,
  ]
  return {
    step: 'content',
    state: missing.length === 0 || !isHosted ? 'ok' : 'problem',
    message: parts.filter((part) => part !== false).join('; '),
  }
}

function conclude({ servedBy, problem, rule, image, tag, digest, upstream }: Why): string {
  switch (servedBy) {
    case 'hosted':
      return 'the next pull gets it from the hosted volume; nothing to do'
    case 'cache':
      return upstream?.unreachable === undefined
        ? 'the next pull gets it from the cache; nothing to do'
        : 'the next pull gets it from the cache, although its upstream does not answer'
    case 'stale':
      return `the next pull gets it from the cache until ${digest?.staleUntil}, because its upstream does not answer; find out why with: berth doctor upstream ${image}`
    case 'upstream':
      return `the next pull downloads what is missing; to try that without a pod: berth doctor upstream ${image}`
    case 'nothing':
      if (problem !== undefined)
        return 'a pull fails; check the name, or add an upstream or a hosted prefix for it to the configuration'
      if (rule?.kind === 'hosted')
        return digest === undefined
          ? `a pull fails; push it, or look for ${tag === undefined ? 'its digest' : 'the right tag'} with: berth image list`
          : 'a pull fails; push the image again'
      return `a pull fails; find out why with: berth doctor upstream ${image}`
  }
}
