import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkInvariants } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { type Child, peakMemory, startChild } from '../support/child.ts'
import { ownDirectory } from '../support/directory.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import { seededAnswer, seededBlob } from '../support/seeded.ts'
import { streamBlob } from '../support/streaming.ts'
import { until } from '../support/until.ts'

/** More by hand: 10,000 take minutes. */
const clients = Number(process.env['CHURN_CLIENTS'] ?? 132)
const maxAtOnce = 48
const size = 6_000_000

const ways = [
  { name: 'plain', scheme: 'http', storage: {} },
  {
    name: 'plain, and a cache without room for all blobs',
    scheme: 'http',
    storage: { cache: { maxSize: 2.5 * size, minimumFree: 0 } },
  },
  { name: 'TLS', scheme: 'https', storage: {} },
] as const

for (const { name, scheme, storage } of ways)
  test(`clients that leave in mid-transfer never shift bytes into answers of others: ${name}`, async (t) => {
    const upstream = await startScriptedUpstream()
    t.after(() => upstream.close())
    const directory = await ownDirectory(t)
    const berth = await startChild({
      directory,
      config: {
        upstreams: [{ url: upstream.url }],
        storage,
        ...(scheme === 'https' && { tls: await ownCertificate(directory) }),
      },
      environment: { UV_THREADPOOL_SIZE: '4' },
    })
    const url = berth.url.replace('http:', `${scheme}:`)
    const blobs = [1, 2, 3, 4].map((seed) => seededBlob(seed, size))
    for (const blob of blobs) upstream.on(blob.digest, seededAnswer(blob))
    const outcomes = { stayed: 0, left: 0 }
    const before = (await openSocketsAndBlobs(berth)).length

    const pull = async (at: number): Promise<void> => {
      const blob = blobs[at % blobs.length]
      assert.ok(blob)
      const leaves = at % 3 !== 0
      const hangUpAfter = leaves ? 1 + ((at * 7919) % (size / 2)) : undefined
      const { status, received, complete, right } = await streamBlob(
        `${url}/v2/p/r/blobs/${blob.digest}`,
        blob,
        hangUpAfter === undefined ? {} : { hangUpAfter },
      )
      assert.deepEqual({ status, right, complete }, { status: 200, right: true, complete: !leaves })
      assert.ok(received >= (hangUpAfter ?? size))
      outcomes[leaves ? 'left' : 'stayed'] += 1
    }

    let next = 0
    const pullOneAfterTheOther = async (): Promise<void> => {
      while (next < clients) await pull(next++)
    }
    await Promise.all(Array.from({ length: maxAtOnce }, pullOneAfterTheOther))
    t.diagnostic(
      `${outcomes.left} clients left, and ${outcomes.stayed} got everything; ${await peakMemory(berth.pid)} MiB`,
    )
    await checkInvariants(berth)
    await upstream.stop()
    await until('no connection and no blob is open', async () => {
      const open = await openSocketsAndBlobs(berth)
      assert.ok(open.length <= before, `${open.length} > ${before}: ${open.join(', ')}`)
    })
    await berth.kill('SIGTERM')
  })

/** The threads that send files have others, and end after a minute without a transfer. */
async function openSocketsAndBlobs(berth: Child): Promise<readonly string[]> {
  await berth.metric('berth_http_in_flight')
  const files = await berth.openFiles()
  return files.filter((path) => path.startsWith('socket:') || path.startsWith(berth.cache))
}

async function ownCertificate(directory: string) {
  const authority = await createAuthority('churn')
  const { certificate, key } = await authority.issue(['IP:127.0.0.1'])
  await authority.remove()
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  await writeFile(tls.certificate, certificate)
  await writeFile(tls.key, key)
  return tls
}
