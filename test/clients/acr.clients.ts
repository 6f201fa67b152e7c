import { describe } from 'node:test'
import { containersStorageClient } from '../support/containers-storage.ts'
import { describePulls } from '../support/pulling.ts'
import { azureUpstream } from '../support/upstreams.ts'

/** One client: what the others do of their own is the same towards every upstream. */
describe('podman, through Berth, from Azure Container Registry', () => {
  describePulls(containersStorageClient('podman'), azureUpstream)
})
