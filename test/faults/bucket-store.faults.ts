import { after, before, suite, type TestContext } from 'node:test'
import type { ObjectStore } from '../../src/store/store.ts'
import { testHostedBlobs } from '../store/hosted/hosted-blobs.conformance.ts'
import { testHostedLinks } from '../store/hosted/hosted-links.conformance.ts'
import { testTrash } from '../store/hosted/trash.conformance.ts'
import { setAwsEnvironment } from '../support/aws.ts'
import { bucketStore, openBucket } from '../support/bucket-store.ts'
import { type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'

suite('hosted repositories in a bucket of SeaweedFS', () => {
  let seaweedfs: SeaweedFs
  let objects: ObjectStore
  let restore: () => void

  before(async () => {
    seaweedfs = await startSeaweedFs('registry')
    restore = setAwsEnvironment(seaweedfs.keys)
    objects = await openBucket(seaweedfs.url, 'registry')
  })
  after(async () => {
    restore()
    await objects.close()
    await seaweedfs.close()
  })

  const make = (t: TestContext) => bucketStore(t, objects)
  testHostedBlobs('hosted blobs in a bucket', make)
  testHostedLinks('hosted links in a bucket', make)
  testTrash('a trash in a bucket', make)
})
