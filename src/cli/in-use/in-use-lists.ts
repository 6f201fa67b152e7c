import { join } from 'node:path'
import type { Loaded } from '../../config/config.ts'
import { createListDirectory, type ListPlace } from '../../in-use/in-use.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import type { ObjectStore } from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { openBucket } from '../serve/bucket.ts'
import { hostedRootOf } from '../serve/hosted-root.ts'

type Options = Pick<Loaded, 'config' | 'ambient'> & {
  readonly outbound: Outbound
  readonly telemetry: Telemetry
}

/** Where lists of other clusters are: beside what they protect, so that all who could delete it see them. */
export async function openLists({ config, ...context }: Options): Promise<ListPlace> {
  const { bucket } = config.storage.hosted
  if (bucket === undefined)
    return createListDirectory(join(hostedRootOf(config), '_berth', 'in-use'))
  return createListBucket(await openBucket(bucket, context), bucket.prefix)
}

function createListBucket(objects: ObjectStore, prefix: string): ListPlace {
  const directory = join(prefix, '_berth', 'in-use')
  const keyOf = (cluster: string) => `${directory}/${cluster}`
  return {
    name: `${objects.name}/${directory}`,
    list: async () => {
      const lists: { cluster: string; modified: number; version: string }[] = []
      for await (const page of objects.list(`${directory}/`))
        for (const { key, modified, version } of page.objects)
          lists.push({ cluster: key.slice(directory.length + 1), modified, version })
      return lists
    },
    read: async (cluster) => (await objects.read(keyOf(cluster)))?.bytes.toString() ?? '',
    put: async (cluster, text) => {
      await objects.put(keyOf(cluster), Buffer.from(text))
    },
    remove: async (cluster) => {
      const found = await objects.head(keyOf(cluster))
      if (found !== undefined) await objects.delete([keyOf(cluster)])
      return found !== undefined
    },
    close: objects.close,
  }
}
