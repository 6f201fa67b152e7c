import { z } from 'zod'
import { eviction, pin, pins, prefetch, unpinned } from './schema/cached.ts'
import { change, removal } from './schema/changes.ts'
import { comparison, files } from './schema/files.ts'
import { details, inUse, manifest } from './schema/manifests.ts'
import { overview } from './schema/overview.ts'
import { repositories } from './schema/repositories.ts'
import {
  compareQuery,
  fileQuery,
  filesQuery,
  inUseQuery,
  noQuery,
  prefetchQuery,
  removalQuery,
  repositoriesQuery,
  sessionQuery,
  taggedUsageQuery,
  tagRemovalQuery,
  tagsQuery,
  undoQuery,
  usageQuery,
  whyQuery,
} from './schema/requests.ts'
import { session } from './schema/session.ts'
import { removedTags, tagHistory, tags } from './schema/tags.ts'
import { taggedUsage, usage } from './schema/usage.ts'
import { why } from './schema/why.ts'

/**
 * What the API can be asked. `/-/` ends the name of a repository, which may contain slashes: no part of a
 * name is a single hyphen.
 */
export const operations = {
  openapi: {
    method: 'GET',
    path: '/api/openapi.json',
    summary: 'This description',
    query: noQuery,
    answer: z.looseObject({ openapi: z.string() }),
  },
  session: {
    method: 'GET',
    path: '/api/session',
    summary: 'Who the client is, and what it may do; without a login, too',
    query: sessionQuery,
    answer: session,
  },
  overview: {
    method: 'GET',
    path: '/api/overview',
    summary: 'Traffic, disk, upstreams, running downloads and recent failures',
    query: noQuery,
    answer: overview,
  },
  repositories: {
    method: 'GET',
    path: '/api/repositories',
    summary: 'Hosted and cached repositories that the client may pull from, sorted by name',
    query: repositoriesQuery,
    answer: repositories,
  },
  usage: {
    method: 'GET',
    path: '/api/usage',
    summary: 'Where the bytes are below a prefix, and what removals free',
    query: usageQuery,
    answer: usage,
  },
  taggedUsage: {
    method: 'GET',
    path: '/api/repositories/{name}/-/usage',
    summary: 'Where the bytes of a repository are, and what the removal of each tag frees',
    query: taggedUsageQuery,
    answer: taggedUsage,
  },
  tags: {
    method: 'GET',
    path: '/api/repositories/{name}/-/tags',
    summary: 'A page of the sorted and filtered tags of a repository',
    query: tagsQuery,
    answer: tags,
  },
  tagHistory: {
    method: 'GET',
    path: '/api/repositories/{name}/-/tags/{tag}/history',
    summary: 'What a tag of a hosted repository pointed to',
    query: noQuery,
    answer: tagHistory,
  },
  removedTags: {
    method: 'GET',
    path: '/api/repositories/{name}/-/removed-tags',
    summary: 'Tags of a hosted repository that were removed and can be restored',
    query: noQuery,
    answer: removedTags,
  },
  manifest: {
    method: 'GET',
    path: '/api/repositories/{name}/-/manifests/{reference}',
    summary: 'What a manifest says; by digest the answer never changes',
    query: noQuery,
    answer: manifest,
  },
  details: {
    method: 'GET',
    path: '/api/repositories/{name}/-/details/{digest}',
    summary: 'What Berth knows about a manifest: tags, referrers, what is stored, who uses it',
    query: noQuery,
    answer: details,
  },
  files: {
    method: 'GET',
    path: '/api/repositories/{name}/-/files/{digest}',
    summary: 'A directory of an image as its containers see it; of an image that is on the disk',
    query: filesQuery,
    answer: files,
  },
  file: {
    method: 'GET',
    path: '/api/repositories/{name}/-/file/{digest}',
    summary: 'The content of one file of an image, as application/octet-stream',
    query: fileQuery,
    answer: z.undefined(),
  },
  compare: {
    method: 'GET',
    path: '/api/repositories/{name}/-/compare/{digest}',
    summary: 'What differs between the files and the configs of two images that are on the disk',
    query: compareQuery,
    answer: comparison,
  },
  why: {
    method: 'GET',
    path: '/api/why',
    summary: 'How an image is served, whether or not it was pulled; nothing is pulled',
    query: whyQuery,
    answer: why,
  },
  inUse: {
    method: 'GET',
    path: '/api/in-use/{digest}',
    summary: 'Which workloads name a digest',
    query: inUseQuery,
    answer: inUse,
  },
  deleteTag: {
    method: 'DELETE',
    path: '/api/repositories/{name}/-/tags/{tag}',
    summary: 'Remove a tag; the manifest stays until retention removes it',
    query: tagRemovalQuery,
    answer: removal,
  },
  deleteManifest: {
    method: 'DELETE',
    path: '/api/repositories/{name}/-/manifests/{reference}',
    summary: 'Remove a manifest, named by its digest, and all tags that point to it',
    query: removalQuery,
    answer: removal,
  },
  undoTag: {
    method: 'POST',
    path: '/api/repositories/{name}/-/tags/{tag}/undo',
    summary: 'Point a hosted tag to what it pointed to before, or restore a removed one',
    query: undoQuery,
    answer: change,
  },
  refreshTag: {
    method: 'POST',
    path: '/api/repositories/{name}/-/tags/{tag}/refresh',
    summary: 'Compare a cached tag with its upstream now',
    query: noQuery,
    answer: change,
  },
  prefetch: {
    method: 'POST',
    path: '/api/repositories/{name}/-/prefetch/{reference}',
    summary: 'Start to download an image into the cache; a tag is compared with the upstream first',
    query: prefetchQuery,
    answer: prefetch,
  },
  prefetchState: {
    method: 'GET',
    path: '/api/repositories/{name}/-/prefetch/{reference}',
    summary: 'How far a prefetch is, or how it ended: by digest, or as it was asked for',
    query: noQuery,
    answer: prefetch,
  },
  cancelPrefetch: {
    method: 'DELETE',
    path: '/api/repositories/{name}/-/prefetch/{reference}',
    summary: 'Cancel a prefetch; what is in the cache stays',
    query: noQuery,
    answer: prefetch,
  },
  pins: {
    method: 'GET',
    path: '/api/pins',
    summary: 'Pinned images',
    query: noQuery,
    answer: pins,
  },
  pin: {
    method: 'POST',
    path: '/api/repositories/{name}/-/pin/{reference}',
    summary: 'Never evict an image; of an index, the platforms that are in the cache',
    query: noQuery,
    answer: pin,
  },
  unpin: {
    method: 'DELETE',
    path: '/api/repositories/{name}/-/pin/{reference}',
    summary: 'Evict a pinned image again when the cache needs room',
    query: noQuery,
    answer: unpinned,
  },
  evict: {
    method: 'POST',
    path: '/api/repositories/{name}/-/evict/{reference}',
    summary: 'Remove from the cache what only this image has there',
    query: removalQuery,
    answer: eviction,
  },
} as const satisfies Record<string, Operation>

type Operation = {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly summary: string
  readonly query: z.ZodType
  readonly answer: z.ZodType
}

/** Answered without a login, too. */
export type OpenOperation = 'openapi' | 'session'
export const openOperations: ReadonlySet<string> = new Set<OpenOperation>(['openapi', 'session'])

export type Operations = typeof operations
export type OperationName = keyof Operations
