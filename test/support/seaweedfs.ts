import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDirectory } from './directory.ts'
import { start, tool } from './programs.ts'
import { until } from './until.ts'
import { unusedPorts } from './unused-ports.ts'

/** SeaweedFS, which has the API of Amazon S3. */
export interface SeaweedFs {
  readonly url: string
  /** Environment variables with its keys. */
  readonly keys: Readonly<Record<string, string>>
  close(): Promise<void>
}

const keys = { AWS_ACCESS_KEY_ID: 'berth-test', AWS_SECRET_ACCESS_KEY: 'bucket-canary-51fe' }

/** Starts it with an empty bucket. */
export async function startSeaweedFs(bucket: string): Promise<SeaweedFs> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-seaweedfs-'))
  const ports = await unusedPorts(8)
  const config = join(directory, 's3.json')
  const credentials = [{ accessKey: keys.AWS_ACCESS_KEY_ID, secretKey: keys.AWS_SECRET_ACCESS_KEY }]
  const actions = ['Admin', 'Read', 'Write', 'List', 'Tagging']
  await writeFile(config, JSON.stringify({ identities: [{ name: 'test', credentials, actions }] }))
  const parts = ['master', 'volume', 'filer', 's3']
  const listeners = parts.flatMap((part, at) => [
    `-${part}.port=${ports[at]}`,
    `-${part}.port.grpc=${ports[at + parts.length]}`,
  ])
  const program = start(
    [
      ...[
        tool('weed'),
        'server',
        '-s3',
        `-s3.config=${config}`,
        '-s3.port.iceberg=0',
        '-s3.port.lance=0',
      ],
      ...[`-dir=${directory}`, '-ip=127.0.0.1', '-volume.max=40', '-master.volumeSizeLimitMB=64'],
      ...listeners,
    ],
    { directory, environment: { HOME: directory } },
  )
  const url = `http://127.0.0.1:${ports[3]}`
  try {
    await until('SeaweedFS answers', async () => {
      const { status } = await fetch(`${url}/healthz`)
      if (status !== 200) throw new Error(`${status}`)
    })
    await createBucket(url, bucket)
  } catch (error) {
    const output = program.output()
    await program.kill()
    throw new Error(`SeaweedFS did not start:\n${output.slice(-3000)}`, { cause: error })
  }
  return {
    url,
    keys,
    close: async () => {
      await program.kill()
      await removeDirectory(directory)
    },
  }
}

async function createBucket(endpoint: string, Bucket: string): Promise<void> {
  const { S3Client, CreateBucketCommand } = await import('@aws-sdk/client-s3')
  const credentials = {
    accessKeyId: keys.AWS_ACCESS_KEY_ID,
    secretAccessKey: keys.AWS_SECRET_ACCESS_KEY,
  }
  const s3 = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials })
  await until('SeaweedFS creates a bucket', () => s3.send(new CreateBucketCommand({ Bucket })))
  s3.destroy()
}
