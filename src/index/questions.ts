import type { RepositoryName } from '../oci/reference.ts'
import type { Ask } from './database/database.ts'
import type { Questions } from './queries.ts'

type Options = {
  readonly ask: Ask
  /** Reads what the configs of a repository's images say, as far as it is missing. */
  readonly readConfigs: (name: RepositoryName) => Promise<void>
}

export function createQuestions({ ask, readConfigs }: Options): Questions {
  return {
    repositories: (page) => ask('repositories', page),
    tags: (name, page) => ask('tags', name, page),
    tagsOf: (name, digest) => ask('tagsOf', name, digest),
    referencedBy: (digest) => ask('referencedBy', digest),
    referrers: (name, subject) => ask('referrers', name, subject),
    linkedIn: (digest) => ask('linkedIn', digest),
    unreferenced: (after, limit) => ask('unreferenced', after, limit),
    unreferencedLinks: (after, limit) => ask('unreferencedLinks', after, limit),
    images: async (name) => {
      await readConfigs(name)
      return ask('images', name)
    },
    bytes: (prefix) => ask('bytes', prefix),
    totals: () => ask('totals'),
    search: (text, limit) => ask('search', text, limit),
    tagRecords: async (name, part) => {
      await readConfigs(name)
      return ask('tagRecords', name, part)
    },
    repositoryRecords: (part) => ask('repositoryRecords', part),
    repositorySizes: () => ask('repositorySizes'),
    usage: (parts) => ask('usage', parts),
    taggedUsage: (of) => ask('taggedUsage', of),
    sharing: (digests) => ask('sharing', digests),
    freed: (removal) => ask('freed', removal),
    storedOf: (digests) => ask('storedOf', digests),
    image: (name, digest) => ask('image', name, digest),
  }
}
