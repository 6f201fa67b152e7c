import { hostedStore } from '../../support/hosted-store.ts'
import { testHostedBlobs } from './hosted-blobs.conformance.ts'
import { testHostedLinks } from './hosted-links.conformance.ts'
import { testTrash } from './trash.conformance.ts'
import { testUploads } from './uploads.conformance.ts'

testUploads('uploads to a disk', (t) => hostedStore(t))
testHostedBlobs('hosted blobs on a disk', (t) => hostedStore(t))
testHostedLinks('hosted links on a disk', (t) => hostedStore(t))
testTrash('a trash on a disk', (t) => hostedStore(t))
