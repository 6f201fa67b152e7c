import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDirectory } from './directory.ts'
import { startGoogleKey } from './google-key.ts'
import { start, tool } from './programs.ts'
import { until } from './until.ts'
import { unusedPorts } from './unused-ports.ts'

/** fake-gcs-server, which has the API of Google Cloud Storage. It accepts any token. */
export interface FakeGcs {
  readonly url: string
  /** Environment variables with a key whose tokens are issued here. */
  readonly keys: Readonly<Record<string, string>>
  /** With all that is in it. */
  deleteBucket(): Promise<void>
  createBucket(): Promise<void>
  close(): Promise<void>
}

/** Starts it with an empty bucket. */
export async function startFakeGcs(bucket: string): Promise<FakeGcs> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-fake-gcs-'))
  const key = await startGoogleKey(directory)
  const [port] = await unusedPorts(1)
  const url = `http://127.0.0.1:${port}`
  const program = start(
    [
      ...[tool('fake-gcs-server'), '-backend=memory', '-log-level=warn'],
      ...['-scheme=http', '-host=127.0.0.1', '-public-host=127.0.0.1', `-port=${port}`],
    ],
    { directory, environment: { HOME: directory } },
  )
  try {
    await until('fake-gcs-server creates a bucket', () => createBucket(url, bucket))
  } catch (error) {
    const output = program.output()
    await program.kill()
    throw new Error(`fake-gcs-server did not start:\n${output.slice(-3000)}`, { cause: error })
  }
  return {
    url,
    keys: { GOOGLE_APPLICATION_CREDENTIALS: key.file },
    deleteBucket: () => deleteBucket(url, bucket),
    createBucket: () => createBucket(url, bucket),
    close: async () => {
      await program.kill()
      await key.close()
      await removeDirectory(directory)
    },
  }
}

async function createBucket(url: string, name: string): Promise<void> {
  const { status } = await fetch(`${url}/storage/v1/b?project=test`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  })
  if (status !== 200) throw new Error(`${status}`)
}

async function deleteBucket(url: string, name: string): Promise<void> {
  const bucket = `${url}/storage/v1/b/${name}`
  const { items = [] } = (await (await fetch(`${bucket}/o`)).json()) as {
    readonly items?: readonly { readonly name: string }[]
  }
  for (const { name: key } of items)
    await fetch(`${bucket}/o/${encodeURIComponent(key)}`, { method: 'DELETE' })
  const { status } = await fetch(bucket, { method: 'DELETE' })
  if (status !== 200) throw new Error(`${status}`)
}
