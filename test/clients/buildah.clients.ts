import { containersStorageClient } from '../support/containers-storage.ts'
import { describeClient } from '../support/pulling.ts'

describeClient(containersStorageClient('buildah'))
