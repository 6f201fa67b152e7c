import {
  type CollectionParts,
  type Collector,
  createCollector,
  startSchedule,
} from '../../collection/collection.ts'
import type { Config } from '../../config/config.ts'
import { createControlServer } from '../../control/control.ts'
import { quayRule, type Rule } from '../../retention/retention.ts'
import { controlActions } from '../administration/control-actions.ts'

type CollectionOptions = Omit<CollectionParts, 'settings' | 'now' | 'uptime'> & {
  readonly config: Config
}

/** A shorter grace period is likely to end while a large image is being pushed. */
const shortGrace = 60 * 60 * 1000

type Collection = {
  /** Undefined: the volume is only read. */
  readonly collector: Collector | undefined
  /** What the rules decide; undefined: there are none. */
  readonly retention: Pick<Collector, 'decisions'> | undefined
  close(): Promise<void>
}

/** Runs collection and retention, and lets commands ask for them, until it is closed. */
export function openCollection(options: CollectionOptions): Collection {
  const { config, ...parts } = options
  if (config.storage.hosted.readOnly)
    return { collector: undefined, retention: undefined, close: async () => {} }
  const { root, isShared, store, telemetry } = parts
  const { log } = telemetry
  const { enabled, ...collection } = config.collection
  const { quayExpiry, rules, ...retention } = config.retention
  const settings = {
    ...collection,
    // The disk is not where the trash is.
    ...(isShared && { minimumFree: 0 }),
    retention: { ...retention, rules: [...rules.map(toRule), ...(quayExpiry ? [quayRule] : [])] },
  }
  if (enabled && settings.grace < shortGrace)
    log.warn(
      { grace: settings.grace },
      'collection.grace is shorter than an hour: a push that takes longer may lose its blobs',
    )
  const collector = createCollector({
    ...parts,
    settings,
    now: Date.now,
    uptime: () => performance.now(),
  })
  const schedule = startSchedule({
    collector,
    enabled,
    interval: settings.interval,
    retention: settings.retention,
    log,
  })
  const control = createControlServer({
    root,
    actions: controlActions(collector),
    mayListen: () => store.problem() === undefined,
    onError: (err) => log.warn({ err }, 'cannot listen for commands on the hosted volume'),
  })
  return {
    collector,
    retention: settings.retention.rules.length === 0 ? undefined : collector,
    close: async () => {
      collector.stop()
      await Promise.all([control.close(), schedule.close()])
    },
  }
}

function toRule({ tags, except, ...rule }: Config['retention']['rules'][number]): Rule {
  return { ...rule, tags, except }
}
