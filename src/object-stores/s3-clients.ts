import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import { findAwsKeys } from '../credentials/credentials.ts'
import { readS3Failure } from './s3-failures.ts'

type ClientsOptions = {
  /** All but the keys. */
  readonly settings: S3ClientConfig
  readonly keys: Parameters<typeof findAwsKeys>[0]
}

/** Keys that are refused are read again at most so often, in milliseconds. */
const minRenewal = 1000

/** Clients of AWS's library. Each keeps its keys until they expire; a store may reject them earlier. */
export async function createS3Clients({ settings, keys }: ClientsOptions) {
  const sdk = await import('@aws-sdk/client-s3')
  const create = (): S3Client =>
    new sdk.S3Client({ ...settings, credentials: async () => (await findAwsKeys(keys)).keys })
  let client = create()
  let renewedAt = Number.NEGATIVE_INFINITY
  let renewing: Promise<boolean> | undefined

  /** Whether there are other keys. Those that are read next time may be others, too. */
  const renew = async (used: S3Client): Promise<boolean> => {
    renewedAt = performance.now()
    const next = create()
    const [last, found] = await Promise.all([used, next].map(idOf))
    const areOthers = found !== undefined && found !== last
    client = areOthers ? next : create()
    return areOthers
  }

  /** Whether a client that was refused has a successor with other keys. */
  const hasSuccessor = async (used: S3Client): Promise<boolean> => {
    if (renewing !== undefined) return renewing
    if (used !== client) return (await idOf(used)) !== (await idOf(client))
    if (performance.now() < renewedAt + minRenewal) return false
    renewing = renew(used).finally(() => {
      renewing = undefined
    })
    return renewing
  }

  return {
    current: () => client,

    /** Once more with other keys, if there are any when these are refused. */
    use: async <Result>(work: (s3: S3Client) => Promise<Result>): Promise<Result> => {
      const used = client
      try {
        return await work(used)
      } catch (error) {
        if (!readS3Failure(error).areKeysStale || !(await hasSuccessor(used))) throw error
        return work(client)
      }
    },

    /**
     * Reads the keys again: they may have got other rights. The danger: where they come from may be down, and those
     * that are in use are still accepted. So they stay, unless others could be read.
     */
    readAgain: async (): Promise<void> => {
      const next = create()
      if ((await idOf(next)) !== undefined) client = next
    },
  }
}

/** The keys of a client; undefined: none can be read. */
async function idOf({ config }: S3Client): Promise<string | undefined> {
  try {
    const { accessKeyId, secretAccessKey, sessionToken } = await config.credentials()
    return JSON.stringify([accessKeyId, secretAccessKey, sessionToken])
  } catch {
    return undefined
  }
}
