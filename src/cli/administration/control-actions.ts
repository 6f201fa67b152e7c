import { z } from 'zod'
import type { Collector, Step } from '../../collection/collection.ts'
import type { ControlActions } from '../../control/control.ts'
import { isRepositoryName, isTag } from '../../oci/reference.ts'
import { isRunId } from '../../store/store.ts'
import type { ControlReply } from './control-reply.ts'
import {
  describeExplanation,
  describeRun,
  describeStep,
  describeUndo,
  describeVersion,
} from './control-texts.ts'

const run = z.string().refine(isRunId, 'expected a run such as 20261129T013000Z-ab12cd34')
const undoRequest = z.strictObject({ run })
const retainRequest = z.strictObject({ dryRun: z.boolean().optional(), confirm: run.optional() })
const collectRequest = retainRequest.extend({ full: z.boolean().optional() })
const tagRequest = z.strictObject({
  name: z.string().refine(isRepositoryName, 'expected the name of a repository'),
  tag: z.string().refine(isTag, 'expected a tag'),
})

type Action = (request: unknown, send: (reply: ControlReply) => void) => Promise<void>

/** What commands can ask of the running registry: see `berth gc`, `berth retention`, `berth tag`. */
export function controlActions(collector: Collector): ControlActions {
  const actions: Record<string, Action> = {
    collect: async (request, send) => {
      await collector.collect(read(collectRequest, request), (step) => send(replyOf(step)))
    },
    retain: async (request, send) => {
      await collector.retain(read(retainRequest, request), (step) => send(replyOf(step)))
    },
    undo: async (request, send) => {
      await collector.undo(read(undoRequest, request).run, (step) => send(replyOf(step)))
    },
    runs: async (_request, send) => {
      for (const each of await collector.runs()) send({ text: describeRun(each), data: each })
    },
    explain: async (request, send) => {
      const tag = read(tagRequest, request)
      const data = await collector.explain(tag.name, tag)
      if (data === undefined) throw new Error(`there is no tag ${imageOf(tag)}`)
      send({ text: describeExplanation(imageOf(tag), data), data })
    },
    history: async (request, send) => {
      const tag = read(tagRequest, request)
      const versions = await collector.tagHistory(tag)
      if (versions.length === 0) throw new Error(`nothing is known of a tag ${imageOf(tag)}`)
      for (const data of versions) send({ text: describeVersion(data), data })
    },
    'undo-tag': async (request, send) => {
      const tag = read(tagRequest, request)
      const data = await collector.undoTag(tag)
      const text = describeUndo(imageOf(tag), data)
      send({ text, data, failed: data.kind !== 'undone' })
    },
  }
  return actions
}

function replyOf(step: Step): ControlReply {
  const failed = step.step === 'end' && step.outcome !== 'done'
  return { text: describeStep(step), data: step, failed }
}

function imageOf({ name, tag }: z.output<typeof tagRequest>): string {
  return `${name}:${tag}`
}

function read<Schema extends z.ZodType>(schema: Schema, request: unknown): z.output<Schema> {
  const result = schema.safeParse(request)
  if (result.success) return result.data
  throw new Error(result.error.issues.map(({ message }) => message).join('; '))
}
