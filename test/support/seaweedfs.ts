import { randomUUID } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  ListBucketsCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { removeDirectory } from './directory.ts'
import { start, tool } from './programs.ts'
import { until } from './until.ts'
import { unusedPorts } from './unused-ports.ts'

/** SeaweedFS, which has the API of Amazon S3. */
export interface SeaweedFs {
  readonly url: string
  /** Environment variables with its keys. */
  readonly keys: Readonly<Record<string, string>>
  /** Its only keys from now on, and what they may do; default: everything. */
  allow(keys: S3Keys, actions?: readonly string[]): Promise<void>
  deleteBucket(): Promise<void>
  createBucket(): Promise<void>
  close(): Promise<void>
}

export type S3Keys = {
  readonly AWS_ACCESS_KEY_ID: string
  readonly AWS_SECRET_ACCESS_KEY: string
}

const allActions = ['Admin', 'Read', 'Write', 'List', 'Tagging']
const keys: S3Keys = {
  AWS_ACCESS_KEY_ID: 'berth-test',
  AWS_SECRET_ACCESS_KEY: 'bucket-canary-51fe',
}

/** Starts it with an empty bucket. */
export async function startSeaweedFs(bucket: string): Promise<SeaweedFs> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-seaweedfs-'))
  const ports = await unusedPorts(8)
  const config = join(directory, 's3.json')
  /** Of the tests, for what they do to the bucket themselves: new ones each time, which says when they are in force. */
  let owner = keys
  const writeKeys = async (
    allowed: S3Keys,
    actions: readonly string[] = allActions,
  ): Promise<void> => {
    owner = { AWS_ACCESS_KEY_ID: randomUUID(), AWS_SECRET_ACCESS_KEY: randomUUID() }
    const identities = [
      { name: 'owner', credentials: [credentialOf(owner)], actions: allActions },
      { name: 'test', credentials: [credentialOf(allowed)], actions },
    ]
    await writeFile(config, JSON.stringify({ identities }))
  }
  await writeKeys(keys)
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
    await createBucket(url, keys, bucket)
  } catch (error) {
    const output = program.output()
    await program.kill()
    throw new Error(`SeaweedFS did not start:\n${output.slice(-3000)}`, { cause: error })
  }
  return {
    url,
    keys,
    allow: async (allowed, actions) => {
      await writeKeys(allowed, actions)
      process.kill(program.pid, 'SIGHUP')
      await until('SeaweedFS has read its keys', () =>
        withClient(url, owner, (s3) => s3.send(new ListBucketsCommand())),
      )
    },
    deleteBucket: () =>
      withClient(url, owner, async (s3) => {
        await s3.send(new DeleteBucketCommand({ Bucket: bucket }))
      }),
    createBucket: () => createBucket(url, owner, bucket),
    close: async () => {
      await program.kill()
      await removeDirectory(directory)
    },
  }
}

function credentialOf({ AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY }: S3Keys) {
  return { accessKey: AWS_ACCESS_KEY_ID, secretKey: AWS_SECRET_ACCESS_KEY }
}

async function withClient<Result>(
  endpoint: string,
  { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }: S3Keys,
  work: (s3: S3Client) => Promise<Result>,
): Promise<Result> {
  const credentials = { accessKeyId, secretAccessKey }
  const s3 = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials })
  try {
    return await work(s3)
  } finally {
    s3.destroy()
  }
}

async function createBucket(endpoint: string, keys: S3Keys, Bucket: string): Promise<void> {
  await withClient(endpoint, keys, (s3) =>
    until('SeaweedFS creates a bucket', () => s3.send(new CreateBucketCommand({ Bucket }))),
  )
}
