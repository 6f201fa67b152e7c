import { get } from './client.ts'
import type { Login } from './docker-registry.ts'
import type { Image } from './images.ts'

/** Clients that pull an image again and again, each from its own address, and never try anything twice. */
export interface SteadyPulls {
  /** Whole images that came so far. */
  count(): number
  /** Ends them. What went wrong, in words. */
  stop(): Promise<readonly string[]>
}

type Options = {
  /** URLs of the registry. */
  readonly urls: readonly string[]
  readonly login: Login
  readonly repository: string
  readonly tag: string
  readonly image: Image
}

export function startSteadyPulls({ urls, login, ...wanted }: Options): SteadyPulls {
  const { repository, tag, image } = wanted
  const basic = Buffer.from(`${login.user}:${login.password}`).toString('base64')
  const headers = { authorization: `Basic ${basic}`, connection: 'close' }
  const failures: string[] = []
  let pulled = 0
  let isOver = false

  const fetched = async (url: string, bytes: Buffer): Promise<boolean> => {
    const reply = await get(url, { headers }).catch((error: unknown) => String(error))
    if (typeof reply !== 'string' && reply.status === 200 && reply.body.equals(bytes)) return true
    const why = typeof reply === 'string' ? reply : `${reply.status} ${reply.body.subarray(0, 200)}`
    failures.push(`${new Date().toISOString()} ${url}: ${why}`)
    return false
  }

  const pull = async (url: string): Promise<void> => {
    const base = `${url}/v2/${repository}`
    let complete = await fetched(`${base}/manifests/${tag}`, image.bytes)
    for (const { digest, bytes } of image.blobs)
      complete = (await fetched(`${base}/blobs/${digest}`, bytes)) && complete
    if (complete) pulled += 1
  }

  const clients = urls.map(async (url) => {
    while (!isOver) await pull(url)
  })
  return {
    count: () => pulled,
    stop: async () => {
      isOver = true
      await Promise.all(clients)
      return failures
    },
  }
}
